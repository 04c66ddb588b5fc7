"""Facts from tests, clearances, wellness and sensors."""

from statistics import median

from services.decision.core.course import ASSESSORS, Course, Result
from services.decision.core.days import Key
from services.decision.core.facts.registry import View, fact
from services.decision.core.facts.words import capital, gate_word, test_word
from services.decision.core.sessions import Data, Fact, Session
from services.decision.core.trivalent import Unknown
from shared.events.catalogue import GATES, MEASURES, TESTS

_FIELDS = {
    "lsi_pct": ("number", "% lsi", "lower", "limb symmetry index"),
    "pain_nrs": ("number", "nrs", "higher", "pain"),
    "passed": ("boolean", "", "false", "passed"),
    "value": ("number", "", "lower", "value"),
}
_ASKED = {"lsi_pct": "the symmetry of the limbs", "pain_nrs": "its pain", "passed": "saying whether it was passed", "value": "its value"}
_LACKING = {
    "lsi_pct": "Symmetry in the {test} is {{value}} %; {{needed}} is needed",
    "pain_nrs": "Pain in the {test} is {{value}} of 10; {{needed}} is needed",
    "passed": "The {test} was not passed",
    "value": "The {test} gave {{value}} {unit}; {{needed}} is needed",
}
_HIGHER_IS_WORSE = ("landing_force_asymmetry",)
_UNIT_WORDS = {"count": "reps", "cm": "cm", "%": "% asymmetry", "kN/m": "kN/m"}
"""The units that events use, as facts write them; a questionnaire's points are its own unit."""


def results_of(course: Course, test: str, field: str) -> tuple[Result, ...]:
    """The latest results that speak for the injured side: of the side itself, or sent without a side; of both when bilateral."""
    sides = ("", course.side) if course.side in ("left", "right") else ("", "left", "right", "bilateral", "midline")
    both = ("bilateral",) if course.side in ("left", "right") else ()
    found = [course.results.get((test, side, field), ()) for side in (*sides, *both)]
    if course.side not in ("left", "right") and not (found[0] or found[3] or found[4] or (found[1] and found[2])):
        return ()  # One of two injured sides says nothing of the other.
    found = [results for results in found if results]
    if not found:
        return ()
    if course.side in ("left", "right"):
        newest = max(results[0].key[0] for results in found)
        found = [results for results in found if results[0].key[0] == newest]
    return tuple(result for results in found for result in results)


def milestone(view: View, test: str, field: str, assessor: str | None) -> Fact:
    """The test's latest result; the worse where several count. Unknown when too lowly assessed, or older than a return to entry."""
    place = (test, field, assessor)
    found = view.course.tested.get(place)
    if found is None:
        found = view.course.tested[place] = _milestone(view.course, test, field, assessor)
    return found


def _milestone(course: Course, test: str, field: str, assessor: str | None) -> Fact:
    if field == "lsi_pct" and course.side == "bilateral":
        return Fact(Unknown("says nothing of symmetry when both sides are injured"))
    results = results_of(course, test, field)
    if not results:
        told = any(place[0] == test for place in course.results)
        return Fact(Unknown(f"was recorded without {_ASKED[field]}" if told else "was not done"))
    if assessor is not None and any(ASSESSORS.index(r.assessor) < ASSESSORS.index(assessor) for r in results):
        return Fact(Unknown(f"was not done by a {assessor}"), tuple(r.key for r in results))
    if course.entry_since is not None and any(r.key[0] <= course.entry_since for r in results):
        return Fact(Unknown("was done before the setback and counts no more"), tuple(r.key for r in results))
    higher_is_worse = field == "pain_nrs" or (field == "value" and test in _HIGHER_IS_WORSE)
    values = [r.value for r in results]
    return Fact(max(values) if higher_is_worse else min(values), tuple(r.key for r in results), min(r.key[0] for r in results))


for _test in TESTS:
    for _field, (_kind, _unit, _worse, _words) in _FIELDS.items():
        if _field == "value" and _test not in MEASURES:
            continue
        _name = test_word(_test)
        fact(
            f"milestone.{_test}.{_field}",
            _kind,  # type: ignore[arg-type]
            _UNIT_WORDS.get(MEASURES[_test].unit, _test) if _field == "value" else _unit,
            "higher" if _test in _HIGHER_IS_WORSE and _field == "value" else _worse,  # type: ignore[arg-type]
            "pain" if _field == "pain_nrs" else "function",
            f"{_words} of the latest {_name} on the injured side",
            f"the {_name}",
            scale=10 if _kind == "number" else 1,
            lacking=_LACKING[_field].format(test=_name, unit=MEASURES[_test].unit if _test in MEASURES else ""),
        )(lambda view, test=_test, field=_field: milestone(view, test, field, None))  # type: ignore[misc]


def latest(view: View, name: str) -> list[tuple[Key, Data]]:
    """The wellness reports that name the field at the latest time any does: several where they bear one time."""
    found: list[tuple[Key, Data]] = []
    for one in reversed(view.course.wellness):
        if found and one[0][0] != found[0][0][0]:
            break
        if name in one[1]:
            found.append(one)
    return found[::-1]


for _gate in GATES:

    def _clearance(view: View, gate: str = _gate) -> Fact:
        clearance = view.course.clearances.get(gate)
        if clearance is None:
            return Fact(Unknown("is not on record"))
        valid = clearance.granted and (clearance.valid_until is None or view.today.isoformat() <= clearance.valid_until)
        return Fact(valid, (clearance.key,), clearance.key[0])

    fact(
        f"clearance.{_gate}",
        "boolean",
        "",
        "false",
        "clearance",
        f"{gate_word(_gate)} is granted and still valid",
        gate_word(_gate),
        lacking=f"{capital(gate_word(_gate))} was refused or has run out",
    )(_clearance)


@fact(
    "illness.now",
    "choice",
    "",
    "higher",
    "wellness",
    "the latest word on illness of the last seven days; not asked is none",
    "illness",
    choices=("none", "mild", "febrile"),
)
def _(view: View) -> Fact:
    said = [(k, d) for k, d in latest(view, "illness") if view.course.day(k[0]) >= view.days_ago(7)]
    order = ("none", "mild", "febrile")
    if not said:
        return Fact("none")
    return Fact(max((d["illness"] for _, d in said), key=order.index), tuple(k for k, _ in said), said[0][0][0])


@fact("illness.febrile_since_last_run", "boolean", "", "true", "wellness", "a fever was reported after the last run", "illness")
def _(view: View) -> Fact:
    last = view.course.ran[-1].key if view.course.ran else None
    keys = tuple([key for key, data in view.course.wellness if data.get("illness") == "febrile" and (last is None or key > last)])
    return Fact(bool(keys), keys)


@fact("sleep.short_nights", "number", "nights", "higher", "wellness", "of the last two nights reported, those under 5 h", "sleep in hours")
def _(view: View) -> Fact:
    nights = [(key, data["sleep_h"]) for key, data in view.course.wellness if "sleep_h" in data][-2:]
    if not nights:
        return Fact(Unknown("was not reported"))
    return Fact(len([hours for _, hours in nights if hours < 5]), tuple([key for key, _ in nights]))


@fact("fatigue.now", "number", "fatigue", "higher", "wellness", "the latest fatigue score of the last 15 days", "fatigue (0-10)", scale=10)
def _(view: View) -> Fact:
    said = latest(view, "fatigue")
    if not said:
        return Fact(Unknown("was not reported"))
    return Fact(max([d["fatigue"] for _, d in said]), tuple([k for k, _ in said]), said[0][0][0])


for _scale in ("acl_rsi", "i_prrs"):

    def _readiness(view: View, scale: str = _scale) -> Fact:
        for key, data in reversed(view.course.wellness):
            if data.get("readiness", {}).get("scale") == scale:
                return Fact(data["readiness"]["score"], (key,), key[0])
        return Fact(Unknown("was not answered in the last 15 days"))

    fact(
        f"readiness.{_scale}",
        "number",
        _scale,
        "lower",
        "readiness",
        f"the latest {_scale.upper().replace('_', '-')} score",
        f"the {_scale.upper().replace('_', '-')} questionnaire",
        scale=10,
    )(_readiness)


def _cadence(session: Session) -> tuple[float, str] | None:
    """Whole-session cadence with the device it came from, native before platform before developer field."""
    order = ("native", "platform", "developer_field")
    found = [d for _, d in session.sensors if d.get("segment", "whole") == "whole" and "cadence_spm" in d]
    if not found:
        return None
    best = min(found, key=lambda d: order.index(d["device"]["origin"]))
    return best["cadence_spm"], f"{best['device'].get('maker', '')} {best['device'].get('model', '')} {best['device']['origin']}"


@fact(
    "cadence.off_own_median_pct",
    "number",
    "%",
    "higher",
    "technique",
    "how far the last session's cadence lies from the median of up to four sessions before it on the same device",
    "cadence",
    scale=10,
)
def _(view: View) -> Fact:
    if view.session is None or (last := _cadence(view.session)) is None:
        return Fact(Unknown("was not measured in the last session"))
    others: list[tuple[Session, float]] = []
    for session in view.course.sessions:
        cadence = _cadence(session)
        if session.key < view.session.key and cadence is not None and cadence[1] == last[1]:
            others.append((session, cadence[0]))
    if len(others) < 2:
        return Fact(Unknown("was measured by the same device in fewer than two earlier sessions"))
    usual = median(value for _, value in others[-4:])
    keys = (*(session.key for session, _ in others[-4:]), view.session.key)
    return Fact(round(abs(last[0] - usual) * 100 / usual, 1), keys)


@fact(
    "heart_rate.above_own_median",
    "number",
    "sessions",
    "higher",
    "load",
    "of the last two sessions at the step, those whose mean heart rate lies more than 10 bpm above the median of the earlier ones",
    "mean heart rate",
)
def _(view: View) -> Fact:
    at_step = [s for s in view.course.ran_at_step if "hr_avg_bpm" in s.data]
    if len(at_step) < 4:
        return Fact(Unknown("was measured in fewer than four sessions at the step"))
    usual = median(s.data["hr_avg_bpm"] for s in at_step[:-2])
    above = [s for s in at_step[-2:] if s.data["hr_avg_bpm"] > usual + 10]
    return Fact(len(above), tuple(s.key for s in at_step[-2:]))

"""No correction or retraction lifts what a rule of a pack referred, whatever reports, sessions and tests the rule rests on."""

from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from services.decision.core.athlete import Athlete, CourseMark
from services.decision.rules.library import load_text
from shared.events import Event, content_digest, parse
from tests.property.histories import Raw, event, receive_all, report, started
from tests.unit.test_core_arrivals import at, give
from tests.unit.test_core_pack_referrals import Own

GOOD = Path(__file__).parents[1] / "unit" / "rules" / "packs" / "good.yaml"
RULE = """  - rule: own.{name}
    kind: refer
    text: {name}
    when: [{when}]
    then: {{running: withheld, urgency: stop_and_refer, resume_when: [a clinician records the review]}}
    cite: [table]
    grade: expert_default
"""
SEVERE = "{fact: pain.now, is: at_least, value: 5 nrs, cite: [table]}"
RULES = {
    "stopped": "{fact: last.stopped_for_pain, is: true}",
    "limping-ill": "{fact: illness.now, is: one_of, value: [febrile], cite: [table]}, {fact: last.gait_changed, is: true}",
    "failed-sore": "{fact: test.failed, is: true}, " + SEVERE,
    "rising": "{fact: daily.dates_of_7, is: at_least, value: 2 dates, cite: [table]}, " + SEVERE,
}
PACKS = Own(
    load_text(
        "own.yaml",
        GOOD.read_text().replace("rules:\n", "rules:\n" + "".join(RULE.format(name=n, when=w) for n, w in RULES.items()), 1).encode(),
    ).protocol
)
DATA: dict[str, st.SearchStrategy[Raw]] = {
    "session.completed": st.fixed_dictionaries(
        {"kind": st.just("run"), "gait_changed": st.booleans()}, optional={"stopped_for": st.sampled_from(["pain", "time"])}
    ),
    "symptom.reported": st.fixed_dictionaries({"when": st.just("daily"), "pain_nrs": st.sampled_from([0, 5, 9])}),
    "wellness.reported": st.fixed_dictionaries({"illness": st.sampled_from(["none", "febrile"])}),
    "milestone.assessed": st.fixed_dictionaries(
        {"test": st.just("single_leg_hop"), "passed": st.booleans(), "assessor": st.just("clinician"), "side": st.just("left")}
    ),
}


def start() -> Raw:
    return started(protocol=PACKS.protocol.id, start_step="A1")


@st.composite
def histories(draw: st.DrawFn) -> list[Raw]:
    """What was reported, and corrections and retractions of it, in the order of their times; perhaps a review between."""
    hours = draw(st.lists(st.integers(1, 200), min_size=3, max_size=7, unique=True))
    said: list[tuple[int, Raw]] = []
    for n, hour in enumerate(hours):
        kind = draw(st.sampled_from(sorted(DATA)))
        data = draw(DATA[kind]) | ({"session": f"s{n}"} if kind == "session.completed" else {})
        said.append((hour, event(n + 1, kind, at(hour / 24), data)))
    made: list[Raw] = []
    for n in range(draw(st.integers(1, 4))):
        hour, of = draw(st.sampled_from(said))
        when = at((hour + draw(st.integers(1, 60)) + 0.5 + n / 100) / 24)
        if draw(st.booleans()):
            made.append(event(50 + n, "event.retracted", when, {"retracts": of["id"], "reason": "a slip"}, course=None))
        else:
            data = draw(DATA[of["type"].removeprefix("milepost.")]) | {
                name: of["data"][name] for name in ("session",) if name in of["data"]
            }
            made.append(event(50 + n, "event.corrected", when, {"corrects": of["id"], "data": data}, course=None))
    if draw(st.booleans()):
        data = {"gate": "red_flag_review", "granted": True, "by": {"role": "clinician", "id": "dr"}}
        made.append(event(90, "clearance.recorded", at((draw(st.integers(1, 260)) + 0.75) / 24), data))
    return sorted([*(raw for _, raw in said), *made], key=lambda raw: datetime.fromisoformat(raw["time"]))


def referred(athlete: Athlete) -> set[str]:
    return {flag for flag in athlete.state("c1")["open_flags"] if flag.startswith("own.")}


@pytest.mark.law("referral-latches")
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_correction_or_retraction_lifts_what_a_rule_referred(data: st.DataObject) -> None:
    """Whatever came late before it. What bears a later time than the correction was not judged by the old word."""
    raws = data.draw(histories())
    late = data.draw(st.lists(st.sampled_from(raws), max_size=2))
    order = [raw for raw in raws if raw not in late or "event." in raw["type"]]
    order += [raw for raw in raws if raw not in order]
    athlete, _ = receive_all([start()], Athlete(PACKS))
    newest = ""
    for raw in order:
        before = referred(athlete)
        give(athlete, raw)
        if raw["type"].startswith("milepost.event.") and raw["time"] > newest:
            assert before <= referred(athlete), raw
        newest = max(newest, raw["time"])


@pytest.mark.law("any-order")
@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_what_rules_referred_before_corrections_is_the_same_in_any_order_and_after_a_restart(raws: list[Raw], random: Random) -> None:
    other = [start(), *raws]
    random.shuffle(other)
    straight, _ = receive_all([start(), *raws], Athlete(PACKS))
    received: list[tuple[Event, bytes, str]] = []
    marks: dict[str, CourseMark] = {}
    athlete = Athlete(PACKS)
    half = random.randrange(len(other))
    for n, raw in enumerate(other):
        if n == half:
            athlete = Athlete.restore(PACKS, received, marks)
        for decision in give(athlete, raw).decisions:
            marks[decision.course] = CourseMark(decision.seq, decision.body)
        received.append((parse(raw, internal=True), content_digest(raw), raw["time"]))
    assert athlete.content("c1") == straight.content("c1")


@pytest.mark.law("referral-latches")
@pytest.mark.parametrize(
    ("kind", "data", "beside"),
    [
        ("session.completed", {"session": "s1", "kind": "run", "gait_changed": False, "stopped_for": "pain"}, []),
        (
            "wellness.reported",
            {"illness": "febrile"},
            [event(2, "session.completed", at(2), {"session": "s2", "kind": "run", "gait_changed": True})],
        ),
        (
            "milestone.assessed",
            {"test": "single_leg_hop", "passed": False, "assessor": "clinician", "side": "left"},
            [report(2, "daily", None, at(2), pain_nrs=5) | {"course": "c1"}],
        ),
    ],
)
def test_a_retracted_session_test_or_wellness_report_leaves_the_referral_until_the_review(kind: str, data: Raw, beside: list[Raw]) -> None:
    raws = [start(), event(1, kind, at(1), data), *beside]
    assert referred(receive_all(raws, Athlete(PACKS))[0])
    raws.append(event(60, "event.retracted", at(3), {"retracts": "e1", "reason": "another athlete's"}, course=None))
    assert referred(receive_all(raws, Athlete(PACKS))[0])
    later = event(3, "wellness.reported", at(4), {"illness": "none"})
    assert referred(receive_all([*raws, later], Athlete(PACKS))[0])
    review = {"gate": "red_flag_review", "granted": True, "by": {"role": "clinician", "id": "dr"}}
    done = [*raws, event(70, "clearance.recorded", at(5), review)]
    assert not referred(receive_all(done, Athlete(PACKS))[0])
    again = [one | {"id": "later", "time": at(6).isoformat()} for one in beside]
    again = [one | {"data": one["data"] | {"session": "s9"}} if "session" in one["data"] else one for one in again]
    taken_back = referred(receive_all(raws, Athlete(PACKS))[0])
    assert not taken_back & referred(receive_all([*done, *again], Athlete(PACKS))[0]), "and it says nothing of what comes after"

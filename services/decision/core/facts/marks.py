"""Facts of what stands on the course: flags, status, a clinician's word, and whom the protocol is for."""

from services.decision.core.comparing import from_data, stopped_for_pain
from services.decision.core.facts.registry import View, fact
from services.decision.core.protocol import ENTRY, TISSUES
from services.decision.core.recovery import exceeds, limits_at
from services.decision.core.sessions import Fact, Session
from shared.events.catalogue import SITES


@fact("referral.open", "boolean", "", "true", "flag", "a red flag was reported and no clinician has recorded its review since", "red flags")
def _(view: View) -> Fact:
    return Fact(bool(view.course.flags), tuple(flag.key for flag in view.course.flags))


@fact(
    "review.rest_or_night_pain",
    "boolean",
    "",
    "true",
    "flag",
    "rest or night pain was reported that is neither new nor rising",
    "rest and night pain",
)
def _(view: View) -> Fact:
    return Fact(bool(view.course.reviews), tuple(flag.key for flag in view.course.reviews))


@fact("course.open", "boolean", "", "false", "standing", "the course is neither paused nor ended", "whether the course goes on")
def _(view: View) -> Fact:
    return Fact(view.course.status == "open", (view.course.start_key,))


@fact("protocol.expired", "boolean", "", "true", "standing", "the protocol is past its last date", "a protocol that is still in force")
def _(view: View) -> Fact:
    last = view.course.protocol.expires
    return Fact(last is not None and view.today > last)


@fact("answer.declined", "boolean", "", "true", "standing", "a clinician declined the advance from this step", "a clinician's answer")
def _(view: View) -> Fact:
    answered = view.course.answered
    declined = answered is not None and answered.answer == "declined" and answered.of[0] == "advance" and answered.of[1] == view.course.step
    return Fact(declined, (answered.key,) if declined and answered is not None else ())


@fact(
    "engine.faulted",
    "boolean",
    "",
    "true",
    "standing",
    "the second engine failed or differed, and no clinician has reviewed it",
    "an engine review",
)
def _(view: View) -> Fact:
    fault = view.course.fault
    return Fact(fault is not None, () if fault is None else (fault,))


@fact(
    "limit.passed_by_next_step",
    "boolean",
    "",
    "true",
    "standing",
    "the next step asks for more than a clinician's limit allows",
    "the limits in force",
)
def _(view: View) -> Fact:
    limits = limits_at(view.course, view.today)
    rung = view.course.protocol.place[view.course.step] + 1
    if limits is None or rung >= len(view.course.protocol.ladder):
        return Fact(False)
    return Fact(exceeds(view.course.protocol.ladder[rung].dose, limits.values), (limits.key,))


def last_of_any_kind(view: View) -> Session | None:
    """The last session, running or not, since the step was set or the course went back to entry."""
    course = view.course
    ran, others, entered, set_at = course.ran, course.others, course.entry_since, course.set_at
    last = ran[-1] if ran else None
    if others and (last is None or others[-1].key > last.key):
        last = others[-1]
    if last is None or (entered is not None and last.time <= entered) or (set_at is not None and last.time <= set_at[0]):
        return None
    return last


@fact("last.gait_changed", "boolean", "", "true", "technique", "gait changed during the last session of any kind", "whether gait changed")
def _(view: View) -> Fact:
    last = last_of_any_kind(view)
    if last is None or (not last.runs and "gait_changed" not in last.data):
        return Fact(False)
    return from_data(last, "gait_changed")


@fact(
    "last.stopped_for_pain",
    "boolean",
    "",
    "true",
    "pain",
    "the last session of any kind was stopped because of pain",
    "why the session was cut short",
)
def _(view: View) -> Fact:
    last = last_of_any_kind(view)
    if last is None:
        return Fact(False)
    return stopped_for_pain(last) if last.runs else Fact(last.data.get("stopped_for") == "pain", (last.key,))


@fact(
    "last.above_step",
    "boolean",
    "",
    "true",
    "load",
    "the last session was done above the step recommended or set",
    "the step of the session",
)
def _(view: View) -> Fact:
    last = last_of_any_kind(view)
    return Fact(False) if last is None else Fact(last.above_step, (last.key,))


@fact("limit.no_running", "boolean", "", "true", "standing", "a clinician's limit allows no running at all", "the limits in force")
def _(view: View) -> Fact:
    limits = limits_at(view.course, view.today)
    none = limits is not None and 0 in (limits.values.get("run_s"), limits.values.get("sessions_per_week"))
    return Fact(none, (limits.key,) if limits is not None and none else ())


@fact(
    "injury.suits_protocol",
    "boolean",
    "",
    "false",
    "population",
    "the injury is one the protocol is for",
    "an injury of the protocol's population",
)
def _(view: View) -> Fact:
    population = view.course.protocol.population
    site = view.course.started["injury"]["site"]
    suits = view.course.tissue in population.tissues and (not population.sites or site in population.sites)
    return Fact(suits, (view.course.start_key,))


@fact(
    "injury.bone_risk",
    "choice",
    "",
    "higher",
    "population",
    "risk class of a bone injury, as a clinician stated it",
    "the risk class of the bone injury",
    choices=("not_bone", "low", "not_stated", "high"),
)
def _(view: View) -> Fact:
    if view.course.tissue != "bone":
        return Fact("not_bone", (view.course.start_key,))
    stated = view.course.started["injury"].get("high_risk")
    return Fact("not_stated" if stated is None else ("high" if stated else "low"), (view.course.start_key,))


@fact("injury.site", "choice", "", "none", "population", "the injured site", "the injured site", choices=SITES)
def _(view: View) -> Fact:
    return Fact(view.course.started["injury"]["site"], (view.course.start_key,))


@fact("injury.bilateral", "boolean", "", "none", "population", "both sides are injured", "the injured side")
def _(view: View) -> Fact:
    return Fact(view.course.side == "bilateral", (view.course.start_key,))


@fact("injury.tissue", "choice", "", "none", "population", "the injured tissue", "the injured tissue", choices=TISSUES)
def _(view: View) -> Fact:
    return Fact(view.course.tissue, (view.course.start_key,))


@fact(
    "athlete.adult_or_reviewed",
    "boolean",
    "",
    "false",
    "population",
    "18 or older, or a clinician has reviewed the first advance",
    "the birth year, or a review for an athlete under 18",
)
def _(view: View) -> Fact:
    course = view.course
    if course.gained:
        return Fact(True, (course.start_key,))
    for gate in ("minor_review", "physician_clearance"):
        clearance = course.clearances.get(gate)
        if (
            clearance is not None
            and clearance.granted
            and (clearance.valid_until is None or view.today.isoformat() <= clearance.valid_until)
        ):
            return Fact(True, (clearance.key,))
    born = course.started.get("birth_year")
    # Only the year is known: an athlete is certainly 18 from the 19th calendar year on.
    return Fact(born is not None and view.today.year - born > 18, (course.start_key,))


@fact("course.at_entry", "boolean", "", "none", "standing", "the course stands at its entry gates", "the step in force")
def _(view: View) -> Fact:
    return Fact(view.course.step == ENTRY)

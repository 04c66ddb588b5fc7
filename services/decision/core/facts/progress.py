"""Facts of the course: progress at the step, rates, breaks, current symptoms, standing marks."""

from datetime import timedelta

from services.decision.core.course import Course
from services.decision.core.facts.registry import View, fact
from services.decision.core.protocol import ENTRY, TISSUES, Progress
from services.decision.core.recovery import break_days, deload_due, exceeds, limits_at, room, spike_pct
from services.decision.core.sessions import SWELLING, Fact, Report, Session
from services.decision.core.trivalent import Tri, Unknown
from shared.events.catalogue import SITES


def clean_sessions(course: Course, progress: Progress) -> tuple[Session, ...]:
    """The sessions that count at the step in force: as prescribed and clean, since the last one that restarts the count.

    One above the dose always restarts it: the step is repeated first. An unclean one does where the pack says so.
    """
    counted: tuple[Session, ...] = ()
    for session in course.sessions:
        if session.key not in course.at_step:
            continue
        unclean = session.clean is Tri.NOT_MET
        if session.above or (unclean and progress.unclean_restarts):
            counted = ()
        elif session.prescribed.value is True and session.clean is Tri.MET:
            near = bool(counted) and progress.non_consecutive and (session.day - counted[-1].day).days < 2
            counted = counted if near else (*counted, session)
    return counted


def clean_needed(course: Course) -> int:
    progress = course.protocol.progress
    if course.failures.get(course.step):
        return progress.after_failure
    if course.protocol.place[course.step] < course.rebuild_to:
        return progress.on_rebuild
    return progress.clean_sessions


@fact(
    "step.clean_sessions_short",
    "number",
    "sessions",
    "higher",
    "load",
    "clean sessions still to be done at the step before it may be left",
    "further clean sessions at the step",
    lacking="clean sessions still needed at the step: {value}",
)
def _(view: View) -> Fact:
    counted = clean_sessions(view.course, view.course.protocol.progress)
    return Fact(max(clean_needed(view.course) - len(counted), 0), tuple(session.key for session in counted))


@fact(
    "step.unclean_in_a_row",
    "number",
    "sessions",
    "higher",
    "load",
    "sessions at the step, latest first, that were known not to be clean",
    "sessions at the step",
)
def _(view: View) -> Fact:
    row: list[Session] = []
    for session in reversed(view.course.sessions):
        if session.key not in view.course.at_step or session.clean is not Tri.NOT_MET:
            break
        row.append(session)
    return Fact(len(row), tuple(session.key for session in reversed(row)))


@fact(
    "step.failures", "number", "times", "higher", "load", "how often a session at this step led back to an earlier one", "the course so far"
)
def _(view: View) -> Fact:
    return Fact(view.course.failures.get(view.course.step, 0))


@fact(
    "rate.room",
    "number",
    "steps",
    "lower",
    "load",
    "steps that may still be gained by the rate caps on the earliest permitted date",
    "when steps were gained",
    lacking="no step may be gained yet under the rate cap",
)
def _(view: View) -> Fact:
    return Fact(room(view.course, view.earliest), tuple(s.key for s in view.course.sessions[-3:]))


@fact(
    "deload.due",
    "boolean",
    "",
    "true",
    "load",
    "the earliest permitted date lies in a lighter week",
    "the weeks of loading so far",
    lacking="a lighter week is due",
)
def _(view: View) -> Fact:
    return Fact(deload_due(view.course, view.earliest), () if view.session is None else (view.session.key,))


@fact("break.days", "number", "days", "higher", "load", "whole dates without running since the last run", "when the last run was")
def _(view: View) -> Fact:
    last = view.course.sessions[-1:] if view.course.sessions else ()
    return Fact(break_days(view.course, view.today), tuple(session.key for session in last))


@fact(
    "load.spike_pct",
    "number",
    "%",
    "higher",
    "load",
    "distance of the last run against the longest of the 30 days before it",
    "run distances of the last 30 days",
    scale=10,
)
def _(view: View) -> Fact:
    return spike_pct(view.course)


def current(reports: tuple[Report, ...], name: str) -> tuple[Report, ...]:
    """Reports that name the field, dated on the latest such local date or the date before it."""
    naming = [report for report in reports if name in report.data]
    if not naming:
        return ()
    newest = max(report.day for report in naming)
    return tuple(report for report in naming if report.day >= newest - timedelta(days=1))


@fact(
    "pain.now",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest pain at the injured place on the latest date it was reported and the date before",
    "pain at the injured place (0-10)",
    scale=10,
    instrument="NRS 0-10",
)
def _(view: View) -> Fact:
    reports = current(view.course.reports, "pain_nrs")
    if not reports:
        return Fact(Unknown("pain was not reported in the last 15 days"))
    return Fact(max(r.data["pain_nrs"] for r in reports), tuple(r.key for r in reports), reports[-1].time)


@fact(
    "swelling.now",
    "choice",
    "grade",
    "higher",
    "swelling",
    "highest swelling grade on the latest date it was reported and the date before",
    "swelling grade",
    choices=SWELLING,
    instrument="sweep test grade",
)
def _(view: View) -> Fact:
    reports = current(view.course.reports, "swelling")
    if not reports:
        return Fact(Unknown("swelling was not reported in the last 15 days"))
    worst = max(reports, key=lambda r: SWELLING.index(r.data["swelling"]))
    return Fact(worst.data["swelling"], tuple(r.key for r in reports), reports[-1].time)


def _daily(view: View) -> list[Report]:
    since = view.days_ago(6)
    return [r for r in view.course.reports if r.when == "daily" and r.day >= since and "pain_nrs" in r.data]


@fact(
    "daily.dates_of_7",
    "number",
    "dates",
    "lower",
    "pain",
    "dates of the last seven with a daily pain report",
    "a daily report on each of 7 days",
)
def _(view: View) -> Fact:
    reports = _daily(view)
    return Fact(len({r.day: r for r in reports}), tuple(r.key for r in reports))


@fact(
    "daily.worst_of_7",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest daily pain of the last seven dates",
    "daily pain (0-10)",
    scale=10,
    instrument="NRS 0-10",
)
def _(view: View) -> Fact:
    reports = _daily(view)
    if not reports:
        return Fact(Unknown("no daily pain report in the last seven dates"))
    return Fact(max(r.data["pain_nrs"] for r in reports), tuple(r.key for r in reports), reports[-1].time)


@fact(
    "elsewhere.worst",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest pain away from the injured place in the last seven dates",
    "pain elsewhere (0-10)",
    scale=10,
    instrument="NRS 0-10",
)
def _(view: View) -> Fact:
    reports = [r for r in view.course.elsewhere if r.day >= view.days_ago(6)]
    worst = max((r.data.get("pain_nrs", 0) for r in reports), default=0)
    return Fact(worst, tuple(r.key for r in reports))


@fact(
    "elsewhere.times",
    "number",
    "reports",
    "higher",
    "pain",
    "reports of pain away from the injured place in the last seven dates",
    "pain elsewhere",
)
def _(view: View) -> Fact:
    reports = [r for r in view.course.elsewhere if r.day >= view.days_ago(6) and r.data.get("pain_nrs", 0) > 0]
    return Fact(len(reports), tuple(r.key for r in reports))


@fact("skipped.for_pain", "boolean", "", "true", "pain", "a session was skipped for pain since the last run", "why sessions were skipped")
def _(view: View) -> Fact:
    keys = tuple(key for key, reason in view.course.skipped if reason == "pain")
    return Fact(bool(keys), keys)


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
    return Fact(view.course.status == "open", () if view.course.last_key is None else (view.course.start_key,))


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
    "`injury.high_risk` of the bone injury",
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
    "the birth year, or a `minor_review`",
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

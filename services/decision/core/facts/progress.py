"""Facts of the course: progress at the step, rates, breaks, current symptoms, standing marks."""

from services.decision.core.course import Course
from services.decision.core.facts.registry import View, fact
from services.decision.core.protocol import Progress
from services.decision.core.recovery import break_days, deload_due, room, spike_pct
from services.decision.core.sessions import Fact, Session
from services.decision.core.trivalent import MET, NOT_MET


def clean_sessions(course: Course, progress: Progress) -> tuple[Session, ...]:
    """The sessions that count at the step in force: as prescribed and clean, since the last one that restarts the count.

    One above the dose always restarts it: the step is repeated first. An unclean one does where the pack says so.
    """
    counted: list[Session] = []
    for session in course.judged_at_step:
        clean = session.clean
        if session.above or (clean is NOT_MET and progress.unclean_restarts):
            counted = []
        elif clean is MET and session.prescribed.value is True:
            near = bool(counted) and progress.non_consecutive and (session.day - counted[-1].day).days < 2
            if not near:
                counted.append(session)
    return tuple(counted)


def clean_needed(course: Course) -> int:
    protocol, step = course.protocol, course.step
    progress = protocol.progress
    if course.failures.get(step):
        return progress.after_failure
    if protocol.place[step] < course.rebuild_to:
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
    lacking="{value} more clean session{s} needed at the step",
)
def _(view: View) -> Fact:
    counted = clean_sessions(view.course, view.course.protocol.progress)
    return Fact(max(clean_needed(view.course) - len(counted), 0), tuple([session.key for session in counted]))


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
    for session in reversed(view.course.judged_at_step):
        if session.clean is not NOT_MET:
            break
        row.append(session)
    return Fact(len(row), tuple([session.key for session in reversed(row)]))


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
    lacking="No further step may be gained yet under the rate cap",
)
def _(view: View) -> Fact:
    return Fact(room(view.course, view.earliest), tuple([s.key for s in view.course.ran[-3:]]))


@fact(
    "deload.due",
    "boolean",
    "",
    "true",
    "load",
    "the earliest permitted date lies in a lighter week",
    "the weeks of loading so far",
    lacking="A lighter week is due",
)
def _(view: View) -> Fact:
    last = view.course.last_ran
    return Fact(deload_due(view.course, view.earliest), () if last is None else (last.key,))


@fact("break.days", "number", "days", "higher", "load", "whole dates without running since the last run", "when the last run was")
def _(view: View) -> Fact:
    last = view.course.ran[-1:]
    return Fact(break_days(view.course, view.today), tuple([session.key for session in last]))


@fact(
    "load.spike_pct",
    "number",
    "%",
    "higher",
    "load",
    "distance of the last run against the longest of the 30 days before it",
    "the run distances of the last 30 days",
    scale=10,
)
def _(view: View) -> Fact:
    return spike_pct(view.course)

"""The step in force: how sessions, setbacks and clinicians move it."""

from services.decision.core.course import KEEP_DAYS, Course, Setback
from services.decision.core.protocol import ENTRY
from services.decision.core.sessions import Session
from services.decision.core.standing import Standing
from shared.events import Event


def return_to_entry(course: Course, event: Event, standing: Standing | None) -> None:
    """A regress to entry takes force when its rest is over: from then on the entry gates decide, on new evidence."""
    if standing is None or standing.action != "regress" or standing.to_step != ENTRY or standing.not_before is None:
        return
    if course.day(event.time) >= standing.not_before:
        _to_entry(course)


def _to_entry(course: Course) -> None:
    """From here on the entry gates decide, on evidence newer than the session that led back."""
    course.step = ENTRY
    course.entry_since = course.sessions[-1].time if course.sessions else course.as_of
    course.tested = {}
    course.step_since = course.last_key


def move_step(course: Course, session: Session, standing: Standing | None) -> None:
    """The step in force follows the last planned session, never above what was recommended or set.

    A regress takes force with the next session whatever that session was: an unplanned run does not wash it away.
    """
    place = course.protocol.place
    allowed = standing.to_step if standing is not None else course.step
    now = place[course.step]
    if standing is not None and standing.action == "regress" and place[allowed] < now:
        _set_back(course, session, standing)
    rung = min(place[session.step], place[allowed]) if session.planned else min(now, place[allowed])
    step = course.protocol.steps[rung + 1]
    if step == ENTRY and course.step != ENTRY:
        _to_entry(course)
    elif step != course.step:
        if rung > now:
            course.raised = session.key
            course.gained = (*tuple(g for g in course.gained if (session.day - g[0]).days <= KEEP_DAYS), (session.day, step))
        course.step = step
        course.step_since = session.key
    if place[course.step] >= course.rebuild_to:
        course.rebuild_to = -1
    if session.planned:
        course.set_at = None


def _set_back(course: Course, session: Session, standing: Standing) -> None:
    if standing.by_break:
        course.rebuild_to = max(course.rebuild_to, course.protocol.place[course.step])
        return
    kept = tuple(s for s in course.setbacks if (session.day - s.day).days <= KEEP_DAYS)
    course.setbacks = (*kept, Setback(course.last_run_day or session.day, course.step))
    course.failures = {**course.failures, course.step: course.failures.get(course.step, 0) + 1}


def set_step(course: Course, event: Event, step: str) -> None:
    course.step = step
    course.set_at = course.step_since = course.raised = event.key
    course.failures = {}
    if step == ENTRY:
        course.entry_since = event.time
        course.tested = {}

"""Which session a report belongs to, by its link or by its moment."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from services.decision.core.course import Course
from services.decision.core.judging import Judging
from services.decision.core.sessions import Report, Session


def belongs(report: Report, session_id: str, day: date) -> bool:
    linked = report.data.get("session")
    return report.day == day if linked is None else bool(linked == session_id)


def link(course: Course, report: Report, judging: Judging) -> None:
    """Give the report to its session, or keep it until that session starts."""
    linked = report.data.get("session")
    if linked is not None:
        before = course.sessions, course.others
        _attach(course, report, lambda s: s.id == linked, judging)
        if course.sessions is before[0] and course.others is before[1]:
            _wait(course, report)
    elif report.when in ("before", "warm_up"):
        _wait(course, report)
    elif report.when in ("during", "after"):
        latest = max((s.key for s in (*course.sessions, *course.others) if s.time <= report.time), default=None)
        _attach(course, report, lambda s: s.key == latest, judging)
    elif report.when in ("next_morning", "next_day", "two_days_after"):
        day = report.day - timedelta(days=2 if report.when == "two_days_after" else 1)
        latest = max((s.key for s in (*course.sessions, *course.others) if s.day == day), default=None)
        _attach(course, report, lambda s: s.key == latest, judging)


def _wait(course: Course, report: Report) -> None:
    kept = report.day - timedelta(days=7)
    course.waiting = (*tuple(r for r in course.waiting if r.day >= kept), report)


def _attach(course: Course, report: Report, mine: Callable[[Session], bool], judging: Judging) -> None:
    sessions, others = course.sessions, course.others
    place = _latest(sessions, mine)
    if place is not None:
        taken = judging.cleaned(sessions[place].reported(report))
        course.sessions = _with(sessions, place, taken)
        if taken.clean is not sessions[place].clean:
            course.judged = _with(course.judged, place, taken)
    place = _latest(others, mine)
    if place is not None:
        course.others = _with(others, place, judging.cleaned(others[place].reported(report)))


def _latest(sessions: Sequence[Session], mine: Callable[[Session], bool]) -> int | None:
    for place in range(len(sessions) - 1, -1, -1):
        if mine(sessions[place]):
            return place
    return None


def _with(sessions: tuple[Session, ...], place: int, taken: Session) -> tuple[Session, ...]:
    return (*sessions[:place], taken, *sessions[place + 1 :])

"""Which session a report belongs to, by its link or by its moment."""

from datetime import date, timedelta
from operator import attrgetter
from typing import Final

from services.decision.core.course import Course
from services.decision.core.days import later
from services.decision.core.judging import Judging
from services.decision.core.sessions import Report, Session

_key: Final = attrgetter("key")


def belongs(report: Report, session_id: str, day: date) -> bool:
    linked = report.data.get("session")
    return report.day == day if linked is None else bool(linked == session_id)


def session_of(course: Course, session_id: str) -> Session | None:
    """The session of this id; None where it is not kept."""
    for sessions in (course.sessions, course.others):
        for session in reversed(sessions):
            if session.id == session_id:
                return session
    return None


def link(course: Course, report: Report, judging: Judging) -> None:
    """Give the report to its session, or keep it until that session starts."""
    linked, when, session = report.data.get("session"), report.when, None
    if linked is not None:
        session = session_of(course, linked)
        if session is None:
            _wait(course, report)
    elif when in ("before", "warm_up"):
        _wait(course, report)
    elif when in ("during", "after"):
        session = max((s for s in (*course.sessions, *course.others) if s.time <= report.time), default=None, key=_key)
    elif when in ("next_morning", "next_day", "two_days_after"):
        day = later(report.day, -2 if when == "two_days_after" else -1)
        session = max((s for s in (*course.sessions, *course.others) if s.day == day), default=None, key=_key)
    if session is not None:
        _attach(course, report, session, judging)


def _wait(course: Course, report: Report) -> None:
    kept = report.day - timedelta(days=7)
    course.waiting = (*tuple(r for r in course.waiting if r.day >= kept), report)


def _attach(course: Course, report: Report, session: Session, judging: Judging) -> None:
    taken = judging.cleaned(session.reported(report))
    if not session.runs:
        course.others = _with(course.others, taken)
        return
    course.sessions = _with(course.sessions, taken)
    if taken.clean is not session.clean:
        course.judged = _with(course.judged, taken)


def _with(sessions: tuple[Session, ...], taken: Session) -> tuple[Session, ...]:
    """The sessions with this one in the place of what it was made of, which is one of the last."""
    place = len(sessions) - 1
    while sessions[place].key != taken.key:
        place -= 1
    return (*sessions[:place], taken, *sessions[place + 1 :])

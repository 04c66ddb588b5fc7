"""When a course that is not paused has stalled: nothing is heard of it, or it stays at one step.

The waits are expert defaults, longer than an unremarkable course takes between two reports or two steps: 14 dates without any event, 28
before the first run, where weeks lie between two tests; 28 dates at one step, which is also when a break leads back to entry.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache

from services.decision.core.course import Course
from services.decision.core.days import start_of
from services.decision.core.protocol import COMPLETE, ENTRY

NOTHING_HEARD = "nothing_heard"
SAME_STEP = "same_step"
SILENT_DAYS = 14
SILENT_DAYS_BEFORE = 28
SAME_STEP_DAYS = 28
TOLD_AT = time(9)
"""Local time: nobody has to be told of it at night."""


def stalls(course: Course, eligible_from: date | None) -> list[tuple[str, datetime]]:
    """(kind, instant in UTC) of what will be a stall if nothing changes: whole dates after the last event, after the step was reached.

    Until a window that is known ends (`eligible_from`), waiting is what was asked for, and the days begin then. At entry the gates are
    waited for, and each decision names them.
    """
    if course.status != "open" or course.step == COMPLETE:
        return []
    found = []
    if course.silent_since != course.heard:
        days = days_until(NOTHING_HEARD, course.last_run_day is not None)
        found.append((NOTHING_HEARD, _after(course.day(course.heard), days, eligible_from, course.zone)))
    if course.step != ENTRY and course.step_since is not None and course.stuck_since != course.step_since:
        found.append((SAME_STEP, _after(course.day(course.step_since[0]), SAME_STEP_DAYS, eligible_from, course.zone)))
    return found


def stalled(course: Course, kind: str, on: date) -> None:
    """Notes that it did, so that the same stall is not said again: when something is heard, or the step changes, it is another.

    What arrived since may show that there was no stall on that date.
    """
    if kind == NOTHING_HEARD and (on - course.day(course.heard)).days > days_until(kind, course.last_run_day is not None):
        course.silent_since = course.heard
    elif kind == SAME_STEP and course.step_since is not None and (on - course.day(course.step_since[0])).days > SAME_STEP_DAYS:
        course.stuck_since = course.step_since


def days_until(kind: str, runs: bool) -> int:
    """How many whole dates make a stall of that kind; `runs`: the athlete has run in this course."""
    if kind == SAME_STEP:
        return SAME_STEP_DAYS
    return SILENT_DAYS if runs else SILENT_DAYS_BEFORE


@lru_cache(maxsize=4096)
def _after(day: date, days: int, eligible_from: date | None, zone_name: str) -> datetime:
    since = day if eligible_from is None else max(day, eligible_from)
    return start_of(since + timedelta(days=days + 1), zone_name, TOLD_AT)

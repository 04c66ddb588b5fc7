"""When time itself will matter to a course of which nothing more is heard."""

from datetime import timedelta
from operator import itemgetter

from services.decision.core.course import Course
from services.decision.core.days import start_of, written
from services.decision.core.settled import Settled
from services.decision.core.stalling import stalls
from services.decision.core.summary import due_report


def timers(course: Course, settled: Settled) -> tuple[tuple[str, str], ...]:
    """(kind, instant in UTC): the start of the day after `valid_until`, of `eligible_from`, the first report due, and a stall."""
    if course.status == "ended":
        return ()
    now, moments = course.as_of, []
    if settled.valid_until is not None:
        moments.append(("valid_until", start_of(settled.valid_until + timedelta(days=1), course.zone)))
    if settled.eligible_from is not None:
        moments.append(("eligible_from", start_of(settled.eligible_from, course.zone)))
    due = due_report(course)
    if due is not None:
        moments.append(("report_due", due.at))
    # Of the two ways to stall the nearer, for both would cost every decision a row more; the other follows when it has passed.
    moments += sorted([moment for moment in stalls(course, settled.eligible_from) if moment[1] > now], key=itemgetter(1))[:1]
    return tuple([(kind, written(at)) for kind, at in moments if at > now])

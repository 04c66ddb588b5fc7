"""What is told of time itself: a report that did not come, a recommendation that ran out, a course that stalled. Pure.

Each follows from an event of history (`milepost.time.reached`), so each cause is told once. What had passed for long when it was noticed is
not told: it comes of a history that was sent after the fact, and what holds now is told as any change is.
"""

from datetime import timedelta
from typing import Any, Final

from services.decision.arrivals import Arrival, stamp
from services.decision.core.decision import Decision
from services.decision.core.stalling import NOTHING_HEARD, SAME_STEP, days_until
from shared.events.terms import evidence_ids

TIME_REACHED: Final = "milepost.time.reached"
REPORT_DUE: Final = "report.due"
EXPIRED: Final = "recommendation.expired"
STALLED: Final = "course.stalled"
REPORT_TOLD_WITHIN: Final = timedelta(days=1)
"""After that the next morning has come, and another report is wanted."""
TOLD_WITHIN: Final = timedelta(days=7)


def told_of_time(arrival: Arrival, decision: Decision, stored: int) -> tuple[str, dict[str, Any]] | None:
    """(kind, what else stands in the outbox row) of a date that came, or None when nobody is to be told.

    `decision` is what the course's date led to, `stored` the number of the decision that had set the date.
    """
    event = arrival.event
    assert event is not None and event.type == TIME_REACHED, "asked of time's own events alone"
    kind, at = event.data["kind"], stamp(event.time)
    late = arrival.recorded_at - event.time
    named = {"course": decision.course, "at": at}
    # Whose terms it inherits: what did not come is said of a session that did.
    rests_on = {"rests_on": sorted(evidence_ids(decision.body))}
    if kind == "report_due":
        return (REPORT_DUE, {"body": {**named, "report": "next_morning"}, **rests_on}) if late <= REPORT_TOLD_WITHIN else None
    if late > TOLD_WITHIN:
        return None
    if kind == "valid_until" and stored and decision.state["status"] == "open":
        return EXPIRED, {"seq": stored, "at": at}
    if kind in (NOTHING_HEARD, SAME_STEP):
        step, runs = decision.state["step"], decision.state["last_run"] is not None
        return STALLED, {"body": {**named, "because": kind, "step": step, "days": days_until(kind, runs)}, **rests_on}
    return None

"""What follows from an attempt for its delivery: pure."""

from datetime import datetime, timedelta

from services.notify.attempt import Answer
from services.notify.schedule import wait_before
from services.notify.store.sending import Attempt, Due, Settled


def attempt_row(due: Due, answer: Answer, body: bytes) -> Attempt:
    """The attempt as history keeps it."""
    return attempt_of(due.id, due.made + 1, due.tenant, answer, body)


def attempt_of(delivery: str, n: int, tenant: str, answer: Answer, body: bytes) -> Attempt:
    """The nth attempt of a delivery."""
    headers = dict(answer.headers)
    return Attempt(
        delivery, n, tenant, answer.started_at, answer.duration_ms, answer.status, answer.error, headers, body, answer.response_body
    )


def blocked(due: Due, because: str, now: datetime) -> Settled:
    """A delivery that may not be made any more, by the release policy or a source's terms as they stand now."""
    return Settled(due.id, "blocked", because, due.tries, None, now)


def settle(due: Due, answer: Answer, now: datetime, waits_s: tuple[float, ...]) -> Settled:
    """Where the delivery stands: delivered, pending until the next attempt, or exhausted with the reason."""
    tries = due.tries + 1
    if answer.outcome == "delivered":
        return Settled(due.id, "delivered", None, tries, None, now)
    if answer.outcome == "gone":
        return Settled(due.id, "exhausted", "answered 410; endpoint disabled", tries, None, now)
    wait = wait_before(tries, waits_s, answer.asked_s)
    if wait is None:
        return Settled(due.id, "exhausted", f"{tries} attempts, the last: {answer.error}", tries, None, now)
    return Settled(due.id, "pending", answer.error, tries, now + timedelta(seconds=wait), None)

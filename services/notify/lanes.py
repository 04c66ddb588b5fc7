"""How much may be under way to each endpoint: little to one that fails, more to one that answers, nothing while one rests.

Each lane is its endpoint's circuit breaker: closed; open while it rests after failures; half open when the rest is over and one delivery
is tried, which closes it or opens it for longer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from services.notify.schedule import FAILURES_BEFORE_PAUSE, pause_after

BreakerState = Literal["closed", "open", "half_open"]

FIRST_LIMIT: Final = 8
MOST_LIMIT: Final = 64


@dataclass
class Lane:
    """One endpoint as the deliverer sees it. `look_at`: when the store may have something due for it, None when nothing is known of."""

    look_at: datetime | None = None
    limit: int = FIRST_LIMIT
    under_way: int = 0
    failures: int = 0
    failed_at: datetime | None = None
    rests_until: datetime | None = None
    failing_since: datetime | None = None

    def hint(self, moment: datetime) -> None:
        """Something will be due at `moment`."""
        if self.look_at is None or moment < self.look_at:
            self.look_at = moment

    def free(self, now: datetime) -> int:
        """How many attempts may begin now."""
        if self.look_at is None or self.look_at > now or (self.rests_until is not None and self.rests_until > now):
            return 0
        return max(0, self.limit - self.under_way)

    def next_look(self) -> datetime | None:
        """When `free` may become positive without anything else happening; None when only a hint or an ended attempt can do that."""
        if self.look_at is None or self.under_way >= self.limit:
            return None
        return max(self.look_at, self.rests_until) if self.rests_until is not None else self.look_at

    def succeeded(self) -> None:
        """An answer came: trust the endpoint with twice as much."""
        self.failures, self.failed_at, self.rests_until, self.failing_since = 0, None, None, None
        self.limit = min(self.limit * 2, MOST_LIMIT)

    def failed(self, began: datetime, now: datetime, waits_s: tuple[float, ...], asked_s: float = 0.0) -> None:
        """The endpoint is unwell: half as much, and after some failures in a row a rest. Attempts that were under way together count once.

        `waits_s` is the retry schedule, `asked_s` what is heeded of the receiver's Retry-After.
        """
        if self.failed_at is None or began >= self.failed_at:
            self.failures, self.failed_at, self.failing_since = self.failures + 1, now, self.failing_since or now
            self.limit = max(1, self.limit // 2)
        pause_s = pause_after(self.failures, waits_s, asked_s)
        if pause_s > 0 and (self.rests_until is None or began >= self.rests_until or asked_s > 0):
            self.limit, self.rests_until = 1, max(self.rests_until or now, now + timedelta(seconds=pause_s))

    def restore(self, failing_since: datetime, rests_until: datetime | None) -> None:
        """Takes up where the process before left off: an endpoint that failed is tried one delivery at a time."""
        self.failing_since, self.failed_at, self.rests_until = failing_since, failing_since, rests_until
        self.failures, self.limit = FAILURES_BEFORE_PAUSE, 1

    def breaker(self, now: datetime) -> BreakerState:
        """How the circuit breaker stands."""
        return breaker(self.rests_until, now)

    @property
    def is_idle(self) -> bool:
        """Nothing under way, nothing known to come, nothing to remember: the lane can be forgotten."""
        return self.look_at is None and self.under_way == 0 and self.failures == 0


def breaker(rests_until: datetime | None, now: datetime) -> BreakerState:
    """How a circuit breaker stands that last opened until then; None when it is closed."""
    if rests_until is None:
        return "closed"
    return "open" if rests_until > now else "half_open"

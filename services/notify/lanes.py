"""How much may be under way to each endpoint: little to one that fails, more to one that answers, nothing while one rests.

Each lane is its endpoint's circuit breaker: closed; open while it rests after failures; half open when the rest is over and one delivery
is tried, which closes it or opens it for longer.

Places are shared by two budgets, so that no endpoint that answers waits for places that are held by others in silence: one for those that
answer, one for those of which that is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from services.notify.schedule import FAILURES_BEFORE_PAUSE, pause_after

BreakerState = Literal["closed", "open", "half_open"]

FIRST_LIMIT: Final = 8
MOST_LIMIT: Final = 64
MOST_UNSETTLED: Final = 160
"""Attempts of an endpoint that are under way or ended and not yet written down; they fill the store's window (256) until then."""
SILENT_AFTER: Final = timedelta(seconds=1)
MOST_ANSWERING: Final = 768
MOST_DOUBTFUL: Final = 256
"""Attempts under way at once, to endpoints that answer and to the others."""


@dataclass
class Lane:
    """One endpoint as the deliverer sees it. `look_at`: when the store may have something due for it, None when nothing is known of.

    `under_way` attempts wait for an answer, since `waits_since` for the next; `unsettled` counts besides those not yet written down.
    `answers`: the last attempt that said something of the endpoint had an answer.
    """

    look_at: datetime | None = None
    limit: int = FIRST_LIMIT
    under_way: int = 0
    unsettled: int = 0
    waits_since: datetime | None = None
    answers: bool = False
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
        if self.look_at is None or self.look_at > now or (self.rests_until is not None and self.rests_until > now) or self.is_silent(now):
            return 0
        return max(0, min(self.limit - self.under_way, MOST_UNSETTLED - self.unsettled))

    def next_look(self, now: datetime) -> datetime | None:
        """When `free` may become positive without anything else happening; None when only a hint or an ended attempt can do that."""
        if self.look_at is None or self.under_way >= self.limit or self.unsettled >= MOST_UNSETTLED or self.is_silent(now):
            return None
        return max(self.look_at, self.rests_until) if self.rests_until is not None else self.look_at

    def is_silent(self, now: datetime) -> bool:
        """Whether attempts have waited for a while and none was answered: what is under way may stay so until its time is over."""
        return self.waits_since is not None and now - self.waits_since > SILENT_AFTER

    def is_doubtful(self, now: datetime) -> bool:
        """Whether it is not known that the endpoint answers."""
        return not self.answers or self.is_silent(now)

    def began(self, now: datetime) -> None:
        """An attempt begins."""
        self.under_way += 1
        self.unsettled += 1
        self.waits_since = self.waits_since or now

    def ended(self, now: datetime) -> None:
        """An attempt ended; what became of it is still to be written down."""
        self.under_way -= 1
        self.waits_since = now if self.under_way else None

    @property
    def has_room(self) -> bool:
        """Whether it is worth asking the store for more: for a few at a time it would be asked too often."""
        return self.look_at is not None and 2 * self.under_way <= self.limit

    def succeeded(self) -> None:
        """An answer came: trust the endpoint with twice as much."""
        self.failures, self.failed_at, self.rests_until, self.failing_since = 0, None, None, None
        self.limit = min(self.limit * 2, MOST_LIMIT)
        self.answers = True

    def failed(self, began: datetime, now: datetime, waits_s: tuple[float, ...], asked_s: float = 0.0) -> None:
        """The endpoint is unwell: half as much, and after some failures in a row a rest. Attempts that were under way together count once.

        `waits_s` is the retry schedule, `asked_s` what is heeded of the receiver's Retry-After.
        """
        self.answers = False
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
        return self.look_at is None and self.unsettled == 0 and self.failures == 0


def breaker(rests_until: datetime | None, now: datetime) -> BreakerState:
    """How a circuit breaker stands that last opened until then; None when it is closed."""
    if rests_until is None:
        return "closed"
    return "open" if rests_until > now else "half_open"


def room(lanes: Mapping[str, Lane], now: datetime) -> dict[str, int]:
    """How many attempts each of these endpoints may begin now, in their order: first come, first served, within its budget."""
    used = {True: 0, False: 0}
    for lane in lanes.values():
        used[lane.is_doubtful(now)] += lane.under_way
    left = {True: MOST_DOUBTFUL - used[True], False: MOST_ANSWERING - used[False]}
    granted: dict[str, int] = {}
    for endpoint, lane in lanes.items():
        doubtful = lane.is_doubtful(now)
        free = min(lane.free(now), left[doubtful])
        if free > 0:
            granted[endpoint] = free
            left[doubtful] -= free
    return granted

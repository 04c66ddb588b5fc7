"""Time itself: which timers are due, and when to look again. The only place where the wall clock decides that something happens."""

from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from services.decision.store import timers
from services.decision.store.connection import Connection
from services.decision.store.rows import TimerRow

LOOK_EVERY_S: Final = 1.0
AT_LEAST_EVERY_S: Final = 10.0
"""While the lane is behind, events that wait are likely to move the timers; but time may not stand still for ever."""
BATCH: Final = 256


class Ticker:
    def __init__(self) -> None:
        self._looked = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait_s(self) -> float:
        """How long the lane may wait for messages before it looks at the timers."""
        return max(0.05, self._looked + LOOK_EVERY_S - monotonic())

    def is_due(self, idle: bool) -> bool:
        """Whether to look now; `idle` when the lane has nothing left to read."""
        return monotonic() - self._looked >= (LOOK_EVERY_S if idle else AT_LEAST_EVERY_S)

    async def due(self, connection: Connection, partitions: Sequence[int]) -> list[TimerRow]:
        """Up to 256 timers whose time has come, earliest first. Looks again at once while there are more."""
        found = await timers.due(connection, partitions, BATCH)
        if len(found) < BATCH:
            self._looked = monotonic()
        return found

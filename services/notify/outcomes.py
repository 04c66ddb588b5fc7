"""Writes down what became of attempts, as many together as have come, and what follows for their endpoints.

One transaction at a time: while one commits, the next gathers. What waits here is known nowhere else, so a store that does not answer is
asked until it does; a process that ends before only leaves attempts that are made again, with the same id and bytes.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import operations
from services.notify.notices import EXHAUSTED, FAILING, RECOVERED
from services.notify.operations import Happening
from services.notify.sender import Done
from services.notify.store import sending, telling
from services.notify.store.connection import Connection, Own
from services.notify.store.sending import Breaker
from shared import db
from shared.stopping import told_to_stop

RECORDED_TOGETHER: Final = 500

_log = structlog.get_logger("milepost.notify.deliver")


class Turn(NamedTuple):
    """A circuit breaker that moved; `was` is until when it rested at the last writing, None when it was closed."""

    breaker: Breaker
    tenant: str
    was: datetime | None


class Outcomes:
    """`settled` is called with what a commit settled, `told` with endpoints for which it left something new."""

    def __init__(
        self,
        database: AsyncEngine,
        disable_after_s: float,
        clock: Callable[[], datetime],
        settled: Callable[[Sequence[Done]], None],
        told: Callable[[Iterable[str]], None],
    ) -> None:
        self._database = Own(database)
        self._disable_after_s = disable_after_s
        self._clock = clock
        self._settled = settled
        self._told = told
        self._done: asyncio.Queue[Done] = asyncio.Queue()
        self._turns: dict[str, Turn] = {}
        self._overdue: set[str] = set()

    def put(self, done: Done) -> None:
        """An attempt ended."""
        self._done.put_nowait(done)

    def turned(self, turn: Turn) -> None:
        """A circuit breaker opened or closed; until it is written down, only the last turn counts."""
        former = self._turns.get(turn.breaker.endpoint)
        self._turns[turn.breaker.endpoint] = turn._replace(was=former.was) if former else turn

    def failed_for_too_long(self, endpoint: str) -> None:
        """An endpoint that is to be disabled."""
        self._overdue.add(endpoint)

    async def run(self) -> None:
        """Writes until cancelled."""
        async with self._database:
            while not told_to_stop():
                batch = [await self._done.get()]
                while len(batch) < RECORDED_TOGETHER and not self._done.empty():
                    batch.append(self._done.get_nowait())
                told = await self._written(29, partial(self._record, batch))
                self._settled(batch)
                for _ in batch:
                    self._done.task_done()
                if self._turns or self._overdue:
                    turns, overdue = dict(self._turns), sorted(self._overdue)
                    told |= await self._written(32, partial(self._note, turns, overdue))
                    self._noted(turns, overdue)
                self._told(told)

    async def written(self) -> None:
        """Waits until everything that was put is written down."""
        await self._done.join()

    async def _written(self, points: int, write: Callable[[Connection], Awaitable[set[str]]]) -> set[str]:
        """One transaction, repeated until the store takes it. Returns endpoints with something new."""
        wait_s = 0.1
        while True:
            try:
                async with self._database.transaction(points) as connection:
                    return await write(connection)
            except db.FAULTS as fault:
                if told_to_stop():
                    raise asyncio.CancelledError from fault
                _log.warning("outcomes cannot be recorded yet", error=type(fault).__name__, retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)

    async def _record(self, batch: Sequence[Done], connection: Connection) -> set[str]:
        now = self._clock()
        gone = sorted({done.due.endpoint for done in batch if done.answer is not None and done.answer.outcome == "gone"})
        spent = Counter((done.due.tenant, done.due.endpoint) for done in batch if done.settled.state == "exhausted")
        if gone or spent:
            await telling.in_line(connection)
        await sending.record(connection, [done.attempt for done in batch if done.attempt], [done.settled for done in batch])
        happened = [Happening(tenant, EXHAUSTED, endpoint, {"deliveries": count}) for (tenant, endpoint), count in sorted(spent.items())]
        for endpoint in gone:
            happened += await operations.disabled(connection, endpoint, "answered 410 Gone", now)
        return await operations.tell(connection, happened, now)

    async def _note(self, turns: Mapping[str, Turn], overdue: Sequence[str], connection: Connection) -> set[str]:
        """Circuit breakers that opened or closed, and endpoints that have failed for too long."""
        now = self._clock()
        await telling.in_line(connection)
        happened: list[Happening] = []
        for breaker, tenant, was in turns.values():
            if (breaker.rests_until is None) != (was is None):
                failing = breaker.rests_until is not None
                told = {"failing_since": breaker.failing_since.isoformat()} if failing and breaker.failing_since else {}
                happened.append(Happening(tenant, FAILING if failing else RECOVERED, breaker.endpoint, told))
        if turns:
            await sending.set_breakers(connection, [breaker for breaker, _, _ in turns.values()])
        for endpoint in overdue:
            days = f"{self._disable_after_s / 86_400:g} days"
            happened += await operations.disabled(connection, endpoint, f"nothing but failures for {days}", now)
        return await operations.tell(connection, happened, now)

    def _noted(self, turns: Mapping[str, Turn], overdue: Sequence[str]) -> None:
        self._overdue.difference_update(overdue)
        for endpoint, turn in turns.items():
            # It may have turned again meanwhile: then from what was written.
            again = self._turns.pop(endpoint)
            if again is not turn:
                self._turns[endpoint] = again._replace(was=turn.breaker.rests_until)

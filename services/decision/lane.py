"""One lane: reads its partitions of the bus in order, settles, writes, acknowledges; between batches it lets time itself speak.

INVARIANT: history's checkpoint is the truth and the bus' is a hint. Whatever fails without a clear answer ends in the same way: forget the
athletes at hand, take the leases under a new epoch (which reads the heads behind any transaction still under way), and read on from the
checkpoint. So nothing is lost or written twice, whichever step was cut off.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.arrivals import Arrival, read, set_aside, time_reached
from services.decision.desk import Desk
from services.decision.forgetting import Forgetting
from services.decision.keys import AthleteKeys
from services.decision.lease import Lease
from services.decision.ledger import entries
from services.decision.reader import Message, Reader
from services.decision.store import erasures
from services.decision.store.commit import Clash, Fenced, commit
from services.decision.store.committing import commit_to
from services.decision.store.connection import Connection, borrowed
from services.decision.ticker import Ticker
from shared.stopping import told_to_stop

FETCH_WAIT_S: Final = 1.0
"""Short, because a parked pull does not survive a restart of the server (nats.py #504)."""
PACKS_EVERY_S: Final = 1.0
CLASHES: Final = 5
"""Tries of a batch whose keys are taken; each sees what took them before, so a second is nearly always enough."""

_UNSTORABLE: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.IntegrityConstraintViolationError)
"""What PostgreSQL says of values rather than of itself: trying again changes nothing, and nothing was written."""

_log = structlog.get_logger("milepost.decision")


class Lane:
    def __init__(
        self,
        engine: AsyncEngine,
        open_reader: Callable[[Sequence[int], int], Awaitable[Reader]],
        desk: Desk,
        keys: AthleteKeys,
        lease: Lease,
        ticker: Ticker,
        fetch_size: int,
        committed: Callable[[], None],
        renew_packs: Callable[[Connection], Awaitable[None]],
        forgetting: Forgetting,
    ) -> None:
        """`open_reader(partitions, start)` reads the bus from stream sequence `start`; `committed` is called after each COMMIT, and
        `renew_packs` between two batches, about once a second, with what was published since.
        """
        self._engine = engine
        self._open_reader = open_reader
        self._desk = desk
        self._keys = keys
        self._lease = lease
        self._ticker = ticker
        self._fetch_size = fetch_size
        self._committed = committed
        self._renew_packs = renew_packs
        self._forgetting = forgetting
        self._packs_renewed = 0.0
        self._moved = False
        self.serving = asyncio.Event()

    async def run(self) -> None:
        """Serves until cancelled; gives the partitions back then."""
        pause = 0.1
        try:
            while not told_to_stop():
                self._moved = False
                try:
                    await self._serve()
                except Exception as fault:
                    pause = 0.1 if self._moved else min(2 * pause, 5)
                    _log.warning("the lane starts again from its checkpoint", retry_in_s=pause, exc_info=fault)
                finally:
                    self.serving.clear()
                    self._desk.athletes.clear()
                    self._keys.clear()
                await asyncio.sleep(pause)
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self._lease.give_back()
        except Exception as fault:
            _log.warning("the partitions could not be given back; their leases run out by themselves", exc_info=fault)

    async def _serve(self) -> None:
        await self._lease.take()
        async with borrowed(self._engine) as connection:
            self._forgetting.know(await erasures.pseudonyms(connection))
        reader = await self._open_reader(self._lease.partitions, self._lease.read_to + 1)
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(self._lease.keep())
                self.serving.set()
                try:
                    while not told_to_stop():
                        await self._turn(reader)
                finally:
                    keeping.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            await reader.close()

    async def _turn(self, reader: Reader) -> None:
        if monotonic() - self._packs_renewed >= PACKS_EVERY_S:
            async with borrowed(self._engine) as connection:
                await self._renew_packs(connection)
            self._packs_renewed = monotonic()
        messages = await reader.next(self._fetch_size, min(FETCH_WAIT_S, self._ticker.wait_s()))
        if messages:
            await self._take_in(messages)
            self._lease.passed(messages[-1].stream_seq)
            await reader.acknowledge(messages[-1])
        if self._ticker.is_due(idle=len(messages) < self._fetch_size):
            async with borrowed(self._engine) as connection:
                due = await self._ticker.due(connection, self._lease.partitions)
            if due:
                now = self._ticker.now()
                await self._write(lambda: [time_reached(timer, now) for timer in due], {})

    async def _take_in(self, messages: Sequence[Message]) -> None:
        """Everything of these messages into history; those that are there already are passed over."""
        heads = self._lease.heads
        new = [m for m in messages if m.stream_seq > heads[m.partition].stream_seq]
        if not new:
            return
        try:
            await self._store(new, lambda: [read(m.partition, m.stream_seq, m.body) for m in new])
        except _UNSTORABLE as fault:
            _log.error("a batch cannot be stored; its events follow one by one", count=len(new), exc_info=fault)
            self._desk.athletes.clear()
            for message in new:
                await self._store_alone(message)

    async def _store_alone(self, message: Message) -> None:
        """One event in its own transaction; if even that cannot be stored, as refused, so that it blocks nobody."""
        try:
            await self._store([message], lambda: [read(message.partition, message.stream_seq, message.body)])
        except _UNSTORABLE as fault:
            _log.error("an event cannot be stored as judged", partition=message.partition, stream_seq=message.stream_seq, exc_info=fault)
            self._desk.athletes.clear()
            await self._store([message], lambda: [set_aside(message.partition, message.stream_seq, message.body)])

    async def _store(self, messages: Sequence[Message], arrive: Callable[[], list[Arrival]]) -> None:
        await self._write(arrive, {m.partition: m.stream_seq for m in messages})

    async def _write(self, arrive: Callable[[], list[Arrival]], read_to: dict[int, int]) -> None:
        """Settles and commits in one transaction. `arrive` makes the arrivals anew for every try: settling marks them."""
        for attempt in range(CLASHES):
            arrivals = self._forgetting.screened(arrive())
            try:
                await self._settle_and_commit(arrivals, read_to, keys_may_be_taken=attempt > 0)
            except Clash:
                self._desk.athletes.drop(a.athlete_key for a in arrivals)
                self._keys.clear()
            else:
                if self._forgetting.stored(arrivals):
                    self._desk.athletes.clear()
                    self._keys.clear()
                self._moved = True
                self._committed()
                return
        raise Fenced("keys of the batch stay taken: somebody else writes these partitions")

    async def _settle_and_commit(self, arrivals: list[Arrival], read_to: dict[int, int], keys_may_be_taken: bool) -> None:
        async with borrowed(self._engine) as connection:
            keys = await self._keys.provide(connection, (a.athlete_key for a in arrivals))
            for arrival in arrivals:
                arrival.sealed_by(keys.envelope(arrival.athlete_key))
            with measures.SETTLE_SECONDS.time():
                await self._desk.settle(connection, arrivals, keys_may_be_taken)
            async with self._lease.guard:
                writes = entries(self._lease.heads, arrivals, read_to)
                keys.into(writes)
                commit_to(writes)
                with measures.COMMIT_SECONDS.time():
                    await commit(connection, writes)
                self._lease.moved(writes)
                self._keys.stored(keys)
        measures.BATCH.observe(len(arrivals))
        self._desk.athletes.make_room()
        measures.ATHLETES.set(len(self._desk.athletes))

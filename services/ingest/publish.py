"""Group commit: events of concurrent requests reach the bus together, in the order in which they were handed in.

Each publish costs the bus one fsync. While little waits, messages go singly, some at once; otherwise all that waits goes as one atomic
batch, and while that batch is on its way the next one gathers. One batch at a time keeps an athlete's events in order; measured at
3-13 ms per batch of 500, it is never what limits.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Protocol

from services.ingest.measures import BATCH_EVENTS, PUBLISH_SECONDS, QUEUE_EVENTS

Message = tuple[str, bytes]
"""Subject and payload."""

FEW: Final = 10
"""With fewer messages under way than this, one fsync each is quicker than gathering (measured 0.3-0.5 ms against 3-13 ms)."""

QUEUE_BYTES: Final = 128 * 2**20
BATCH_BYTES: Final = 4 * 2**20
BUS_LIMIT_S: Final = 5.0


class Publishing(Protocol):
    """What is needed of the bus: both return once the messages are on disk there, or raise one of its faults."""

    async def publish(self, subject: str, payload: bytes, timeout: float) -> object: ...

    async def publish_batch(self, messages: Sequence[Message], timeout: float) -> object: ...


class QueueFull(Exception):
    """More waits for the bus than may wait; the sender is to repeat the request later."""


@dataclass(slots=True, eq=False)
class _Parcel:
    """The messages of one request: how many are taken from the queue, how many are on disk."""

    messages: Sequence[Message]
    done: asyncio.Future[None]
    taken: int = 0
    stored: int = 0

    def store(self, count: int) -> None:
        self.stored += count
        if self.stored == len(self.messages) and not self.done.done():
            self.done.set_result(None)

    def fail(self, fault: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(fault)
            # Whoever handed it in may have gone; then nobody is left to be told.
            self.done.exception()


@dataclass(slots=True)
class _Batch:
    messages: list[Message] = field(default_factory=list)
    shares: list[tuple[_Parcel, int]] = field(default_factory=list)


class Publisher:
    """Between the requests and the bus. `start` it before `submit`; `stop` publishes what waits and ends."""

    def __init__(self, bus: Publishing, queue_limit: int, group_commit_s: float, group_commit_events: int) -> None:
        self._bus = bus
        self._queue_limit = queue_limit
        self._gather_s = group_commit_s
        self._batch_events = group_commit_events
        self._queue: deque[_Parcel] = deque()
        self._waiting = 0
        self._waiting_bytes = 0
        self._moved = asyncio.Event()
        self._singles: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """How many messages wait to be handed to the bus."""
        return self._waiting

    def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Publish what waits, then end. What cannot be published fails with the bus's fault."""
        self._stopping = True
        self._moved.set()
        if self._loop is not None:
            await self._loop
        if self._singles:
            await asyncio.wait(self._singles)

    def submit(self, messages: Sequence[Message]) -> asyncio.Future[None]:
        """Hand in messages, in order. The future ends when all are on disk on the bus, or with the bus's fault.

        After a fault some of the messages may have been stored; to repeat them all is harmless. Raises `QueueFull`.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not messages:
            done.set_result(None)
            return done
        size = sum(len(payload) for _, payload in messages)
        if self._stopping or self._waiting + len(messages) > self._queue_limit or self._waiting_bytes + size > QUEUE_BYTES:
            raise QueueFull
        self._queue.append(_Parcel(messages, done))
        self._count(len(messages), size)
        self._moved.set()
        return done

    def _count(self, messages: int, size: int) -> None:
        self._waiting += messages
        self._waiting_bytes += size
        QUEUE_EVENTS.set(self._waiting)

    async def _run(self) -> None:
        while not (self._stopping and not self._queue):
            if not self._queue:
                self._moved.clear()
                await self._moved.wait()
            elif self._waiting < FEW and len(self._singles) < FEW:
                self._send_singly()
            else:
                await self._gather()
                if self._waiting >= FEW or len(self._singles) >= FEW:
                    await self._send_batch(self._take(self._batch_events))

    def _send_singly(self) -> None:
        while self._queue and len(self._singles) < FEW:
            batch = self._take(1)
            for message, (parcel, _) in zip(batch.messages, batch.shares, strict=True):
                task = asyncio.create_task(self._send_one(message, parcel))
                self._singles.add(task)
                task.add_done_callback(self._single_ended)

    def _single_ended(self, task: "asyncio.Task[None]") -> None:
        self._singles.discard(task)
        self._moved.set()

    async def _gather(self) -> None:
        """Wait for company, or for a single one to end, while what waits is not worth a batch; never longer than the setting says."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._gather_s
        while self._waiting < FEW <= len(self._singles) and not self._stopping and (left := until - loop.time()) > 0:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()

    def _take(self, most: int) -> _Batch:
        batch = _Batch()
        size = 0
        while self._queue and len(batch.messages) < most and size < BATCH_BYTES:
            parcel = self._queue[0]
            if parcel.done.done():
                # Failed in part, or its request is gone: the rest would be repeated anyway.
                rest = parcel.messages[parcel.taken :]
                self._count(-len(rest), -sum(len(payload) for _, payload in rest))
                self._queue.popleft()
                continue
            begin = parcel.taken
            while parcel.taken < len(parcel.messages) and len(batch.messages) < most and size < BATCH_BYTES:
                message = parcel.messages[parcel.taken]
                batch.messages.append(message)
                size += len(message[1])
                parcel.taken += 1
            batch.shares.append((parcel, parcel.taken - begin))
            if parcel.taken == len(parcel.messages):
                self._queue.popleft()
        self._count(-len(batch.messages), -size)
        return batch

    async def _send_one(self, message: Message, parcel: _Parcel) -> None:
        begin = perf_counter()
        try:
            await self._bus.publish(message[0], message[1], BUS_LIMIT_S)
        except Exception as fault:
            parcel.fail(fault)
        else:
            parcel.store(1)
            PUBLISH_SECONDS.labels("single").observe(perf_counter() - begin)

    async def _send_batch(self, batch: _Batch) -> None:
        if not batch.messages:
            return
        begin = perf_counter()
        try:
            if len(batch.messages) == 1:
                await self._bus.publish(*batch.messages[0], BUS_LIMIT_S)
            else:
                await self._bus.publish_batch(batch.messages, BUS_LIMIT_S)
        except Exception as fault:
            for parcel, _ in batch.shares:
                parcel.fail(fault)
        else:
            for parcel, count in batch.shares:
                parcel.store(count)
            PUBLISH_SECONDS.labels("batch").observe(perf_counter() - begin)
            BATCH_EVENTS.observe(len(batch.messages))

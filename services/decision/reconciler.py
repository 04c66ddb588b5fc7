"""Completeness: what the bus has is what history has, window by window, by count and digest; what is missing is fetched again.

Outside the worker, which could be wrong in the same way twice: messages are read straight from the stream and looked up by their keys.
"""

import asyncio
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.arrivals import read
from services.decision.store import erasures, leases, reconciliations
from services.decision.store.connection import Connection, borrowed
from shared.bus import EVENTS, Bus, BusUnavailable
from shared.keyed import ring_of
from shared.stopping import told_to_stop

WINDOW: Final = timedelta(minutes=15)
EVERY_S: Final = 60.0
AT_ONCE: Final = 500
EMPTY: Final = 30
"""So many fetches one after the other that bring nothing of what is there, a second each: the consumer is no longer served."""
# Arbitrary and ours.
_LOCK: Final = 0x6D726563

_log = structlog.get_logger("milepost.decision")


class Message(NamedTuple):
    """A message of the bus: its place, where it went, what it holds, and its key and content as history would have them."""

    stream_seq: int
    subject: str
    data: bytes
    tenant: str
    source: str
    id: str
    digest: bytes
    recorded_at: datetime


@dataclass(slots=True)
class Window:
    """One window of reception: distinct contents on the bus, and those of them that history has."""

    begin: datetime
    bus: dict[bytes, None] = field(default_factory=dict)
    history: dict[bytes, None] = field(default_factory=dict)
    missing: list[Message] = field(default_factory=list)


class Reconciler:
    """Goes through EVENTS from where it was left, up to what every partition has passed."""

    def __init__(self, engine: AsyncEngine, bus: Bus) -> None:
        self._engine = engine
        self._bus = bus

    async def run(self) -> None:
        """Until cancelled, once a minute; of several processes, one at a time."""
        while not told_to_stop():
            try:
                await self.reconcile()
            except Exception as fault:
                _log.warning("bus and history could not be compared", exc_info=fault)
            await asyncio.sleep(EVERY_S)

    async def reconcile(self) -> int:
        """Compares everything that is new; how many messages were missing in history and put on the bus again."""
        async with borrowed(self._engine) as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                return 0
            try:
                begin, end = await reconciliations.place(connection), await leases.checkpoint(connection)
                return await self._compare(connection, begin + 1, end) if end > begin else 0
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)

    async def _compare(self, connection: Connection, begin: int, end: int) -> int:
        consumer = await self._bus.pull_consumer(EVENTS, "reconciler", ["ev.>"], begin, AT_ONCE)
        missing = empty = 0
        try:
            place = begin - 1
            while place < end:
                found = await consumer.fetch(AT_ONCE, 1.0)
                if not found:
                    waits = await self._bus.next_seq(EVENTS, "ev.>", place + 1)
                    if waits is not None and waits <= end:
                        empty += 1
                        if empty == EMPTY:
                            raise BusUnavailable(f"the bus has message {waits}, and {EMPTY} fetches in a row brought nothing")
                        continue  # The server took longer than the fetch to hand it out.
                    # The stream has nothing more up to there: what was in between was erased.
                    await reconciliations.keep(connection, end, [])
                    break
                empty = 0
                # History forgot them on purpose; what comes of them is the eraser's to clear away.
                gone = set(await erasures.pseudonyms(connection))
                there = [one for one in found if one.stream_seq <= end and one.subject.rpartition(".")[2] not in gone]
                messages = [_message(one.stream_seq, one.subject, one.data) for one in there]
                await consumer.ack_all(found[-1])
                windows = await _windows(connection, messages, ring_of(connection).windows)
                for window in windows:
                    missing += len(window.missing)
                    await self._again(window)
                place = min(found[-1].stream_seq, end)
                await reconciliations.keep(connection, place, [_row(window) for window in windows])
        finally:
            await consumer.close()
            await self._bus.delete_consumer(EVENTS, "reconciler")
        measures.RECONCILED.set(end)
        return missing

    async def _again(self, window: Window) -> None:
        """What history lacks goes onto the bus once more; the worker stores it as if it came now."""
        for message in window.missing:
            measures.MISSING.inc()
            _log.error("history lacked an event that the bus has; it is put on the bus again", stream_seq=message.stream_seq)
            await self._bus.publish(message.subject, message.data)


def _message(stream_seq: int, subject: str, data: bytes) -> Message:
    arrival = read(int(subject.split(".", 2)[1]), stream_seq, data)
    return Message(stream_seq, subject, data, arrival.tenant, arrival.source, arrival.id, arrival.digest, arrival.recorded_at)


async def _windows(connection: Connection, messages: Sequence[Message], key: bytes) -> list[Window]:
    """The messages by the window of their reception, each looked up in history by key and content."""
    known = await reconciliations.known(connection, [(one.tenant, one.source, one.id, one.digest) for one in messages])
    windows: dict[datetime, Window] = {}
    for one in messages:
        begin = beginning(one.recorded_at)
        window = windows.setdefault(begin, Window(begin))
        content = named(one, key)
        if content not in window.bus and (one.tenant, one.source, one.id, one.digest) not in known:
            window.missing.append(one)
        window.bus[content] = None
        if (one.tenant, one.source, one.id, one.digest) in known:
            window.history[content] = None
    return [windows[begin] for begin in sorted(windows)]


def _row(window: Window) -> reconciliations.Compared:
    bus, history = digest(window.bus), digest(window.history)
    return reconciliations.Compared(window.begin, len(window.bus), bus, len(window.history), history, len(window.missing))


def named(message: Message, key: bytes) -> bytes:
    """32 bytes for the key and content of a message. Keyed: a window may hold a single message, and what a person reported can be guessed;
    windows stay when an athlete is erased.
    """
    said = b"\0".join((message.tenant.encode(), message.source.encode(), message.id.encode(), message.digest))
    return hmac.digest(key, said, "sha256")


def digest(contents: Iterable[bytes]) -> bytes:
    """The XOR of all, whatever their order: equal for equal sets, and parts of a window add up."""
    found = 0
    for content in contents:
        found ^= int.from_bytes(content, "big")
    return found.to_bytes(32, "big")


def beginning(moment: datetime) -> datetime:
    """When the window of this moment begins.

    >>> beginning(datetime(2026, 3, 2, 7, 44, tzinfo=UTC)).isoformat()
    '2026-03-02T07:30:00+00:00'
    """
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // WINDOW * WINDOW

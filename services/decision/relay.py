"""Outbox rows to the bus, in order per partition: a row leaves the table only once the bus has it on disk; none is passed over."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.store import outbox
from services.decision.store.connection import borrowed
from services.decision.store.outbox import Waiting
from shared.bus import Bus
from shared.bus.streams import MESSAGE_LIMIT
from shared.crash import point
from shared.placing import pseudonym
from shared.stopping import told_to_stop

AT_ONCE: Final = 500
"""Rows per atomic batch on the bus; the server takes at most 1,000."""
SINGLY_BELOW: Final = 4
"""A batch costs several fsyncs and a single message one, so a few go singly."""
LOOK_EVERY_S: Final = 1.0
HEADER_ROOM: Final = 4096
"""Bytes of a message left for its headers."""
PUBLISH_LIMIT_S: Final = 10.0

_log = structlog.get_logger("milepost.decision")


class Relay:
    def __init__(self, engine: AsyncEngine, bus: Bus, partitions: Sequence[int], pseudonym_key: bytes) -> None:
        self._engine = engine
        self._bus = bus
        self._partitions = partitions
        self._key = pseudonym_key
        self._awake = asyncio.Event()
        self._waiting_since: float | None = None

    def wake(self) -> None:
        """Rows were committed."""
        self._awake.set()

    async def run(self) -> None:
        """Relays until cancelled. While bus or database do not answer, the rows wait where they are."""
        pause = 0.1
        while not told_to_stop():
            self._awake.clear()
            try:
                while not told_to_stop() and await self.relay():
                    pause = 0.1
            except Exception as fault:
                self._waiting_since = self._waiting_since or monotonic()
                measures.OUTBOX_AGE.set(monotonic() - self._waiting_since)
                _log.warning("decisions wait for the bus", retry_in_s=pause, exc_info=fault)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 5)
                continue
            self._waiting_since = None
            measures.OUTBOX_AGE.set(0)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def relay(self) -> int:
        """Publishes the first rows that wait and then removes them; how many they were. Whatever fails in between repeats them, under
        the same numbers.
        """
        async with borrowed(self._engine) as connection:
            rows = await outbox.waiting(connection, self._partitions, AT_ONCE)
        if not rows:
            return 0
        messages = [(f"dec.{row.partition}.{pseudonym(self._key, row.tenant, row.athlete)}", numbered(row)) for row in rows]
        if len(messages) < SINGLY_BELOW:
            for subject, payload in messages:
                await self._bus.publish(subject, payload, timeout=PUBLISH_LIMIT_S)
        else:
            await self._bus.publish_batch(messages, timeout=PUBLISH_LIMIT_S)
        async with borrowed(self._engine) as connection:
            point(16)
            await outbox.forget(connection, [row.outbox for row in rows])
            point(17)
        return len(rows)


def numbered(row: Waiting) -> bytes:
    """The message of a row: its number in front of what was stored, and behind it the decision it names."""
    message = _with(row, row.decision)
    if len(message) <= MESSAGE_LIMIT - HEADER_ROOM or row.decision is None:
        return message
    # Rules and outcomes stay; the evidence is read from history, where the record stands whole.
    record = orjson.loads(row.decision)
    for reason in record["reasons"]:
        reason["evidence"] = []
    return _with(row, orjson.dumps(record))


def _with(row: Waiting, decision: bytes | None) -> bytes:
    body = row.body if decision is None else row.body[:-1] + b',"body":' + decision + b"}"
    return b'{"outbox":%d,' % row.outbox + body[1:]

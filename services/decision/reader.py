"""A lane's own view of the bus: its partitions of EVENTS, in order, from a place of its choice."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from services.decision import measures
from shared.bus import EVENTS, Bus, BusError, Delivered, PullConsumer


@dataclass(frozen=True, slots=True)
class Message:
    partition: int
    stream_seq: int
    body: bytes
    delivered: Delivered


class Reader:
    """Reads under a consumer that nobody else knows: a worker that lost its leases can take no message from its successor."""

    def __init__(self, bus: Bus, name: str, consumer: PullConsumer) -> None:
        self._bus = bus
        self._name = name
        self._consumer = consumer

    @classmethod
    async def open(cls, bus: Bus, lane: str, partitions: Sequence[int], start: int, fetch_size: int) -> "Reader":
        """Reads `partitions` from stream sequence `start` on. Consumers that former workers of the lane left behind are deleted."""
        prefix = f"decision-{lane}-"
        for name in (await bus.api(f"CONSUMER.NAMES.{EVENTS}"))["consumers"] or ():
            if name.startswith(prefix):
                await bus.delete_consumer(EVENTS, name)
        name = prefix + secrets.token_hex(8)
        consumer = await bus.pull_consumer(EVENTS, name, [f"ev.{partition}.*" for partition in partitions], start, fetch_size)
        return cls(bus, name, consumer)

    async def next(self, limit: int, wait_s: float) -> list[Message]:
        """Up to `limit` messages in stream order; empty when none came within `wait_s` seconds."""
        found = await self._consumer.fetch(limit, wait_s)
        measures.LAG.set(found[-1].waiting if found else 0)
        return [Message(int(each.subject.split(".", 2)[1]), each.stream_seq, each.data, each) for each in found]

    async def acknowledge(self, last: Message) -> None:
        """Everything up to `last` is in history."""
        await self._consumer.ack_all(last.delivered)

    async def close(self) -> None:
        """Leaves nothing on the server; where it does not answer, the lane's next reader clears up."""
        await self._consumer.close()
        with suppress(BusError):
            await self._bus.delete_consumer(EVENTS, self._name)

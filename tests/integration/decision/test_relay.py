"""Outbox rows reach the bus in order, once per number, whatever fails on the way."""

import asyncio
from collections.abc import Sequence
from itertools import count

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.relay import Relay, numbered
from services.decision.store import outbox
from services.decision.store.connection import borrowed
from services.decision.store.outbox import Waiting
from shared.bus import DECISIONS, Bus, BusUnavailable, PubAck
from shared.bus.streams import MESSAGE_LIMIT
from shared.placing import pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import on_stream

PARTITION = count()


class Faltering:
    """The real bus, except that some publishes fail before or after the bus has stored them."""

    def __init__(self, bus: Bus, before: int = 0, after: int = 0) -> None:
        self._bus = bus
        self.before, self.after = before, after

    async def publish(self, subject: str, payload: bytes, timeout: float = 5) -> PubAck:
        return await self.publish_batch([(subject, payload)], timeout)

    async def publish_batch(self, messages: Sequence[tuple[str, bytes]], timeout: float = 5) -> PubAck:
        if self.before:
            self.before -= 1
            raise BusUnavailable("no answer")
        ack = await self._bus.publish_batch(messages, timeout)
        if self.after:
            self.after -= 1
            raise BusUnavailable("the answer was lost")
        return ack


@pytest.fixture
def partition() -> int:
    return next(PARTITION)


async def put(engine: AsyncEngine, partition: int, bodies: Sequence[bytes]) -> None:
    async with borrowed(engine) as connection:
        for body in bodies:
            await connection.execute("INSERT INTO outbox (partition, tenant, athlete, body) VALUES ($1, 't', 'a', $2)", partition, body)


async def on_the_bus(bus: Bus, partition: int) -> list[tuple[str, dict]]:
    return [(message.subject, orjson.loads(message.data)) for message in await on_stream(bus, DECISIONS, f"dec.{partition}.*")]


async def waiting(engine: AsyncEngine, partition: int) -> int:
    async with borrowed(engine) as connection:
        return len(await outbox.waiting(connection, [partition], 10_000))


async def emptied(engine: AsyncEngine, partition: int) -> None:
    while await waiting(engine, partition):  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("rows", [1, 3, 20])
async def test_rows_reach_the_bus_in_order_under_their_numbers_and_then_leave(
    engine: AsyncEngine, bus: Bus, settings: Settings, partition: int, rows: int
):
    await put(engine, partition, [b'{"kind":"decision","n":%d}' % n for n in range(rows)])
    relay = Relay(engine, bus, [partition], settings.pseudonym_key_bytes)
    assert await relay.relay() == rows
    assert await relay.relay() == 0
    found = await on_the_bus(bus, partition)
    assert [body["n"] for _, body in found] == list(range(rows))
    assert {subject for subject, _ in found} == {f"dec.{partition}.{pseudonym(settings.pseudonym_key_bytes, 't', 'a')}"}
    numbers = [body["outbox"] for _, body in found]
    assert numbers == sorted(set(numbers))
    assert await waiting(engine, partition) == 0


async def test_a_relay_leaves_the_rows_of_other_partitions_alone(engine: AsyncEngine, bus: Bus, settings: Settings, partition: int):
    other = next(PARTITION)
    await put(engine, other, [b'{"n":1}'])
    assert await Relay(engine, bus, [partition], settings.pseudonym_key_bytes).relay() == 0
    assert await waiting(engine, other) == 1


@pytest.mark.law("nothing-lost")
async def test_rows_wait_while_the_bus_does_not_take_them(engine: AsyncEngine, bus: Bus, settings: Settings, partition: int):
    await put(engine, partition, [b'{"n":%d}' % n for n in range(10)])
    relay = Relay(engine, Faltering(bus, before=2), [partition], settings.pseudonym_key_bytes)  # type: ignore[arg-type]
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(relay.run())
        await emptied(engine, partition)
        running.cancel()
    assert [body["n"] for _, body in await on_the_bus(bus, partition)] == list(range(10))


@pytest.mark.law("once")
async def test_a_publish_whose_answer_was_lost_is_repeated_under_the_same_numbers(
    engine: AsyncEngine, bus: Bus, settings: Settings, partition: int
):
    await put(engine, partition, [b'{"n":%d}' % n for n in range(10)])
    relay = Relay(engine, Faltering(bus, after=1), [partition], settings.pseudonym_key_bytes)  # type: ignore[arg-type]
    with pytest.raises(BusUnavailable):
        await relay.relay()
    assert await waiting(engine, partition) == 10
    assert await relay.relay() == 10
    numbers = [body["outbox"] for _, body in await on_the_bus(bus, partition)]
    assert numbers[:10] == numbers[10:] == sorted(numbers[:10])


async def test_a_relay_is_woken_by_a_commit(engine: AsyncEngine, bus: Bus, settings: Settings, partition: int):
    relay = Relay(engine, bus, [partition], settings.pseudonym_key_bytes)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(relay.run())
        await put(engine, partition, [b'{"n":0}'])
        relay.wake()
        await emptied(engine, partition)
        running.cancel()
    assert len(await on_the_bus(bus, partition)) == 1


def test_a_decision_too_large_for_the_bus_leaves_without_its_evidence() -> None:
    reasons = [{"rule": f"r{n}", "outcome": "hold", "evidence": [{"events": ["e" * 200] * 20}] * 20} for n in range(10)]
    record = orjson.dumps({"action": "hold", "reasons": reasons})
    assert len(record) > MESSAGE_LIMIT
    told = orjson.loads(numbered(Waiting(7, 1, "t", "a", b'{"kind":"decision"}', record)))
    assert (told["outbox"], told["body"]["action"], len(told["body"]["reasons"])) == (7, "hold", 10)
    assert all(reason["evidence"] == [] for reason in told["body"]["reasons"])

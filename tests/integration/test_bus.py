"""What the bus confirms is stored; what it delivers is in order and complete, whatever happens to the server or the connection."""

import asyncio
import os
import signal
from contextlib import suppress
from itertools import pairwise
from time import monotonic
from types import SimpleNamespace
from typing import Any

import nats
import orjson
import pytest

from services.embedded import EmbeddedServers
from shared.bus import (
    BATCH_LIMIT,
    DECISIONS,
    EVENTS,
    PAYLOAD_LIMIT,
    Bus,
    BusRefused,
    BusUnavailable,
    Delivered,
    PullConsumer,
    decision_subject,
    event_subject,
)
from shared.settings import Settings

WHO = "a" * 32
SOON_S = 8.0
"""Far more than the limits given here, for cores that are busy with others; less than the ten seconds that hold where none is given."""


def batch(partition: int, count: int, name: str = "m") -> list[tuple[str, bytes]]:
    return [(event_subject(partition, WHO), f"{name} {number}".encode()) for number in range(count)]


async def all_of(consumer: PullConsumer, count: int, within_s: float = 60) -> list[Delivered]:
    """Fetches and confirms until `count` messages came, or the time is over."""
    deadline, got = monotonic() + within_s, list[Delivered]()
    while len(got) < count and monotonic() < deadline:
        try:
            if fetched := await consumer.fetch(100, 0.3):
                got += fetched
                await consumer.ack_all(fetched[-1])
        except BusUnavailable:
            await asyncio.sleep(0)  # The next fetch waits for the connection.
    return got


async def next_of(consumer: PullConsumer, count: int, within_s: float = 60) -> list[Delivered]:
    """The next `count` messages, unconfirmed: a server that stands still for a moment gives fewer at once, or none."""
    deadline, got = monotonic() + within_s, list[Delivered]()
    while len(got) < count and monotonic() < deadline:
        got += await consumer.fetch(count - len(got), 1)
    return got


async def begun(bus: Bus, name: str, subject: str, start: int, count: int) -> tuple[PullConsumer, list[Delivered]]:
    """A consumer that was sent `count` messages, and those. One that had to ask again, of a server that stood still, is sent more."""
    async with asyncio.timeout(60):
        while True:
            consumer = await bus.pull_consumer(EVENTS, name, [subject], start, 100)
            got = await consumer.fetch(count, 1)
            facts = await bus.api(f"CONSUMER.INFO.EVENTS.{name}")
            if len(got) == facts["delivered"]["consumer_seq"] == count and not facts["num_waiting"]:
                return consumer, got
            await consumer.close()


async def repeated(bus: Bus, messages: list[tuple[str, bytes]]) -> None:
    """Publishes until it is confirmed, as every sender does."""
    async with asyncio.timeout(60):
        while True:
            try:
                await bus.publish_batch(messages, timeout=2)
            except BusUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def lost(settings: Settings, consumer: str, count: int) -> None:
    """Sends the consumer's next `count` deliveries to a connection that ends without confirming them."""
    thief = await nats.connect(settings.nats_url)
    stolen = await thief.subscribe("stolen")
    ask = orjson.dumps({"batch": count, "no_wait": True})
    await thief.publish(f"$JS.API.CONSUMER.MSG.NEXT.EVENTS.{consumer}", ask, reply="stolen")
    for _ in range(count):
        await stolen.next_msg(30)
    await thief.close()


@pytest.fixture(autouse=True)
async def settled(bus: Bus) -> None:
    await bus.connected(60)


async def test_a_server_that_keeps_the_contract_is_accepted(bus: Bus):
    await bus.ensure_streams()
    await bus.verify()
    await bus.check()


async def test_a_confirmed_message_is_in_its_stream_under_the_confirmed_sequence(bus: Bus):
    before = await bus.last_seq(EVENTS)
    confirmed = await bus.publish(event_subject(1, WHO), b"one")
    assert (confirmed.stream, confirmed.seq, confirmed.count) == (EVENTS, before + 1, 1)
    assert (await bus.publish(decision_subject(1, WHO), b"two")).stream == DECISIONS


async def test_a_batch_takes_consecutive_sequences_in_its_order(bus: Bus):
    before = await bus.last_seq(EVENTS)
    messages = batch(2, BATCH_LIMIT)
    confirmed = await bus.publish_batch(messages)
    assert (confirmed.first_seq, confirmed.seq, confirmed.count) == (before + 1, before + BATCH_LIMIT, BATCH_LIMIT)
    consumer = await bus.pull_consumer(EVENTS, "order", ["ev.2.*"], confirmed.first_seq, 500)
    got = await all_of(consumer, BATCH_LIMIT)
    assert [(message.subject, message.data) for message in got] == messages
    assert [message.stream_seq for message in got] == list(range(confirmed.first_seq, confirmed.seq + 1))


async def test_many_batches_at_once_each_stay_together(bus: Bus):
    confirmed = await asyncio.gather(*(bus.publish_batch(batch(3, 40, f"b{number}"), timeout=60) for number in range(20)))
    spans = sorted((one.first_seq, one.seq) for one in confirmed)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(spans))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], "expected 1 to 1000"),
        (batch(1, BATCH_LIMIT + 1), "expected 1 to 1000"),
        ([("elsewhere", b"")], "belongs to no stream"),
        ([("ev.1", b"")], "belongs to no stream"),
        ([(event_subject(1, WHO), b""), (decision_subject(1, WHO), b"")], "two streams"),
        ([*batch(1, 2), (event_subject(1, WHO), bytes(PAYLOAD_LIMIT + 1))], "expected at most"),
        ([(event_subject(1, "with space"), b"")], "invalid subject"),
    ],
)
async def test_what_can_never_be_stored_is_refused_and_nothing_of_it_is_stored(bus: Bus, messages: list[tuple[str, bytes]], expected: str):
    before = await bus.last_seq(EVENTS)
    with pytest.raises(BusRefused, match=expected):
        await bus.publish_batch(messages)
    assert await bus.last_seq(EVENTS) == before


async def test_the_largest_message_that_is_let_through_fits_on_the_server(bus: Bus):
    await bus.publish_batch([(event_subject(63, WHO), bytes(PAYLOAD_LIMIT))] * 20)


async def test_reading_begins_at_the_sequence_asked_for_and_keeps_to_its_partitions(bus: Bus):
    first = await bus.publish_batch(batch(10, 5))
    await bus.publish_batch(batch(11, 5))
    await bus.publish_batch(batch(12, 5))
    consumer = await bus.pull_consumer(EVENTS, "filters", ["ev.10.*", "ev.12.*"], first.seq, 100)
    got = await all_of(consumer, 6)
    assert [message.subject.split(".")[1] for message in got] == ["10"] + ["12"] * 5
    assert got[-1].waiting == 0


async def test_what_is_there_comes_at_once_and_what_is_not_there_never_stalls(bus: Bus):
    start = await bus.last_seq(EVENTS) + 1
    consumer = await bus.pull_consumer(EVENTS, "quick", ["ev.20.*"], start, 100)
    begin = monotonic()
    assert await consumer.fetch(100, 0.3) == []
    assert 0.25 < monotonic() - begin < SOON_S
    await bus.publish_batch(batch(20, 7))
    async with asyncio.timeout(50):
        while len(await consumer.fetch(100, 60)) < 7:
            # The server stood still for a moment, or had not counted all of them for its consumer yet.
            await consumer.close()
            consumer = await bus.pull_consumer(EVENTS, "quick", ["ev.20.*"], start, 100)


async def test_the_first_message_ends_the_wait(bus: Bus):
    consumer = await bus.pull_consumer(EVENTS, "awaited", ["ev.21.*"], await bus.last_seq(EVENTS) + 1, 100)
    begin = monotonic()
    waiting = asyncio.create_task(consumer.fetch(100, 60))
    await repeated(bus, batch(21, 3))
    got = await waiting
    assert monotonic() - begin < 30
    got += await all_of(consumer, 3 - len(got))
    # Stored again where the confirmation came too late.
    assert [message.data for message in got][:3] == [data for _, data in batch(21, 3)]


async def test_a_reader_stops_though_its_cancellation_was_lost_to_a_message_that_came_with_it(bus: Bus, monkeypatch: pytest.MonkeyPatch):
    consumer = await bus.pull_consumer(EVENTS, "stopped", ["ev.27.*"], await bus.last_seq(EVENTS) + 1, 100)
    waiting = asyncio.Event()

    async def late(limit_s: float) -> Any:
        waiting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(limit_s)
        return SimpleNamespace(subject=f"{consumer._inbox}.earlier")

    assert consumer._subscription is not None
    monkeypatch.setattr(consumer._subscription, "next_msg", late)
    reading = asyncio.create_task(consumer.fetch(10, 90.0))
    await waiting.wait()
    reading.cancel()
    await asyncio.wait({reading}, timeout=60)
    assert reading.cancelled()
    await consumer.close()


async def test_a_fetch_gives_no_more_than_may_be_unconfirmed(bus: Bus):
    confirmed = await bus.publish_batch(batch(22, 30))
    consumer = await bus.pull_consumer(EVENTS, "limited", ["ev.22.*"], confirmed.first_seq, 10)
    got = list[Delivered]()
    async with asyncio.timeout(60):
        while len(got) < 30:
            if group := await consumer.fetch(1000, 1):
                assert len(group) <= 10
                await consumer.ack_all(group[-1])
                got += group
    assert [message.stream_seq for message in got] == list(range(confirmed.first_seq, confirmed.seq + 1))


async def test_confirming_the_last_confirms_all_before_and_may_be_repeated(bus: Bus):
    confirmed = await bus.publish_batch(batch(23, 6))
    consumer = await bus.pull_consumer(EVENTS, "acked", ["ev.23.*"], confirmed.first_seq, 100)
    got = await next_of(consumer, 6)
    await consumer.ack_all(got[-1])
    await consumer.ack_all(got[-1])
    await consumer.ack_all(got[0])
    facts = await bus.api("CONSUMER.INFO.EVENTS.acked")
    assert (facts["num_ack_pending"], facts["ack_floor"]["stream_seq"]) == (0, confirmed.seq)


@pytest.mark.law("nothing-lost")
async def test_a_delivery_that_got_lost_on_the_way_is_read_again_before_anything_younger(bus: Bus, settings: Settings):
    confirmed = await bus.publish_batch(batch(24, 20))
    consumer, got = await begun(bus, "gap", "ev.24.*", confirmed.first_seq, 5)
    await lost(settings, "gap", 5)
    got += await all_of(consumer, 15)
    assert [message.stream_seq for message in got] == list(range(confirmed.first_seq, confirmed.seq + 1))


@pytest.mark.law("nothing-lost")
async def test_deliveries_lost_with_the_connection_are_read_again_at_once_and_not_after_the_servers_patience(bus: Bus, settings: Settings):
    confirmed = await bus.publish_batch(batch(26, 10))
    consumer, got = await begun(bus, "cut", "ev.26.*", confirmed.first_seq, 5)
    await lost(settings, "cut", 5)
    before = bus.connections
    await bus.client.force_reconnect()
    got += await all_of(consumer, 5, within_s=20)
    assert bus.connections > before
    assert [message.stream_seq for message in got] == list(range(confirmed.first_seq, confirmed.seq + 1))


@pytest.mark.law("nothing-lost")
async def test_a_reader_whose_consumer_vanished_makes_it_anew_where_it_stood(bus: Bus):
    confirmed = await bus.publish_batch(batch(25, 20))
    consumer = await bus.pull_consumer(EVENTS, "vanishing", ["ev.25.*"], confirmed.first_seq, 100)
    got = await next_of(consumer, 8)
    await bus.delete_consumer(EVENTS, "vanishing")
    got += await all_of(consumer, 12)
    assert [message.stream_seq for message in got] == list(range(confirmed.first_seq, confirmed.seq + 1))


@pytest.mark.law("nothing-lost")
async def test_what_was_confirmed_survives_a_killed_server_and_no_batch_is_halved(bus: Bus, servers: EmbeddedServers):
    start, size, confirmed = await bus.last_seq(EVENTS) + 1, 50, set[str]()
    goal, reached, over = 30, asyncio.Event(), asyncio.Event()

    async def sender(sender_name: str) -> None:
        number = 0
        while not over.is_set():
            name = f"{sender_name}-{number}"
            try:
                await bus.publish_batch(batch(30, size, name), timeout=2)
            except BusUnavailable:
                await asyncio.sleep(0.02)
            else:
                confirmed.add(name)
            number += 1
            if len(confirmed) >= goal:
                reached.set()

    async with asyncio.TaskGroup() as senders:
        for name in "abcd":
            senders.create_task(sender(name))
        async with asyncio.timeout(60):
            await reached.wait()
        await servers.nats.kill()
        goal = len(confirmed) + 10
        reached.clear()
        await servers.nats.start()
        async with asyncio.timeout(60):
            await reached.wait()
        over.set()

    stored = await bus.last_seq(EVENTS) - start + 1
    consumer = await bus.pull_consumer(EVENTS, "survivors", ["ev.30.*"], start, 1000)
    # A batch that was given up may still be stored, behind those that were counted.
    got = (await all_of(consumer, stored))[:stored]
    assert len(got) == stored
    lines = [message.data.decode().split() for message in got]
    whole = [lines[begin : begin + size] for begin in range(0, len(lines), size)]
    for group in whole:
        assert [(group[0][0], str(number)) for number in range(size)] == [tuple(line) for line in group]
    assert confirmed <= {group[0][0] for group in whole}


@pytest.mark.law("nothing-lost")
async def test_reading_goes_on_in_order_after_the_server_was_killed_under_it(bus: Bus, servers: EmbeddedServers):
    confirmed = await bus.publish_batch(batch(31, 600))
    consumer = await bus.pull_consumer(EVENTS, "reader", ["ev.31.*"], confirmed.first_seq, 100)
    got = await next_of(consumer, 100)
    await servers.nats.kill()
    began = monotonic()
    with pytest.raises(BusUnavailable):
        for _ in range(5):
            await consumer.fetch(100, 0.2)
    assert monotonic() - began < 5 * SOON_S
    await servers.nats.start()
    got += await all_of(consumer, 500)
    assert [message.stream_seq for message in got] == list(range(confirmed.first_seq, confirmed.seq + 1))


def stand_still(pid: int) -> None:
    """Stops the server and waits until it stands: until each of its threads has had its turn to notice, it goes on answering."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


async def test_a_server_that_stands_still_costs_no_more_than_the_time_limit(bus: Bus, servers: EmbeddedServers):
    consumer = await bus.pull_consumer(EVENTS, "still", ["ev.32.*"], await bus.last_seq(EVENTS) + 1, 100)
    assert servers.nats.pid is not None
    stand_still(servers.nats.pid)
    try:
        begin = monotonic()
        with pytest.raises(BusUnavailable):
            await bus.publish_batch(batch(32, 100), timeout=0.5)
        assert 0.4 < monotonic() - begin < SOON_S
        begin = monotonic()
        assert await consumer.fetch(10, 0.5) == []
        assert monotonic() - begin < SOON_S
    finally:
        os.kill(servers.nats.pid, signal.SIGCONT)
    # Its outcome was unknown; it had been sent, and is stored once the server goes on.
    assert len(await all_of(consumer, 100)) == 100


async def test_losing_the_connection_ends_a_wait_before_its_time_limit(bus: Bus, servers: EmbeddedServers):
    assert servers.nats.pid is not None
    stand_still(servers.nats.pid)
    waiting = asyncio.create_task(bus.publish(event_subject(33, WHO), b"", timeout=60))
    await asyncio.sleep(0)
    begin = monotonic()
    await servers.nats.kill()
    with pytest.raises(BusUnavailable):
        await waiting
    with pytest.raises(BusUnavailable):
        await bus.publish(event_subject(33, WHO), b"", timeout=60)
    assert monotonic() - begin < 30
    await servers.nats.start()
    await repeated(bus, batch(33, 1))

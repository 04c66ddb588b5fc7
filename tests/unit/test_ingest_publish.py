"""Group commit: what is handed in reaches the bus in order, in bounds, and is confirmed only once it is stored."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from services.ingest.publish import Message, Publisher, QueueFull
from shared.bus import BusUnavailable


class Recorder:
    """A bus that records what it was given, and stores only when it is let."""

    def __init__(self) -> None:
        self.calls: list[list[Message]] = []
        self.stored: list[Message] = []
        self.open = asyncio.Event()
        self.open.set()
        self.faults: list[Exception] = []

    async def publish(self, subject: str, payload: bytes, timeout: float) -> None:
        await self.publish_batch([(subject, payload)], timeout)

    async def publish_batch(self, messages: Sequence[Message], timeout: float) -> None:
        self.calls.append(list(messages))
        await self.open.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.stored.extend(messages)


@asynccontextmanager
async def publishing(bus: Recorder, queue_limit: int = 1000, events: int = 500) -> AsyncIterator[Publisher]:
    publisher = Publisher(bus, queue_limit, 0.005, events)
    publisher.start()
    try:
        yield publisher
    finally:
        bus.open.set()
        await publisher.stop()


def messages(count: int, subject: str = "ev.0.a", size: int = 2) -> list[Message]:
    return [(subject, str(number).encode().rjust(size)) for number in range(count)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        # Turns of the event loop, not time: the condition comes true without anything outside.
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_few_messages_go_singly_and_at_once():
    bus = Recorder()
    async with publishing(bus) as publisher:
        bus.open.clear()
        done = [publisher.submit([message]) for message in messages(3)]
        await until(lambda: len(bus.calls) == 3)
        assert not any(future.done() for future in done)
        bus.open.set()
        await asyncio.gather(*done)
    assert [len(call) for call in bus.calls] == [1, 1, 1]
    assert bus.stored == messages(3)


async def test_many_messages_go_as_one_atomic_batch():
    bus = Recorder()
    async with publishing(bus) as publisher:
        await publisher.submit(messages(200))
    assert [len(call) for call in bus.calls] == [200]


async def test_concurrent_requests_share_a_batch():
    bus = Recorder()
    async with publishing(bus) as publisher:
        await asyncio.gather(*(publisher.submit(messages(4, f"ev.0.{index}")) for index in range(50)))
    assert [len(call) for call in bus.calls] == [200]


async def test_what_arrives_while_a_batch_is_on_its_way_goes_with_the_next():
    bus = Recorder()
    async with publishing(bus) as publisher:
        bus.open.clear()
        first = publisher.submit(messages(20, "ev.0.first"))
        await until(lambda: len(bus.calls) == 1)
        later = [publisher.submit(messages(1, f"ev.0.{index}")) for index in range(30)]
        bus.open.set()
        await asyncio.gather(first, *later)
    assert [len(call) for call in bus.calls] == [20, 30]


async def test_no_batch_is_larger_than_its_limit_and_order_is_kept_across_batches():
    bus = Recorder()
    async with publishing(bus, events=64) as publisher:
        await publisher.submit(messages(1000, size=4))
    assert max(len(call) for call in bus.calls) == 64
    assert bus.stored == messages(1000, size=4)


async def test_a_batch_is_bounded_in_bytes():
    bus = Recorder()
    async with publishing(bus) as publisher:
        await publisher.submit(messages(200, size=65_536))
    assert max(sum(len(payload) for _, payload in call) for call in bus.calls) <= 4 * 2**20 + 65_536
    assert len(bus.stored) == 200


@pytest.mark.law("nothing-lost")
async def test_a_request_is_confirmed_only_when_its_last_message_is_stored():
    bus = Recorder()
    async with publishing(bus, events=10) as publisher:
        bus.open.clear()
        done = publisher.submit(messages(25))
        await until(lambda: len(bus.calls) == 1)
        assert not done.done()
        bus.open.set()
        await done
        assert len(bus.stored) == 25


@pytest.mark.law("nothing-lost")
async def test_a_fault_of_the_bus_reaches_every_request_of_the_batch_and_no_later_one():
    bus = Recorder()
    async with publishing(bus) as publisher:
        bus.open.clear()
        failing = [publisher.submit(messages(10, f"ev.0.{index}")) for index in range(3)]
        await until(lambda: bool(bus.calls))
        bus.faults = [BusUnavailable("gone")]
        later = publisher.submit(messages(10, "ev.0.later"))
        bus.open.set()
        outcomes = await asyncio.gather(*failing, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 3
        await later
    assert bus.stored == messages(10, "ev.0.later")


async def test_the_rest_of_a_request_that_failed_in_part_is_not_sent():
    bus = Recorder()
    bus.faults = [BusUnavailable("gone")]
    async with publishing(bus, events=10) as publisher:
        with pytest.raises(BusUnavailable):
            await publisher.submit(messages(1000))
        await until(lambda: publisher.waiting == 0)
    assert len(bus.calls) == 1


async def test_more_than_may_wait_is_refused_at_once():
    bus = Recorder()
    async with publishing(bus, queue_limit=100) as publisher:
        bus.open.clear()
        taken = publisher.submit(messages(50))
        await until(lambda: bool(bus.calls))
        waiting = publisher.submit(messages(100))
        with pytest.raises(QueueFull):
            publisher.submit(messages(1))
        bus.open.set()
        await asyncio.gather(taken, waiting)


async def test_stopping_publishes_what_waits_and_takes_no_more():
    bus = Recorder()
    publisher = Publisher(bus, 1000, 0.005, 500)
    publisher.start()
    done = publisher.submit(messages(30))
    await publisher.stop()
    assert done.done()
    assert len(bus.stored) == 30
    with pytest.raises(QueueFull):
        publisher.submit(messages(1))


async def test_nothing_to_publish_is_done_at_once():
    bus = Recorder()
    async with publishing(bus) as publisher:
        await publisher.submit([])
    assert bus.calls == []

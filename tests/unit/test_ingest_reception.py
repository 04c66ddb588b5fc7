"""From bodies to outcomes: what the bus's faults become, and how much waits in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from services.ingest.intake import Intake
from services.ingest.publish import Message, Publisher
from services.ingest.reception import Reception, answer
from shared.auth import ROLE_SCOPES, Principal
from shared.bus import BusError, BusFull, BusRefused, BusUnavailable
from shared.problems import Problem
from shared.settings import Settings

SENDER = Principal("k1", "clinic-a", "integrator", ROLE_SCOPES["integrator"], "test")
SETTINGS = Settings(pseudonym_key="33" * 32)


class Bus:
    """Stores when it is let, or fails as it is told."""

    def __init__(self, fault: BusError | None = None) -> None:
        self.fault = fault
        self.stored = 0
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, subject: str, payload: bytes, timeout: float) -> None:
        await self.publish_batch([(subject, payload)], timeout)

    async def publish_batch(self, messages: Sequence[Message], timeout: float) -> None:
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        self.stored += len(messages)


def reception(bus: Bus) -> tuple[Reception, Publisher]:
    publisher = Publisher(bus, SETTINGS.ingest_queue_limit, 0.005, 500)
    publisher.start()
    return Reception(Intake(SETTINGS, lambda: datetime(2026, 3, 3, tzinfo=UTC)), publisher, SETTINGS.max_event_bytes, 10_000), publisher


def symptom(number: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": "urn:test",
        "type": "milepost.symptom.reported",
        "subject": "athlete-1",
        "time": "2026-03-02T07:00:00Z",
        "data": {"when": "daily", "pain_nrs": 2},
    }


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize(
    ("fault", "slug"),
    [
        (BusUnavailable("gone"), "bus-unavailable"),
        (BusFull("full"), "bus-full"),
        (BusRefused("no such stream"), "bus-refused"),
    ],
)
async def test_what_the_bus_did_not_confirm_is_not_confirmed_and_may_be_sent_again(fault, slug):
    bus = Bus(fault)
    taking, publisher = reception(bus)
    for attempt in (taking.one(SENDER, symptom(1)), taking.many(SENDER, [symptom(1), symptom(2)])):
        with pytest.raises(Problem) as caught:
            await attempt
        assert (caught.value.status, caught.value.slug) == (503, slug)
        assert int(caught.value.headers["Retry-After"]) >= 1
    bus.fault = None
    outcomes = await taking.many(SENDER, [symptom(1), symptom(2)])
    assert [outcome.outcome for outcome in outcomes] == ["accepted", "accepted"]
    await publisher.stop()


async def test_lines_are_read_no_faster_than_the_bus_stores_them():
    bus = Bus()
    bus.open.clear()
    taking, publisher = reception(bus)
    read = 0

    async def lines() -> AsyncIterator[bytes]:
        nonlocal read
        for number in range(9_000):
            read = number + 1
            yield json.dumps(symptom(number)).encode()

    task = asyncio.create_task(taking.lines(SENDER, lines()))
    held = -1
    while held != read:
        held = read
        for _ in range(50):
            await asyncio.sleep(0)
    assert read <= 2_000
    bus.open.set()
    assert answer(await task)["accepted"] == 9_000
    assert bus.stored == 9_000
    await publisher.stop()


@pytest.mark.law("nothing-lost")
async def test_lines_of_which_some_could_not_be_stored_are_not_confirmed():
    bus = Bus(BusUnavailable("gone"))
    taking, publisher = reception(bus)

    async def lines() -> AsyncIterator[bytes]:
        for number in range(3_000):
            yield json.dumps(symptom(number)).encode()

    with pytest.raises(Problem) as caught:
        await taking.lines(SENDER, lines())
    assert caught.value.status == 503
    await publisher.stop()


async def test_together_is_all_or_none():
    bus = Bus()
    taking, publisher = reception(bus)
    with pytest.raises(Problem) as caught:
        await taking.together(SENDER, [symptom(1), symptom(2) | {"time": "yesterday"}])
    assert (caught.value.status, bus.stored) == (422, 0)
    assert len(await taking.together(SENDER, [symptom(1), symptom(2)])) == bus.stored == 2
    await publisher.stop()


async def test_an_answer_stays_small_however_much_is_at_fault():
    taking, publisher = reception(Bus())
    bad = {**symptom(1), "data": {f"x{number}": 1 for number in range(60)}}
    outcomes = await taking.many(SENDER, [bad] * 500)
    told = [len(item["faults"]) for item in answer(outcomes)["outcomes"]]
    assert told[0] == 50
    assert told[-1] == 1
    await publisher.stop()

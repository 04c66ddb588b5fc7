"""Erasing while notify holds what it read: it is waited for as long as it lives, and what it writes afterwards brings nobody back."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from typing import Any

import asyncpg
import psutil
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.arrivals import stamp
from services.decision.eraser import opened
from services.decision.erasing import Eraser
from services.decision.forgetting import erasure_event
from services.decision.store import erase, erasures, outbox
from services.decision.store.connection import borrowed
from services.embedded import EmbeddedServers
from services.notify.consume import Consumer
from services.notify.messages import read
from services.notify.store import progress
from shared import locks
from shared.bus import DECISIONS, Bus, event_subject
from shared.placing import partition, pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import Run, on_stream, pain, send, settled, started, until
from tests.integration.forking import Child, Forks, forks

TENANT = "clinic"
NUMBER = count(1)


@pytest.fixture(scope="module")
async def parent() -> AsyncIterator[Forks]:
    async with forks() as parent:
        yield parent


@pytest.fixture(scope="module")
async def rows(settings: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def eraser(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Eraser]:
    monkeypatch.setattr("services.decision.erasing.PATIENCE_S", 0.2)
    async with AsyncExitStack() as stack:
        yield (await opened(stack, settings))[0]


class Case:
    """Two athletes whose first recommendations lie on the bus, the one who stays before and behind the one who goes, and a request."""

    def __init__(self, settings: Settings, engine: AsyncEngine, bus: Bus, rows: Any) -> None:
        number = next(NUMBER)
        self.goes, self.stays = f"goes-{number}", f"stays-{number}"
        self.key = pseudonym(settings.pseudonym_key_bytes, TENANT, self.goes)
        self.key_of_stays = pseudonym(settings.pseudonym_key_bytes, TENANT, self.stays)
        self._settings, self._engine, self._bus, self._rows = settings, engine, bus, rows

    async def lie_on_the_bus(self, run: Run) -> None:
        courses = [
            (self.stays, f"{self.stays}-a"),
            (self.goes, f"{self.goes}-a"),
            (self.stays, f"{self.stays}-b"),
            (self.goes, f"{self.goes}-b"),
        ]
        # Of these days, long past, time itself could else speak last, and nobody would publish it after the worker.
        async with run(time_speaks=False, checkpoint_s=5.0):
            for name, course in courses:
                await send(self._bus, self._settings, TENANT, sent := [started(name, course), pain(name, course, 1)])
                await settled(self._engine, TENANT, sent)
                await until(self._published)
            said = erasure_event(TENANT, self.key, {"reason": "ordered", "by": {"id": "k", "role": "admin"}}, stamp(datetime.now(UTC)))
            await self._bus.publish(event_subject(partition(TENANT, self.goes), self.key), said)
            await until(self._requested)
        await until(self._nobody_tells)

    async def _nobody_tells(self) -> bool:
        """The session of a notify of the test before ends a moment after it."""
        async with borrowed(self._engine) as connection:
            return not await erasures.somebody_tells(connection)

    async def _published(self) -> bool:
        async with borrowed(self._engine) as connection:
            return await outbox.length(connection) == 0

    async def _requested(self) -> bool:
        async with borrowed(self._engine) as connection:
            return await erasures.of(connection, TENANT, self.key) is not None

    async def state(self) -> str:
        async with borrowed(self._engine) as connection:
            found = await erasures.of(connection, TENANT, self.key)
        assert found is not None
        return found.state

    async def told(self, name: str) -> list[str]:
        """Courses of which notify keeps anything."""
        query = "SELECT course FROM notices WHERE course LIKE $1 UNION SELECT course FROM course_notices WHERE course LIKE $1 ORDER BY 1"
        return [row["course"] for row in await self._rows.fetch(query, f"{name}-%")]

    async def has_key(self) -> bool:
        return bool(
            await self._rows.fetchval("SELECT count(*) FROM keys.athlete_keys WHERE athlete = $1 AND wrapped IS NOT NULL", self.goes)
        )

    async def all_told(self) -> bool:
        return await self.told(self.stays) == [f"{self.stays}-a", f"{self.stays}-b"]


@pytest.fixture
async def case(settings: Settings, engine: AsyncEngine, bus: Bus, rows: Any, run: Run) -> Case:
    made = Case(settings, engine, bus, rows)
    await made.lie_on_the_bus(run)
    return made


async def standing_still(child: Child) -> bool:
    return psutil.Process(child.pid).status() == psutil.STATUS_STOPPED


async def ended(child: Child, number: signal.Signals) -> None:
    if number != signal.SIGKILL:
        # That one ends what stands still, which must not do a thing before.
        child.send_signal(signal.SIGCONT)
    child.send_signal(number)
    await asyncio.wait_for(child.wait(), 90)


def waits_for_notify() -> float:
    return float(measures.ERASURES_WAITING.labels("notify")._value.get())


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(120)
async def test_a_notify_that_stands_still_is_waited_for_and_nobody_is_erased_meanwhile(
    settings: Settings, parent: Forks, case: Case, eraser: Eraser
):
    notify = await parent.child("notify", settings, stop=18)
    await until(lambda: standing_still(notify))
    for _ in range(3):
        assert await eraser.carry_out() == 0
        assert await case.state() == "requested" and await case.has_key() and waits_for_notify() == 1
    notify.send_signal(signal.SIGCONT)
    await until(case.all_told)

    async def erased() -> bool:
        return await eraser.carry_out() == 1

    await until(erased)
    assert await case.state() == "erased" and await case.told(case.goes) == [] and waits_for_notify() == 0
    await ended(notify, signal.SIGTERM)
    assert await case.told(case.goes) == [] and await case.all_told()


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(120)
async def test_a_notify_that_died_with_what_it_read_is_not_waited_for_and_the_next_tells_everybody_else(
    settings: Settings, parent: Forks, case: Case, eraser: Eraser
):
    """Deleting what a consumer was handed confirms all that came before it: the next must not begin behind that."""
    notify = await parent.child("notify", settings, stop=18)
    await until(lambda: standing_still(notify))
    await ended(notify, signal.SIGKILL)

    async def erased() -> bool:
        return await eraser.carry_out() == 1  # Its session ends a moment after it.

    await until(erased)
    assert await case.state() == "erased" and await case.told(case.stays) == []
    notify = await parent.child("notify", settings)
    await until(case.all_told)
    assert await case.told(case.goes) == []
    await ended(notify, signal.SIGTERM)


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(120)
async def test_a_notify_that_wakes_after_it_lost_the_lead_writes_nothing_of_the_erased(
    settings: Settings, parent: Forks, case: Case, eraser: Eraser, rows: Any, servers: EmbeddedServers
):
    notify = await parent.child("notify", settings, stop=18)
    await until(lambda: standing_still(notify))
    lead = await rows.fetchval("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = $1", locks.LEAD)
    admin = await servers.postgres._connect("milepost")

    async def erased() -> bool:
        # Another of its tasks may stand in the middle of a transaction, and hold what an erasure locks for as long as it stands.
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1"
            " OR usename = 'milepost_service' AND state LIKE 'idle in transaction%'",
            lead,
        )
        return await eraser.carry_out() == 1

    await until(erased)
    await admin.close()
    notify.send_signal(signal.SIGCONT)
    await until(case.all_told)
    assert await case.told(case.goes) == []
    await ended(notify, signal.SIGTERM)
    assert await case.told(case.goes) == []


async def test_what_was_read_before_an_erasure_and_is_told_after_it_is_passed_over(
    settings: Settings, engine: AsyncEngine, bus: Bus, case: Case, eraser: Eraser
):
    held = await on_stream(bus, DECISIONS, f"dec.*.{case.key}", f"dec.*.{case.key_of_stays}")
    assert await eraser.carry_out() == 1
    consumer = Consumer(engine, bus, settings, lambda: datetime.now(UTC), lambda _: None, lambda: None)
    await consumer.tell([read(one.data, one.subject) for one in held], held[-1].stream_seq)
    await consumer.close()
    assert await case.told(case.goes) == [] and await case.all_told()


@pytest.mark.law("nothing-lost")
async def test_an_erasure_that_comes_once_notify_looked_who_is_erased_waits_and_removes_what_it_writes(
    settings: Settings, engine: AsyncEngine, bus: Bus, case: Case, eraser: Eraser, rows: Any, monkeypatch: pytest.MonkeyPatch
):
    """It looks behind its lock: else an erasure could pass between looking and writing."""
    # It waits for the test, which may take a while on a busy machine.
    monkeypatch.setattr(erase, "LOCK_WAIT_S", 30)
    held = await on_stream(bus, DECISIONS, f"dec.*.{case.key}", f"dec.*.{case.key_of_stays}")
    looked, erasing = progress.note, list["asyncio.Task[int]"]()
    waiting = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE relation = 'course_notices'::regclass AND NOT granted)"

    async def note(*asked: Any) -> set[tuple[str, str]]:
        gone = await looked(*asked)
        erasing.append(asyncio.create_task(eraser.carry_out()))

        async def carried_out_or_waiting() -> bool:
            return erasing[0].done() or bool(await rows.fetchval(waiting))

        await until(carried_out_or_waiting)
        return gone

    monkeypatch.setattr(progress, "note", note)
    consumer = Consumer(engine, bus, settings, lambda: datetime.now(UTC), lambda _: None, lambda: None)
    await consumer.tell([read(one.data, one.subject) for one in held], held[-1].stream_seq)
    await consumer.close()
    assert await erasing[0] == 1 and await case.state() == "erased"
    assert await case.told(case.goes) == [] and await case.all_told()


@pytest.mark.law("nothing-lost")
async def test_a_notify_that_lost_the_lead_takes_nothing_back_of_how_far_everything_is_told(
    settings: Settings, engine: AsyncEngine, bus: Bus
):
    """An erasure would wait until something more is told, if ever."""
    consumer = Consumer(engine, bus, settings, lambda: datetime.now(UTC), lambda _: None, lambda: None)
    async with borrowed(engine) as connection:
        await progress.note(connection, 2_000, ())
        await consumer.tell([], 1_000)
        assert await progress.read_to(connection) == 2_000
        await progress.note(connection, 0, (), begins=True)
        assert await progress.read_to(connection) == 0
    await consumer.close()


async def test_where_nobody_ever_tells_nobody_is_waited_for(case: Case, eraser: Eraser, bus: Bus):
    assert await eraser.carry_out() == 1
    subject = f"dec.*.{case.key}"
    info = await bus.api(f"STREAM.INFO.{DECISIONS}", {"subjects_filter": subject})
    assert not info["state"].get("subjects") and await case.state() == "erased"

"""Laws nothing-lost and once at every numbered point: whatever was about to be, or had just been, written, confirmed, owned or signed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import orjson
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.arrivals import stamp
from services.decision.audit import replay as replaying
from services.decision.audit.replay import Asked, differences
from services.decision.audit.whole import verify_database
from services.decision.engines.reference import ReferenceEngine
from services.decision.forgetting import erasure_event
from services.decision.lease import Lease
from services.decision.packs import Published
from services.decision.reconciler import Reconciler
from services.decision.rules.library import PackLibrary
from services.decision.store import erasures, leases, reconciliations, replays
from services.decision.store.connection import borrowed
from shared.bus import DECISIONS, EVENTS, Bus, decision_subject, event_subject
from shared.crash import EXIT, POINTS
from shared.placing import partition, pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import Run, pain, send, settled, started, until
from tests.integration.forking import Forks, forks
from tests.seeds import chance

NUMBER = count(1)
WORKER_POINTS = range(1, 18)
RECONCILER_POINTS = (41, 42)
REPLAY_POINTS = (43, 44)
ERASER_POINTS = range(45, 50)


ENDED_S = 120
"""Within which a process has ended where it was to end: far more than it takes."""
DRAWN = chance("crash points")


def some(course: str) -> list[dict[str, Any]]:
    """Events that nobody sent yet."""
    return [pain("a", course, next(NUMBER)) for _ in range(DRAWN.randint(1, 5))]


def shuffled(points: Iterable[int]) -> list[int]:
    """In an order of the run's seed: any point may come after any other."""
    found = list(points)
    DRAWN.shuffle(found)
    return found


def quick(settings: Settings) -> Settings:
    return settings.model_copy(update={"lease_s": 1.0, "checkpoint_s": 0.1})


@pytest.fixture(scope="module")
async def parent() -> AsyncIterator[Forks]:
    async with forks() as parent:
        yield parent


async def owned(engine: AsyncEngine) -> bool:
    async with borrowed(engine) as connection:
        held = await connection.fetchval("SELECT count(*) FROM partition_heads WHERE owner IS NOT NULL AND lease_until > clock_timestamp()")
    return bool(held == 64)


async def owned_or_stopped(engine: AsyncEngine, pid: int) -> bool:
    """A worker may stop at what time itself says, before anything is sent; then its lease soon runs out."""
    return await stopped(pid) or await owned(engine)


@pytest.mark.law("nothing-lost")
@pytest.mark.law("once")
@pytest.mark.law("same-bytes")
@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(600)
async def test_ended_at_any_point_nothing_is_lost_or_done_twice(settings: Settings, engine: AsyncEngine, bus: Bus, run: Run, parent: Forks):
    sent = [started("a", "c")]
    await send(bus, settings, "clinic", sent)
    for number in shuffled(WORKER_POINTS):
        new = some("c")
        await send(bus, settings, "clinic", new)
        sent += new
        process = await parent.child("worker", quick(settings), end=number)
        if number in (12, 13):
            await settled(engine, "clinic", new)
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), ENDED_S) == EXIT, f"point {number} was not passed: {POINTS[number]}"
    async with run(checkpoint_s=0.1):
        await settled(engine, "clinic", sent)

        # While it runs: on a busy machine time itself decides meanwhile, and that is told a moment later.
        await until(partial(everything_was_told, engine, bus))
    await judge(settings, engine, sent)


async def judge(settings: Settings, engine: AsyncEngine, sent: list[dict[str, Any]]) -> None:
    """Every event once, numbers without gaps, every decision as it must be, every proof holding."""
    async with borrowed(engine) as connection:
        rows = await connection.fetch("SELECT id, count(*) AS times FROM events WHERE source = 'urn:test' GROUP BY id")
        assert {row["id"]: row["times"] for row in rows} == {body["id"]: 1 for body in sent}
        made = await connection.fetch("SELECT seq FROM decisions WHERE course = 'c' ORDER BY seq")
        assert [row["seq"] for row in made] == list(range(1, len(made) + 1)) and len(made) >= len(sent)
        (past,) = await replays.pasts(connection, [("clinic", "a")])
    packs = Published(PackLibrary(ReferenceEngine()), ReferenceEngine())
    assert differences([past], packs, Asked(), {}) == [[]]
    assert (await verify_database(settings, (), 1)).faults == []


@pytest.mark.law("nothing-lost")
@pytest.mark.law("tamper-evident")
async def test_an_erasure_ended_at_any_point_is_carried_out_whole_and_every_proof_holds(
    settings: Settings, engine: AsyncEngine, bus: Bus, run: Run, parent: Forks
):
    async with run(checkpoint_s=0.1):
        for number in shuffled(ERASER_POINTS):
            name, key = f"e{number}", pseudonym(settings.pseudonym_key_bytes, "clinic", f"e{number}")
            sent = [started(name, f"{name}-c"), pain(name, f"{name}-c", next(NUMBER))]
            await send(bus, settings, "clinic", sent)
            await settled(engine, "clinic", sent)
            said = erasure_event("clinic", key, {"reason": "ordered", "by": {"id": "k", "role": "admin"}}, stamp(datetime.now(UTC)))
            await bus.publish(event_subject(partition("clinic", name), key), said)
            await until(partial(erasure_known, engine, key))
            process = await parent.child("eraser", settings, end=number)
            assert await asyncio.wait_for(process.wait(), ENDED_S) == EXIT, f"point {number} was not passed: {POINTS[number]}"
            assert await asyncio.wait_for((await parent.child("eraser", settings)).wait(), ENDED_S) == 0
            await forgotten(settings, engine, bus, name, key)
    found = await verify_database(settings, (), 1)
    assert found.faults == [] and found.erased > 0


async def forgotten(settings: Settings, engine: AsyncEngine, bus: Bus, name: str, key: str) -> None:
    """Carried out, and nothing is left: no row, no key, and on the bus only what asked for it."""
    async with borrowed(engine) as connection:
        done = await erasures.of(connection, "clinic", key)
        assert done is not None and done.erased_at is not None
        for table in ("events", "decisions", "courses", "timers", "outbox", "keys.athlete_keys"):
            assert not await connection.fetchval(f"SELECT count(*) FROM {table} WHERE athlete = $1", name), f"still in {table}"
        rows = await connection.fetch("SELECT wrapped FROM keys.athlete_keys WHERE athlete = 'erased-' || $1", key)
        assert [row["wrapped"] for row in rows] == [None]
    place = partition("clinic", name)
    for stream, subject, left in ((EVENTS, event_subject(place, key), 1), (DECISIONS, decision_subject(place, key), 0)):
        info = await bus.api(f"STREAM.INFO.{stream}", {"subjects_filter": subject})
        assert sum((info["state"].get("subjects") or {}).values()) == left, f"still on {stream}"


async def erasure_known(engine: AsyncEngine, key: str) -> bool:
    async with borrowed(engine) as connection:
        return await erasures.of(connection, "clinic", key) is not None


async def everything_was_told(engine: AsyncEngine, bus: Bus) -> bool:
    """Whether each decision is on the bus; one told again has the number it had before."""
    async with borrowed(engine) as connection:
        made = {(row["course"], row["seq"]) for row in await connection.fetch("SELECT course, seq FROM decisions")}
    consumer = await bus.pull_consumer(DECISIONS, "judge", ["dec.>"], 1, 500)
    numbers: dict[tuple[str, int], set[int]] = {}
    while messages := await consumer.fetch(500, 0.5):
        for message in messages:
            told = orjson.loads(message.data)
            if told["kind"] == "decision":
                numbers.setdefault((told["course"], told["body"]["seq"]), set()).add(told["outbox"])
        await consumer.ack_all(messages[-1])
    await consumer.close()
    await bus.delete_consumer(DECISIONS, "judge")
    assert all(len(found) == 1 for found in numbers.values())
    return made <= numbers.keys()


@pytest.mark.law("once")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [3, 4])
async def test_a_worker_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes(
    settings: Settings, engine: AsyncEngine, bus: Bus, run: Run, parent: Forks, number: int
):
    course = f"stopped-{number}"
    sent = [started("b", course), pain("b", course, next(NUMBER)) | {"id": f"{course}-1"}]
    process = await parent.child("worker", quick(settings), stop=number)
    await until(lambda: owned_or_stopped(engine, process.pid))
    await send(bus, settings, "clinic", sent)
    await until(lambda: stopped(process.pid))
    async with run():
        # Takes over although the other one may hold the rows of an open transaction.
        await settled(engine, "clinic", sent)
        before = await everything(engine)
        process.send_signal(signal.SIGCONT)
        later = [pain("b", course, next(NUMBER)) | {"id": f"{course}-2"}]
        await send(bus, settings, "clinic", later)
        await settled(engine, "clinic", later)
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), ENDED_S)
        after = await everything(engine)
    assert before.items() <= after.items()
    new = [row for place, row in after.items() if place not in before and row["source"] == "urn:test"]
    assert [row["id"] for row in new] == [f"{course}-2"]
    assert (await verify_database(settings, (), 1)).faults == []


@pytest.mark.law("once")
@pytest.mark.timeout(600)
async def test_a_worker_that_was_stopped_writes_nothing_when_it_wakes_though_who_took_over_wrote_nothing_yet(
    settings: Settings, engine: AsyncEngine, bus: Bus, parent: Forks
):
    sent = [started("b", "early"), pain("b", "early", next(NUMBER)) | {"id": "early-1"}]
    process = await parent.child("worker", quick(settings), stop=3)
    await until(lambda: owned_or_stopped(engine, process.pid))
    await send(bus, settings, "clinic", sent)
    await until(lambda: stopped(process.pid))
    taken = Lease(engine, range(64), 600)
    # No head moves: only the epoch says that somebody else owns them.
    await taken.take()
    assert not await has_no_reader(bus)
    before = await everything(engine)
    process.send_signal(signal.SIGCONT)
    await until(lambda: has_no_reader(bus))
    assert await everything(engine) == before
    await taken.give_back()
    await settled(engine, "clinic", sent)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), ENDED_S) == 0
    assert (await verify_database(settings, (), 1)).faults == []


async def has_no_reader(bus: Bus) -> bool:
    """Whether no worker reads: one whose batch failed gives its place on the bus up, and waits for its partitions."""
    names = (await bus.api(f"CONSUMER.NAMES.{EVENTS}"))["consumers"] or ()
    return not any(name.startswith("decision-") for name in names)


@pytest.mark.law("nothing-lost")
async def test_a_reconciler_ended_at_any_point_compares_everything_and_fetches_again_what_is_missing(
    settings: Settings, engine: AsyncEngine, bus: Bus, run: Run, parent: Forks, owner: AsyncEngine
):
    sent = [started("c", "compared"), *(pain("c", "compared", next(NUMBER)) for _ in range(3))]
    async with run():
        last = await send(bus, settings, "clinic", sent)
        await settled(engine, "clinic", sent)
        await until(lambda: passed(engine, last))
    for number in shuffled(RECONCILER_POINTS):
        async with owner.begin() as conn:
            await conn.execute(text("DELETE FROM events WHERE id = 'compared-start'"))
            await conn.execute(text("DELETE FROM event_outcomes WHERE id = 'compared-start'"))
            await conn.execute(text("DELETE FROM reconciled"))
        process = await parent.child("reconciler", settings, end=number)
        assert await asyncio.wait_for(process.wait(), ENDED_S) == EXIT, f"point {number} was not passed: {POINTS[number]}"
        # Again: the lock of the one that ended is held until PostgreSQL has seen that nobody is there any more.
        await until(partial(compared, engine, bus))
        assert await bus.last_seq(EVENTS) > last, "what history lacked was not put on the bus again"
        last = await bus.last_seq(EVENTS)
    async with run():
        await settled(engine, "clinic", sent)
        await until(lambda: passed(engine, last))
    await until(partial(compared, engine, bus))
    assert await bus.last_seq(EVENTS) == last, "what history has was put on the bus again"


async def compared(engine: AsyncEngine, bus: Bus) -> bool:
    await Reconciler(engine, bus).reconcile()
    async with borrowed(engine) as connection:
        return await reconciliations.place(connection) >= await leases.checkpoint(connection)


async def passed(engine: AsyncEngine, stream_seq: int) -> bool:
    async with borrowed(engine) as connection:
        return await leases.checkpoint(connection) >= stream_seq


MADE_BY = "SELECT e.type FROM decisions AS d JOIN events AS e ON e.partition = d.partition AND e.seq = d.event_seq WHERE d.tenant = $1"
"""The type of the event that made each decision of a tenant."""


@pytest.mark.law("same-bytes")
async def test_a_replay_ended_at_any_point_goes_on_where_it_was_and_counts_nothing_twice(
    settings: Settings, engine: AsyncEngine, bus: Bus, run: Run, parent: Forks, owner: AsyncEngine
):
    sent = [one for athlete in ("r1", "r2") for one in (started(athlete, f"{athlete}-c"), pain(athlete, f"{athlete}-c", next(NUMBER)))]
    async with run():
        await send(bus, settings, "replayed", sent)
        await settled(engine, "replayed", sent)
    await planted(owner, "refused")
    # Beside one for each event there are as many as time itself made before the worker ended, for these days are past.
    async with borrowed(engine) as connection:
        made = [row["type"] for row in await connection.fetch(MADE_BY, "replayed")]
    assert len(made) - made.count("milepost.time.reached") == len(sent)
    for number in shuffled(REPLAY_POINTS):
        async with borrowed(engine) as connection:
            id = await replaying.start(connection, "replayed", "test", Asked())
        process = await parent.child("replay", settings, end=number)
        assert await asyncio.wait_for(process.wait(), ENDED_S) == EXIT, f"point {number} was not passed: {POINTS[number]}"
        assert await asyncio.wait_for((await parent.child("replay", settings)).wait(), ENDED_S) == 0
        async with borrowed(engine) as connection:
            done, kept = await replays.read(connection, id), await replays.differences(connection, id, 0, 10)
        assert done is not None and (done.state, done.done, done.athletes) == ("done", 2, 2)
        assert (done.decisions, done.differences, [(one.n, one.athlete) for one in kept]) == (len(made), 1, [(1, "r2")])
    await planted(owner, "accepted")


async def planted(owner: AsyncEngine, status: str) -> None:
    """What became of an event is changed, or put right again, so that a replay finds one difference."""
    async with owner.begin() as conn:
        await conn.execute(text("UPDATE event_outcomes SET status = :status WHERE id = 'r2-c-start'"), {"status": status})


async def everything(engine: AsyncEngine) -> dict[tuple[int, int], Any]:
    async with borrowed(engine) as connection:
        rows = await connection.fetch("SELECT partition, seq, source, id, leaf FROM events")
    return {(row["partition"], row["seq"]): dict(row) for row in rows}


async def stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED

"""History's store on a real PostgreSQL: leases and epochs, the one transaction of a batch, loading, the outbox."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.store import athletes, leases, outbox, timers
from services.decision.store.commit import Clash, Fenced, commit
from services.decision.store.connection import Connection, borrowed
from services.decision.store.rows import (
    OUTSIDE_THE_FOLD,
    ConflictRow,
    CourseRow,
    DecisionRow,
    EventRow,
    Head,
    OutboxRow,
    OutcomeRow,
    TimerRow,
    Writes,
)

NOW = datetime(2026, 3, 2, 7, tzinfo=UTC)
PARTITION = count()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[Connection]:
    async with borrowed(engine) as found:
        yield found


@pytest.fixture
async def head(connection: Connection) -> Head:
    """A partition of its own for each test, owned by it."""
    (found,) = await leases.acquire(connection, [next(PARTITION)], "tester", 60)
    return found


def event(head: Head, seq: int, tenant: str = "t", athlete: str = "a", id: str | None = None, stream_seq: int | None = None) -> EventRow:
    return EventRow(
        head.partition, seq, tenant, athlete, "urn:test", id or str(uuid4()), "x", NOW, NOW, stream_seq, b"d", orjson.dumps({"seq": seq})
    )


def decision(head: Head, seq: int, course: str, athlete: str = "a", body: bytes = b"{}") -> DecisionRow:
    return DecisionRow("t", course, seq, uuid4(), athlete, head.partition, 1, "urn:test", "1", NOW, NOW, body)


def course(head: Head, seq: int, course: str, athlete: str = "a") -> CourseRow:
    return CourseRow("t", course, athlete, head.partition, "p@1", "open", seq, "hold", "routine", False, NOW, NOW, b'{"step":"P1"}')


def moved(head: Head, seq: int, stream_seq: int = 0) -> Writes:
    return Writes(before=[head], after=[head._replace(seq=seq, stream_seq=stream_seq)])


async def stored(connection: Connection, partition: int) -> list[int]:
    rows = await connection.fetch("SELECT seq FROM events WHERE partition = $1 ORDER BY seq", partition)
    return [row["seq"] for row in rows]


async def test_a_free_partition_is_taken_and_a_leased_one_is_not(connection: Connection):
    partition = next(PARTITION)
    (mine,) = await leases.acquire(connection, [partition], "first", 60)
    assert await leases.acquire(connection, [partition], "second", 60) == []
    (again,) = await leases.acquire(connection, [partition], "first", 60)
    assert again.epoch == mine.epoch + 1


async def test_a_lease_that_ran_out_passes_to_whoever_asks_under_a_new_epoch(connection: Connection):
    partition = next(PARTITION)
    (old,) = await leases.acquire(connection, [partition], "first", 0)
    (new,) = await leases.acquire(connection, [partition], "second", 60)
    assert new.epoch == old.epoch + 1
    assert not await leases.renew(connection, [old], 60, 0)


async def test_the_partitions_of_a_process_that_ended_need_not_be_waited_for(connection: Connection):
    partition = next(PARTITION)
    await leases.acquire(connection, [partition], "first", 60)
    assert await leases.owners(connection, [partition]) == ["first"]
    assert await leases.acquire(connection, [partition], "second", 60, bygone=["first"])


async def test_partitions_given_back_are_free_at_once(connection: Connection):
    partition = next(PARTITION)
    mine = await leases.acquire(connection, [partition], "first", 60)
    await leases.release(connection, mine)
    assert await leases.acquire(connection, [partition], "second", 60)


async def test_renewing_moves_idle_checkpoints_forward_and_never_back(connection: Connection, head: Head):
    assert await leases.renew(connection, [head], 60, 40)
    assert await leases.renew(connection, [head], 60, 7)
    assert await connection.fetchval("SELECT stream_seq FROM partition_heads WHERE partition = $1", head.partition) == 40


async def test_two_who_want_all_partitions_at_once_get_each_partition_once(engine: AsyncEngine):
    wanted = list(range(40, 64))

    async def take(owner: str) -> list[Head]:
        async with borrowed(engine) as mine:
            return await leases.acquire(mine, wanted, owner, 60)

    taken = await asyncio.gather(*(take(f"owner-{n}") for n in range(4)))
    assert sorted(head.partition for heads in taken for head in heads) == wanted


async def test_a_batch_is_written_whole_and_moves_the_head(connection: Connection, head: Head):
    name = f"c-{head.partition}"
    writes = moved(head, 2, 17)
    writes.events = [event(head, 1, stream_seq=16), event(head, 2, stream_seq=17)]
    writes.outcomes = [OutcomeRow("t", "urn:test", writes.events[0].id, 1, 0, "accepted", None, None, head.partition)]
    writes.decisions = [decision(head, 1, name)]
    writes.courses = {("t", name): course(head, 1, name)}
    writes.timers = {("t", name): [TimerRow("t", name, "valid_until", "a", head.partition, NOW)]}
    writes.outbox = [OutboxRow(head.partition, "t", "a", b'{"kind":"decision"}')]
    await commit(connection, writes)
    assert await stored(connection, head.partition) == [1, 2]
    row = await connection.fetchrow("SELECT stream_seq, seq FROM partition_heads WHERE partition = $1", head.partition)
    assert row is not None and tuple(row) == (17, 2)
    assert [timer.course for timer in await timers.due(connection, [head.partition], 10)] == [name]
    assert [waiting.body for waiting in await outbox.waiting(connection, [head.partition], 10)] == [b'{"kind":"decision"}']


@pytest.mark.law("once")
async def test_the_same_batch_committed_twice_is_written_once(connection: Connection, head: Head):
    writes = moved(head, 1, 5)
    writes.events = [event(head, 1)]
    await commit(connection, writes)
    with pytest.raises(Fenced):
        await commit(connection, writes)
    assert await stored(connection, head.partition) == [1]


@pytest.mark.law("once")
async def test_a_fenced_zombie_writes_nothing(connection: Connection, head: Head):
    await leases.acquire(connection, [head.partition], "successor", 60, bygone=["tester"])
    writes = moved(head, 1, 5)
    writes.events, writes.outbox = [event(head, 1)], [OutboxRow(head.partition, "t", "a", b"{}")]
    with pytest.raises(Fenced):
        await commit(connection, writes)
    assert await stored(connection, head.partition) == []
    assert await outbox.waiting(connection, [head.partition], 10) == []


async def test_a_worker_whose_lease_ran_out_goes_on_while_nobody_took_over(connection: Connection):
    (head,) = await leases.acquire(connection, [next(PARTITION)], "slow", 0)
    writes = moved(head, 1)
    writes.events = [event(head, 1)]
    await commit(connection, writes)
    assert await stored(connection, head.partition) == [1]


@pytest.mark.law("once")
async def test_a_taken_event_key_undoes_the_whole_batch(connection: Connection, head: Head):
    first = moved(head, 1)
    first.events = [event(head, 1, id="taken")]
    await commit(connection, first)
    second = Writes(before=first.after, after=[head._replace(seq=3)])
    second.events = [event(head, 2), event(head, 3, athlete="b", id="taken")]
    with pytest.raises(Clash):
        await commit(connection, second)
    assert await stored(connection, head.partition) == [1]
    found = await athletes.holders(connection, [("t", "urn:test", "taken"), ("u", "urn:test", "taken")])
    assert found == {("t", "urn:test", "taken"): athletes.Holder("a", b"d", True)}


@pytest.mark.law("no-crossing")
async def test_two_tenants_may_use_one_event_key_and_one_course_id(connection: Connection, head: Head):
    writes = moved(head, 2)
    writes.events = [event(head, 1, "t", id="same"), event(head, 2, "u", id="same")]
    name = f"shared-{head.partition}"
    writes.courses = {("t", name): course(head, 1, name), ("u", name): course(head, 1, name)._replace(tenant="u", athlete="b")}
    await commit(connection, writes)
    assert await athletes.owners(connection, [("t", name), ("u", name)]) == {("t", name): "a", ("u", name): "b"}


async def test_a_course_of_another_athlete_is_never_taken_over(connection: Connection, head: Head):
    name = f"c-{head.partition}"
    first = moved(head, 0, 1)
    first.courses = {("t", name): course(head, 1, name, "a")}
    await commit(connection, first)
    second = Writes(before=first.after, after=[head._replace(stream_seq=2)], courses={("t", name): course(head, 2, name, "b")})
    with pytest.raises(Clash):
        await commit(connection, second)
    assert await athletes.owners(connection, [("t", name)]) == {("t", name): "a"}


async def test_a_conflict_is_kept_once_and_told_once(connection: Connection, head: Head):
    row = ConflictRow("t", "urn:test", f"conflict-{head.partition}", b"other", NOW, b"{}", "a", head.partition)
    notice = OutboxRow(head.partition, "t", "a", b'{"kind":"event.refused"}')
    first = moved(head, 0, 1)
    first.conflicts = [(row, notice), (row, notice)]
    await commit(connection, first)
    second = Writes(before=first.after, after=[head._replace(stream_seq=2)], conflicts=[(row, notice)])
    await commit(connection, second)
    assert len(await outbox.waiting(connection, [head.partition], 10)) == 1


async def test_a_moment_long_past_waits_until_its_athlete_is_quiet(connection: Connection, head: Head):
    database_now = await connection.fetchval("SELECT clock_timestamp()")
    writes = moved(head, 2, 2)
    for seq, (athlete, quiet_s) in enumerate((("heard now", 0), ("quiet", timers.QUIET_S)), 1):
        recorded = database_now - timedelta(seconds=quiet_s)
        writes.events.append(event(head, seq, stream_seq=seq)._replace(athlete=athlete, recorded_at=recorded))
        writes.timers["t", f"{athlete} {head.partition}"] = [
            TimerRow("t", f"{athlete} {head.partition}", "valid_until", athlete, head.partition, NOW)
        ]
    await commit(connection, writes)
    assert [timer.athlete for timer in await timers.due(connection, [head.partition], 10)] == ["quiet"]


async def test_a_moment_that_passes_after_the_athlete_was_heard_of_is_due_at_once(connection: Connection, head: Head):
    name = f"passes-{head.partition}"
    database_now = await connection.fetchval("SELECT clock_timestamp()")
    writes = moved(head, 1, 1)
    writes.events = [event(head, 1, stream_seq=1)._replace(athlete="listens", recorded_at=database_now - timedelta(seconds=2))]
    writes.timers["t", name] = [TimerRow("t", name, "report_due", "listens", head.partition, database_now - timedelta(seconds=1))]
    await commit(connection, writes)
    assert [timer.course for timer in await timers.due(connection, [head.partition], 10)] == [name]


async def test_a_decision_replaces_the_timers_of_its_course(connection: Connection, head: Head):
    name = f"c-{head.partition}"
    first = moved(head, 0, 1)
    first.timers = {("t", name): [TimerRow("t", name, kind, "a", head.partition, NOW) for kind in ("valid_until", "report_due")]}
    await commit(connection, first)
    second = Writes(before=first.after, after=[head._replace(stream_seq=2)])
    second.spent = [TimerRow("t", name, "valid_until", "a", head.partition, NOW)]
    second.timers = {("t", name): [TimerRow("t", name, "valid_until", "a", head.partition, NOW + timedelta(days=40_000))]}
    await commit(connection, second)
    assert await timers.due(connection, [head.partition], 10) == []
    assert await connection.fetchval("SELECT count(*) FROM timers WHERE course = $1", name) == 1


async def test_an_athlete_is_loaded_in_the_order_received_with_the_latest_decisions(connection: Connection, head: Head):
    name, athlete = f"c-{head.partition}", f"athlete-{head.partition}"
    writes = moved(head, 3)
    writes.events = [event(head, seq, athlete=athlete) for seq in (1, 2, 3)]
    refused = writes.events[1]
    writes.outcomes = [OutcomeRow("t", "urn:test", refused.id, 2, OUTSIDE_THE_FOLD, "refused", "data.course", "taken", head.partition)]
    writes.decisions = [decision(head, 1, name, athlete, b'{"n":1}'), decision(head, 2, name, athlete, b'{"n":2}')]
    writes.courses = {("t", name): course(head, 2, name, athlete)}
    await commit(connection, writes)
    found = await athletes.histories(connection, [("t", athlete), ("u", athlete)])
    assert [orjson.loads(body)["seq"] for body, _ in found["t", athlete].events] == [1, 3]
    assert found["t", athlete].decisions == {name: (2, {"n": 2})}
    assert found["u", athlete] == athletes.History()


@pytest.mark.law("nothing-lost")
async def test_outbox_rows_stay_in_order_until_they_are_forgotten(connection: Connection, head: Head):
    writes = moved(head, 0, 1)
    writes.outbox = [OutboxRow(head.partition, "t", "a", b'{"n":%d}' % n) for n in range(5)]
    await commit(connection, writes)
    waiting = await outbox.waiting(connection, [head.partition], 3)
    assert [row.body for row in waiting] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    await outbox.forget(connection, [row.outbox for row in waiting])
    assert [row.body for row in await outbox.waiting(connection, [head.partition], 3)] == [b'{"n":3}', b'{"n":4}']


async def test_a_connection_that_was_cut_off_in_a_transaction_does_not_go_back_to_the_pool(engine: AsyncEngine):
    begun = asyncio.Event()

    async def cut_off() -> None:
        async with borrowed(engine) as mine:
            await mine.execute("BEGIN")
            await mine.execute("UPDATE partition_heads SET owner = 'cut off' WHERE partition = 39")
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(cut_off())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    async with borrowed(engine) as other, asyncio.timeout(60):
        assert not other.is_in_transaction()
        await other.execute("UPDATE partition_heads SET owner = NULL WHERE partition = 39")


async def test_a_batch_is_never_written_inside_another_transaction(connection: Connection, head: Head):
    async with connection.transaction():
        with pytest.raises(RuntimeError, match="another transaction"):
            await commit(connection, moved(head, 1))

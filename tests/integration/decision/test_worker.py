"""The worker over a real bus and a real database: every accepted event in history once, whatever is cut off and wherever."""

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.core.athlete import Athlete
from services.decision.core.question import Answer, Question
from services.decision.engines.durable import EngineFault
from services.decision.reader import Message, Reader
from services.decision.store import reads
from services.decision.store.commit import Fenced, commit
from services.decision.store.connection import borrowed
from shared.bus import DECISIONS, Bus, event_subject
from shared.events import canonical, parse
from shared.placing import partition, pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import START, Agreeing, Run, on_stream, pain, send, settled, started, until


async def history(engine: AsyncEngine, tenant: str) -> list[dict[str, Any]]:
    """Events of the tenant that others sent: their outcome and their place."""
    query = """
        SELECT e.partition, e.seq, e.athlete, e.id, e.type, e.stream_seq, o.status, o.path, o.reason FROM events AS e
        CROSS JOIN LATERAL (SELECT * FROM event_outcomes AS o WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id
            ORDER BY o.seq DESC, o.n DESC LIMIT 1) AS o
        WHERE e.tenant = :tenant ORDER BY e.partition, e.seq"""
    async with engine.connect() as conn:
        return [dict(row) for row in (await conn.execute(text(query), {"tenant": tenant})).mappings()]


async def decided(engine: AsyncEngine, tenant: str, course: str) -> list[dict[str, Any]]:
    async with borrowed(engine) as connection:
        return [orjson.loads(row.body) for row in await reads.decisions(connection, tenant, course, None, None, 0, 10_000)]


async def told(engine: AsyncEngine, bus: Bus, tenant: str) -> list[dict[str, Any]]:
    """Everything on DECISIONS about the tenant, once the outbox is empty."""

    async def empty() -> bool:
        async with borrowed(engine) as connection:
            return not await connection.fetchval("SELECT count(*) FROM outbox WHERE tenant = $1", tenant)

    await until(empty)
    found = [orjson.loads(message.data) for message in await on_stream(bus, DECISIONS, "dec.>")]
    return [body for body in found if body["tenant"] == tenant]


async def gapless(engine: AsyncEngine) -> bool:
    query = """
        SELECT count(*) FROM partition_heads AS h
        LEFT JOIN (SELECT partition, count(*) AS n, max(seq) AS last FROM events GROUP BY partition) AS e USING (partition)
        WHERE h.seq <> coalesce(e.n, 0) OR h.seq <> coalesce(e.last, 0)"""
    async with engine.connect() as conn:
        return (await conn.execute(text(query))).scalar_one() == 0


async def test_events_become_decisions_and_decisions_reach_the_bus(run: Run, engine, bus, settings, tenant):
    events = [started("a", "c"), *(pain("a", "c", n) for n in range(1, 4))]
    async with run():
        await send(bus, settings, tenant, events)
        await settled(engine, tenant, events)
        notices = await told(engine, bus, tenant)
    decisions = await decided(engine, tenant, "c")
    own = [d for d in decisions if d["seq"] <= 4]
    assert [d["seq"] for d in own] == [1, 2, 3, 4]
    assert notices[0]["kind"] == "course.started"
    assert [n["body"] for n in notices if n["kind"] == "decision"][: len(own)] == own
    assert notices[1]["cause"] == {"source": "urn:test", "id": "c-start", "type": "milepost.course.started"}
    assert len({n["outbox"] for n in notices}) == len(notices)
    assert await gapless(engine)


@pytest.mark.law("once")
async def test_a_message_delivered_again_takes_no_effect(run: Run, engine, bus, settings, tenant):
    events = [started("a", "c"), pain("a", "c", 1)]
    async with run():
        await send(bus, settings, tenant, events + events)
        await send(bus, settings, tenant, [*events, last := pain("a", "c", 2)])
        await settled(engine, tenant, [last])
    sent = [row for row in await history(engine, tenant) if row["stream_seq"] is not None]
    assert [row["id"] for row in sent] == ["c-start", "c-pain-1", "c-pain-2"]
    causes = [d["cause_id"] for d in await _causes(engine, tenant)]
    assert len(causes) == len(set(causes))


async def _causes(engine: AsyncEngine, tenant: str) -> list[dict[str, Any]]:
    async with engine.connect() as conn:
        rows = await conn.execute(text("SELECT course, cause_id FROM decisions WHERE tenant = :t"), {"t": tenant})
        return [dict(row) for row in rows.mappings()]


@pytest.mark.law("once")
async def test_the_whole_stream_replayed_changes_nothing(run: Run, engine, owner, bus, settings, tenant):
    events = [started("a", "c"), *(pain("a", "c", n) for n in range(1, 6))]
    async with run():
        await send(bus, settings, tenant, events)
        await settled(engine, tenant, events)
    before = (await history(engine, tenant), await decided(engine, tenant, "c"))
    async with owner.begin() as conn:
        await conn.execute(text("UPDATE partition_heads SET stream_seq = 0"))
    async with run():
        await send(bus, settings, tenant, [marker := started("b", "d")])
        await settled(engine, tenant, [marker])
    after = [row for row in await history(engine, tenant) if row["athlete"] == "a"]
    assert [row for row in after if row["stream_seq"] is not None] == [row for row in before[0] if row["stream_seq"] is not None]
    assert (await decided(engine, tenant, "c"))[: len(before[1])] == before[1]
    assert await gapless(engine)


@pytest.mark.law("nothing-lost")
async def test_a_worker_cut_off_between_commit_and_acknowledgement_loses_and_repeats_nothing(
    run: Run, engine, bus, settings, tenant, monkeypatch
):
    acknowledge, cuts = Reader.acknowledge, count()

    async def cut_off(self: Reader, last: Message) -> None:
        if next(cuts) % 3 == 0:
            raise ConnectionError("cut off before the acknowledgement")
        await acknowledge(self, last)

    monkeypatch.setattr(Reader, "acknowledge", cut_off)
    await _all_arrive_once(run, engine, bus, settings, tenant)
    assert next(cuts) > 3


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_whose_answer_is_lost_is_never_blindly_repeated(run: Run, engine, bus, settings, tenant, monkeypatch, committed):
    cuts = count()

    async def cut_off(connection: Any, writes: Any) -> None:
        lost = next(cuts) % 3 == 1
        if committed or not lost:
            await commit(connection, writes)
        if lost:
            raise ConnectionError("the answer to COMMIT was lost")

    monkeypatch.setattr("services.decision.lane.commit", cut_off)
    await _all_arrive_once(run, engine, bus, settings, tenant)
    assert next(cuts) > 3


async def _all_arrive_once(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings, tenant: str) -> None:
    athletes = [f"a{n}" for n in range(6)]
    events = [started(a, f"c-{a}") for a in athletes]
    events += [pain(a, f"c-{a}", n) for n in range(1, 8) for a in athletes]
    async with run(fetch_size=7):
        await send(bus, settings, tenant, events)
        await settled(engine, tenant, events)
        notices = await told(engine, bus, tenant)
    sent = [row for row in await history(engine, tenant) if row["stream_seq"] is not None]
    assert sorted(row["id"] for row in sent) == sorted(body["id"] for body in events)
    assert {row["status"] for row in sent} == {"accepted"}
    for athlete in athletes:
        decisions = await decided(engine, tenant, f"c-{athlete}")
        assert [d["seq"] for d in decisions] == list(range(1, len(decisions) + 1))
        assert [n["body"] for n in notices if n["kind"] == "decision" and n["course"] == f"c-{athlete}"][:8] == decisions[:8]
    assert len({n["outbox"] for n in notices}) == len(notices)
    assert await gapless(engine)


@pytest.mark.law("once")
async def test_a_zombie_is_fenced_and_its_successor_goes_on(run: Run, engine, bus, settings, tenant, monkeypatch):
    zombie_waits, awake = asyncio.Event(), asyncio.Event()
    faults: list[BaseException] = []

    async def slow(connection: Any, writes: Any) -> None:
        if not zombie_waits.is_set():
            zombie_waits.set()
            await awake.wait()
            try:
                await commit(connection, writes)
            except BaseException as fault:
                faults.append(fault)
                raise
            return
        await commit(connection, writes)

    monkeypatch.setattr("services.decision.lane.commit", slow)
    events = [started("a", "c"), pain("a", "c", 1)]
    async with run() as zombie:
        await send(bus, settings, tenant, events)
        await asyncio.wait_for(zombie_waits.wait(), 60)
        # As if the process had stood still for longer than its lease.
        async with engine.begin() as conn:
            await conn.execute(text("UPDATE partition_heads SET lease_until = now() - interval '1 second'"))
        async with run():
            await settled(engine, tenant, events)
            awake.set()
            await until(lambda: _true(bool(faults)))
    assert isinstance(faults[0], Fenced)
    sent = [row for row in await history(engine, tenant) if row["stream_seq"] is not None]
    assert [row["id"] for row in sent] == ["c-start", "c-pain-1"]
    assert zombie.lease.owner
    assert await gapless(engine)


async def _true(value: bool) -> bool:
    return value


async def test_what_cannot_be_read_is_kept_as_refused_and_blocks_nobody(run: Run, engine, bus, settings, tenant):
    subject = event_subject(partition(tenant, "a"), pseudonym(settings.pseudonym_key_bytes, tenant, "a"))
    odd = started("a", "odd") | {"tenant": tenant, "recordedtime": "2026-03-20T10:00:00Z", "type": "milepost.nothing"}
    after = [started("a", "c"), pain("a", "c", 1)]
    async with run():
        await bus.publish(subject, b"not json at all \xff")
        await bus.publish(subject, canonical(odd))
        await send(bus, settings, tenant, after)
        await settled(engine, tenant, [odd, *after])
        notices = await told(engine, bus, tenant)
    outcomes = {row["id"]: (row["status"], row["path"]) for row in await history(engine, tenant)}
    assert outcomes["odd-start"] == ("refused", "type")
    assert outcomes["c-pain-1"][0] == "accepted"
    assert [n["body"]["path"] for n in notices if n["kind"] == "event.refused"] == ["type"]
    assert any(row["status"] == "refused" for row in await history(engine, "-"))
    assert await gapless(engine)


async def test_a_key_that_another_athlete_used_is_a_conflict(run: Run, engine, bus, settings, tenant):
    first = started("a", "c")
    second = started("b", "d") | {"id": first["id"]}
    async with run():
        await send(bus, settings, tenant, [first])
        await settled(engine, tenant, [first])
        await send(bus, settings, tenant, [second, second, last := started("b", "e")])
        await settled(engine, tenant, [last])
        notices = await told(engine, bus, tenant)
    refused = [n for n in notices if n["kind"] == "event.refused"]
    assert [(n["athlete"], n["body"]["path"]) for n in refused] == [("b", "id")]
    assert {row["athlete"] for row in await history(engine, tenant) if row["id"] == first["id"]} == {"a"}
    async with borrowed(engine) as connection:
        assert len(await reads.conflicts(connection, tenant, "urn:test", first["id"])) == 1


@pytest.mark.parametrize("together", [True, False])
async def test_a_course_id_that_another_athlete_has_is_refused_for_good(run: Run, engine, bus, settings, tenant, together):
    mine, theirs = started("a", "c"), started("b", "c") | {"id": "theirs"}
    async with run():
        if together:
            await send(bus, settings, tenant, [mine, theirs])
        else:
            await send(bus, settings, tenant, [mine])
            await settled(engine, tenant, [mine])
            await send(bus, settings, tenant, [theirs])
        await settled(engine, tenant, [theirs])
    async with run():
        # Loaded from history, the refused event is not folded; sent again, it is a duplicate; the course is still the first's.
        await send(bus, settings, tenant, [theirs, late := pain("b", "c", 3), last := pain("a", "c", 4)])
        await settled(engine, tenant, [late, last])
    outcomes = {row["id"]: (row["status"], row["path"]) for row in await history(engine, tenant)}
    assert outcomes["theirs"] == ("refused", "data.course")
    assert outcomes["c-pain-3"][0] == "parked"
    async with borrowed(engine) as connection:
        assert [c.athlete for c in await reads.courses_of(connection, tenant, "a")] == ["a"]
        assert await reads.courses_of(connection, tenant, "b") == []
    assert await gapless(engine)


@pytest.mark.law("no-crossing")
async def test_two_tenants_with_the_same_names_share_nothing(run: Run, engine, bus, settings, tenant):
    other = f"{tenant}-other"
    async with run():
        await send(bus, settings, tenant, mine := [started("a", "c"), pain("a", "c", 1, nrs=0)])
        await send(bus, settings, other, theirs := [started("a", "c", start_step="P3"), pain("a", "c", 1, nrs=6)])
        await settled(engine, tenant, mine)
        await settled(engine, other, theirs)
    own, foreign = await decided(engine, tenant, "c"), await decided(engine, other, "c")
    assert {d["from_step"] for d in own[:2]} == {"P2"}
    assert {d["from_step"] for d in foreign[:2]} == {"P3"}


@pytest.mark.law("two-engines")
@pytest.mark.parametrize("kind", ["fault", "disagreement"])
async def test_where_the_engines_differ_history_says_so_at_once_and_the_course_holds(run: Run, engine, bus, settings, tenant, kind):
    calls = count()

    def twist(question: Question) -> Answer | EngineFault | None:
        if next(calls) != 1:
            return None
        return EngineFault(3, "no answer within 2 s") if kind == "fault" else Answer(question.answer.verdicts, "regress")

    events = [started("a", "c"), pain("a", "c", 1), pain("a", "c", 2)]
    # Nothing but these events asks a question.
    async with run(Agreeing(twist), time_speaks=False):
        await send(bus, settings, tenant, events)
        await settled(engine, tenant, events)
    rows = await history(engine, tenant)
    assert [row["type"] for row in rows][:4] == [
        "milepost.course.started",
        "milepost.symptom.reported",
        "milepost.engine.faulted",
        "milepost.symptom.reported",
    ]
    assert rows[2]["status"] == "accepted" and rows[2]["stream_seq"] is None
    decisions = await decided(engine, tenant, "c")
    assert decisions[2]["action"] == "hold" and decisions[2]["urgency"] != "routine"
    assert await gapless(engine)


@pytest.mark.law("two-engines")
async def test_a_fold_that_fails_costs_its_event_and_nothing_of_its_neighbours(run: Run, engine, bus, settings, tenant, monkeypatch):
    receive = Athlete.receive

    def failing(self: Athlete, event: Any, digest: bytes) -> Any:
        if event.id == "bad-pain-1":
            raise KeyError("a fault of ours")
        return receive(self, event, digest)

    def twist(question: Question) -> Answer | EngineFault | None:
        return EngineFault(3, "no answer within 2 s") if question.rung == 2 else None

    monkeypatch.setattr(Athlete, "receive", failing)
    async with engine.begin() as conn:
        await conn.execute(text("DELETE FROM timers"))
    events = [started("a", "bad"), started("b", "good", start_step="P3"), pain("a", "bad", 1), pain("a", "bad", 2)]
    async with run(Agreeing(twist)):
        await send(bus, settings, tenant, events)
        await settled(engine, tenant, events)
    rows = {row["id"]: row for row in await history(engine, tenant)}
    assert (rows["bad-pain-1"]["status"], rows["bad-pain-2"]["status"]) == ("refused", "accepted")
    assert {row["athlete"] for row in rows.values() if row["type"] == "milepost.engine.faulted"} == {"b"}
    assert [d["seq"] for d in await decided(engine, tenant, "bad")][:2] == [1, 2]
    assert await gapless(engine)


async def test_time_itself_makes_events_once_each(run: Run, engine, bus, settings, tenant):
    events = [started("a", "c")]
    async with run():
        await send(bus, settings, tenant, events)
        await settled(engine, tenant, events)
        async with engine.begin() as conn:
            await conn.execute(
                text(
                    "INSERT INTO timers (tenant, course, kind, athlete, partition, due) VALUES (:t, 'c', 'valid_until', 'a', :p, :due)"
                    " ON CONFLICT (tenant, course, kind) DO UPDATE SET due = excluded.due"
                ),
                {"t": tenant, "p": partition(tenant, "a"), "due": START + timedelta(days=2)},
            )

        async def spent() -> bool:
            async with engine.connect() as conn:
                left = await conn.execute(text("SELECT count(*) FROM timers WHERE tenant = :t AND due <= now()"), {"t": tenant})
                return left.scalar_one() == 0

        await until(spent)
    reached = [row for row in await history(engine, tenant) if row["type"] == "milepost.time.reached"]
    assert reached and all(row["status"] == "accepted" and row["stream_seq"] is None for row in reached)
    async with borrowed(engine) as connection:
        found = await reads.event(connection, tenant, "urn:milepost:decision", reached[0]["id"])
    assert found is not None
    assert parse(orjson.loads(found.body), internal=True).time == found.time
    assert await gapless(engine)


async def test_a_restarted_worker_knows_what_the_former_one_knew(run: Run, engine, bus, settings, tenant):
    first, second = [started("a", "c"), pain("a", "c", 1)], [pain("a", "c", 2)]
    async with run():
        await send(bus, settings, tenant, first)
        await settled(engine, tenant, first)
    async with run(athletes_in_memory=1):
        await send(bus, settings, tenant, second)
        await settled(engine, tenant, second)
    decisions = await decided(engine, tenant, "c")
    assert [d["seq"] for d in decisions] == list(range(1, len(decisions) + 1))
    assert len({d["id"] for d in decisions}) == len(decisions)

"""Erasing an athlete: nothing of theirs can be read anywhere, every proof holds, and what comes later brings nobody back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.arrivals import stamp
from services.decision.audit.again import Difference as Replayed
from services.decision.audit.replay import Asked, Piece, work
from services.decision.audit.verify import Share
from services.decision.audit.whole import verify_database
from services.decision.eraser import opened
from services.decision.erasing import Eraser
from services.decision.forgetting import erasure_event
from services.decision.lifecycle import past
from services.decision.lifecycle.compare import Difference
from services.decision.notary import Notary
from services.decision.store import erase, erasures, exports, reads, replays
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Database, borrowed
from services.decision.store.remains import GONE as GONE_BEFORE, LATE
from shared import db
from shared.bus import DECISIONS, EVENTS, Bus, BusError, event_subject
from shared.placing import partition, pseudonym
from shared.proof import Keyring
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, send, settled, started, until

# One bit of a value, by its type; what is null or empty is filled instead.
FLIPS = {
    "integer": "{c} # 128",
    "bigint": "{c} # 4096",
    "text": "CASE WHEN {c} = '' THEN 'x' ELSE overlay({c} placing chr(ascii({c}) # 1) from 1) END",
    "bytea": "CASE WHEN length({c}) = 0 THEN '\\x00' ELSE set_bit({c}, length({c}) * 4, 1 - get_bit({c}, length({c}) * 4)) END",
    "timestamp with time zone": "{c} + interval '1 microsecond'",
    "uuid": "overlay({c}::text placing (CASE right({c}::text, 1) WHEN '0' THEN '1' ELSE '0' END) from 36)::uuid",
}
FILLS = {"bigint": "7", "text": "'x'"}
TENANT = "clinic"
GONE = "plantedathlete"
NOTE = "planted free words"
TOLD = (
    "INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, created_at)"
    " VALUES ('n1', 1, 'clinic', 'plantedathlete', 'planted-course', 1, 'recommendation.changed', 'planted body', now())",
    "INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, created_at)"
    " VALUES ('of-another', 2, 'clinic', 'stays', 'planted-course', NULL, 'event.refused', '{}', now())",
    "INSERT INTO deliveries (id, tenant, endpoint, notice, state, tries, created_at)"
    " VALUES ('d1', 'clinic', 'e', 'n1', 'delivered', 1, now())",
    "INSERT INTO attempts VALUES ('d1', 1, 'clinic', now(), 12, 200, 'none', '{\"a\": \"b\"}', 'planted sent', 'planted heard')",
    "INSERT INTO acknowledgements VALUES ('clinic', 'n1', 'planted-course', 'k', now())",
    "INSERT INTO answer_links VALUES ('l', 'clinic', 'planted-course', 'd', now())",
    "INSERT INTO event_terms VALUES ('clinic', 'urn:test', 'planted-1', 'plantedathlete', '{no_coach}')",
    "INSERT INTO course_notices VALUES ('clinic', 'planted-course', '{\"planted\": 1}', 1, now(), NULL, NULL, NULL)",
    "INSERT INTO escalations VALUES ('clinic', 'planted-course', 'referral', 'plantedathlete', 'n1', 'planted', 0, now(), now(), NULL)",
    "INSERT INTO shadow_decisions VALUES ('clinic', 'p', 'h', 'planted-course', 1, 'plantedathlete', 'same', now(), now(), 'planted',"
    " NULL)",
    "INSERT INTO backtest_differences VALUES ('clinic', 'r', 1, 'same', 'plantedathlete', 'planted-course', 1, 'planted', NULL, NULL)",
    "INSERT INTO replay_differences VALUES ('r', 1, 'clinic', 'plantedathlete', 'planted-course', 1, 'w', '{}', 'planted', NULL)",
    "INSERT INTO replays VALUES ('r', 'clinic', 'k', '{\"athlete\": \"plantedathlete\"}', 'done', NULL, now(), now(), now(), 1, 1, 0, 0, 0,"
    " 'clinic', 'plantedathlete')",
)


@pytest.fixture(scope="module")
async def rows(settings: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def eraser(settings: Settings) -> AsyncIterator[Eraser]:
    async with AsyncExitStack() as stack:
        yield (await opened(stack, settings))[0]


def history(name: str, course: str) -> list[dict[str, Any]]:
    return [
        started(name, course),
        *(pain(name, course, n, nrs=n % 3) for n in range(1, 6)),
        pain(name, course, 3, nrs=9),
        pain(name, f"{course}-not-begun", 1),
        event(name, f"{name}-bad", "milepost.course.started", 0, started(name, "x")["data"] | {"protocol": NOTE}),
    ]


async def asked(bus: Bus, settings: Settings, name: str) -> None:
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, name)
    said = erasure_event(TENANT, key, {"reason": "ordered", "by": {"id": "k", "role": "admin"}}, stamp(datetime.now(UTC)))
    await bus.publish(event_subject(partition(TENANT, name), key), said)


async def known(engine: AsyncEngine, settings: Settings, name: str) -> erasures.Erasure | None:
    async with borrowed(engine) as connection:
        return await erasures.of(connection, TENANT, pseudonym(settings.pseudonym_key_bytes, TENANT, name))


async def requested(bus: Bus, settings: Settings, engine: AsyncEngine, name: str) -> None:
    """Asked for, and history has it."""
    await asked(bus, settings, name)

    async def stored() -> bool:
        return await known(engine, settings, name) is not None

    await until(stored)


async def erased(bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, name: str) -> None:
    await requested(bus, settings, engine, name)

    async def done() -> bool:
        """One look waits only moments for a relay or a notary that is slow."""
        await eraser.carry_out()
        found = await known(engine, settings, name)
        return found is not None and found.state == "erased"

    await until(done)


async def carried_out_one(eraser: Eraser) -> bool:
    return await eraser.carry_out() == 1


async def naming(rows: Any, words: tuple[str, ...]) -> list[str]:
    """Tables in which a row, as text or as bytes, holds one of these words."""
    tables = await rows.fetch(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname IN ('public', 'keys') ORDER BY 1"
    )
    found = []
    for row in tables:
        for word in words:
            held = await rows.fetchval(
                f"SELECT count(*) FROM {row['name']} AS t WHERE t::text LIKE $1 OR t::text LIKE $2", f"%{word}%", f"%{word.encode().hex()}%"
            )
            found += [f"{row['name']}: {word}"] * bool(held)
    return found


@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(120)
async def test_an_erased_athlete_is_in_no_row_and_every_proof_holds(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    sent = history(GONE, "planted-course")
    async with run(checkpoint_s=0.05):
        await send(bus, settings, TENANT, [*sent, *history("stays", "other")])
        await settled(engine, TENANT, [one for one in sent if one["id"] != sent[6]["id"]])
        for statement in TOLD:
            await rows.execute(statement)
        await Notary(engine, Keyring(settings.secret_key_bytes), range(64), 1, seals=True).sign()
        before = await verify_database(settings, (), 1)
        assert before.faults == [] and before.erased == 0
        assert len(await naming(rows, (GONE, "planted"))) > 20, "the words are there before"
        await erased(bus, settings, engine, eraser, GONE)
        assert await naming(rows, (GONE, "planted")) == ["public.notices: planted"], "of another athlete, whose refused event named it"
        after = await verify_database(settings, (), 1)
        assert after.faults == [] and after.erased >= 20 and after.rows >= before.rows
        async with borrowed(engine) as connection:
            assert len(await reads.courses_of(connection, TENANT, "stays")) == 1
        late = [pain(GONE, "planted-course", 40), pain("stays", "other", 41)]
        await send(bus, settings, TENANT, late)
        await settled(engine, TENANT, late[1:])
        refused = await rows.fetch(
            "SELECT o.status, o.reason, e.athlete FROM events e JOIN event_outcomes o USING (tenant, source, id) WHERE e.source = $1", LATE
        )
        assert [row["status"] for row in refused] == ["refused"]
        assert await naming(rows, (GONE,)) == []
        await until(lambda: carried_out_one(eraser))
        assert (await verify_database(settings, (), 1)).faults == []
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, GONE)
    for stream, subject in ((EVENTS, f"ev.*.{key}"), (DECISIONS, f"dec.*.{key}")):
        info = await bus.api(f"STREAM.INFO.{stream}", {"subjects_filter": subject})
        assert sum((info["state"].get("subjects") or {}).values()) == (1 if stream == EVENTS else 0), "the request alone is left"


@pytest.mark.law("tamper-evident")
@pytest.mark.timeout(120)
async def test_one_flipped_bit_in_what_an_erasure_left_is_named(settings: Settings, rows: Any):
    ring, gone = Keyring(settings.secret_key_bytes), GONE_BEFORE + pseudonym(settings.pseudonym_key_bytes, TENANT, GONE)
    left = {
        "events": f"athlete = '{gone}'",
        "event_outcomes": "source = 'erased'",
        "event_conflicts": f"athlete = '{gone}'",
        "decisions": f"athlete = '{gone}'",
        "seals": "row LIKE 'erased-%'",
    }
    for table, where in left.items():
        kinds = await rows.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) AS kind FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
        for column, kind in kinds:
            at = await rows.fetchval(f"SELECT ctid::text FROM {table} WHERE {where} ORDER BY ctid DESC LIMIT 1")
            empty = await rows.fetchval(f"SELECT {column} IS NULL FROM {table} WHERE ctid = '{at}'")
            change = FILLS[kind] if empty else FLIPS[kind].format(c=column)
            transaction = rows.transaction()
            await transaction.start()
            try:
                await rows.execute(f"UPDATE {table} SET {column} = {change} WHERE ctid = '{at}'")
                assert (await Share(rows, ring, 0, 1).verify()).faults, f"{table}.{column} was changed, and nobody saw it"
            finally:
                await transaction.rollback()
    assert (await Share(rows, ring, 0, 1).verify()).faults == []


async def test_without_the_event_that_asked_for_it_an_erasure_is_named(settings: Settings, rows: Any):
    """Whoever owns the database could else pass off rows that were written anew as erased."""
    transaction = rows.transaction()
    await transaction.start()
    try:
        await rows.execute("UPDATE events SET type = 'milepost.course.ended' WHERE type = 'milepost.athlete.erased'")
        faults = (await Share(rows, Keyring(settings.secret_key_bytes), 0, 1).verify()).faults
        assert any("no event of history asked for it" in fault for fault in faults)
    finally:
        await transaction.rollback()


@pytest.mark.law("same-bytes")
async def test_a_replay_counts_the_erased_and_goes_on(settings: Settings, engine: AsyncEngine):
    async with borrowed(engine) as connection:
        athletes = await replays.athletes(connection, TENANT, None, ("", ""), 100)
    outcome = await asyncio.to_thread(work, Piece(Database.of(settings), tuple(athletes), Asked(), None))
    assert (outcome.erased, outcome.found) == (1, []) and outcome.decisions >= 6


async def test_no_service_may_erase(settings: Settings, engine: AsyncEngine, bus: Bus):
    """Neither on the bus nor in the database: those credentials are the eraser's alone."""
    with pytest.raises(BusError):
        await bus.api(f"STREAM.MSG.DELETE.{EVENTS}", {"seq": 1, "no_erase": False}, timeout=0.5)
    async with borrowed(engine) as connection:
        for table, column in (("keys.athlete_keys", "wrapped"), ("events", "body"), ("keys.erasures", "erased_at")):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"UPDATE {table} SET {column} = NULL")


async def test_a_row_of_the_list_that_history_does_not_ask_for_destroys_nobody(
    settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    """The services may add to the list; whoever gets hold of one of them must not be able to erase."""
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, "stays")
    async with borrowed(engine) as connection:
        forged = erasures.Erasure(TENANT, key, partition(TENANT, "stays"), b"", datetime.now(UTC), None, None, 0)
        await erasures.keep(connection, forged)
    assert await eraser.carry_out() == 0
    assert await rows.fetchval("SELECT wrapped IS NOT NULL FROM keys.athlete_keys WHERE athlete = 'stays'")
    await rows.execute("DELETE FROM keys.erasures WHERE pseudonym = $1", key)


@pytest.mark.timeout(120)
async def test_an_erasure_that_cannot_be_carried_out_holds_up_no_other(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any, monkeypatch: pytest.MonkeyPatch
):
    carried = erase.erase

    async def erased_but(connection: Any, remains: Any, tenant: str, athlete: str, key: str) -> None:
        if athlete == "stuck-first":
            raise OSError("the server went away")
        await carried(connection, remains, tenant, athlete, key)

    monkeypatch.setattr(erase, "erase", erased_but)
    async with run():
        await send(bus, settings, TENANT, sent := [pain(name, f"{name}-course", 1) for name in ("stuck-first", "goes-second")])
        await settled(engine, TENANT, sent)
        await requested(bus, settings, engine, "stuck-first")
        await erased(bus, settings, engine, eraser, "goes-second")
        assert await naming(rows, ("goes-second",)) == [] and await naming(rows, ("stuck-first",)) != []
        monkeypatch.undo()
        await until(lambda: carried_out_one(eraser))
        assert await naming(rows, ("stuck-first",)) == []


@pytest.mark.timeout(120)
async def test_an_athlete_whose_name_begins_as_an_erased_row_does_is_erased_too(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    name = GONE_BEFORE + "by-hand"
    async with run():
        await send(bus, settings, TENANT, sent := [pain(name, "hand-course", 1)])
        await settled(engine, TENANT, sent)
        await erased(bus, settings, engine, eraser, name)
        assert await naming(rows, (name, "hand-course")) == []


@pytest.mark.timeout(120)
async def test_an_event_under_the_name_of_an_erased_row_is_refused_and_stops_nobody(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, rows: Any
):
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, GONE)
    assert await rows.fetchval("SELECT wrapped IS NULL FROM keys.athlete_keys WHERE athlete = $1", GONE_BEFORE + key)
    before = await rows.fetchval("SELECT count(*) FROM events WHERE source = $1", LATE)
    async with run():
        await send(bus, settings, TENANT, [pain(GONE_BEFORE + key, "posing", 1)])

        async def refused() -> bool:
            return int(await rows.fetchval("SELECT count(*) FROM events WHERE source = $1", LATE)) == before + 1

        await until(refused)
    assert (await verify_database(settings, (), 1)).faults == []


@pytest.mark.timeout(120)
async def test_the_record_of_an_erasure_is_not_erased(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    """A pseudonym is told to whoever asks for an erasure; without the record no service would start."""
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, GONE)
    async with run():
        await erased(bus, settings, engine, eraser, key)
    async with borrowed(engine) as connection:
        assert (TENANT, key) in await erasures.in_history(connection)
    assert (await verify_database(settings, (), 1)).faults == []


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(120)
async def test_data_from_between_a_request_and_its_erasure_is_refused_until_it_was_erased_again(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    """A backup that was made then holds the request, and the athlete; keys and list of erasures are newer."""
    name, course = "in-between", "planted-between"
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, name)
    async with run():
        await send(bus, settings, TENANT, sent := [started(name, course), pain(name, course, 1)])
        await settled(engine, TENANT, sent)
        await requested(bus, settings, engine, name)
    await db.verify(engine)
    await rows.execute("UPDATE keys.erasures SET erased_at = now(), scrubbed_at = now() WHERE pseudonym = $1", key)
    await rows.execute(
        "UPDATE keys.athlete_keys SET athlete = $2, wrapped = NULL, erased_at = now() WHERE athlete = $1", name, GONE_BEFORE + key
    )
    with pytest.raises(db.DatabaseRefused, match="older than 1 of the erasures"):
        await db.verify(engine)
    assert await eraser.sweep() == 1
    await db.verify(engine)
    assert await naming(rows, (name, course)) == []
    assert await rows.fetchval("SELECT erased_at IS NOT NULL AND scrubbed_at IS NULL FROM keys.erasures WHERE pseudonym = $1", key)
    assert (await verify_database(settings, (), 1)).faults == []


async def test_whoever_is_erased_once_more_is_not_called_scrubbed(settings: Settings, eraser: Eraser, rows: Any):
    """A restored backup brings rows back to the disk, though they were scrubbed from it."""
    key = pseudonym(settings.pseudonym_key_bytes, TENANT, GONE)
    state = "SELECT scrubbed_at IS NOT NULL FROM keys.erasures WHERE pseudonym = $1"
    await rows.execute("UPDATE keys.erasures SET scrubbed_at = now()")
    assert await eraser.sweep() == 0 and await rows.fetchval(state, key), "nothing was found, and nothing rewritten"
    await rows.execute("INSERT INTO event_terms VALUES ($1, 's', 'again', $2, '{}')", TENANT, GONE)
    assert await eraser.sweep() == 1 and not await rows.fetchval(state, key)


@pytest.mark.timeout(120)
async def test_an_athlete_from_before_there_were_keys_is_erased_whole(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    """Without a key and in the clear, as what was stored before migration 0004 and had no event since."""
    taken = {row["partition"] for row in await rows.fetch("SELECT DISTINCT partition FROM events")}
    name = next(one for n in range(999) if partition(TENANT, one := f"olden-{n}") not in taken)
    place, who = partition(TENANT, name), (TENANT, name)
    async with run():
        await send(bus, settings, TENANT, sent := history(name, "olden-course"))
        await settled(engine, TENANT, [one for one in sent if one["id"] != sent[6]["id"]])

        async def published() -> bool:
            return not await rows.fetchval("SELECT EXISTS (SELECT 1 FROM outbox WHERE tenant = $1 AND athlete = $2)", *who)

        await until(published)
    async with borrowed(engine) as connection:
        envelope = (await envelopes(connection, [who])).of(*who)
    for table in ("events", "decisions"):
        stored = await rows.fetch(f"SELECT ctid::text AS at, body FROM {table} WHERE tenant = $1 AND athlete = $2", *who)
        clear = [(row["at"], envelope.open(row["body"])) for row in stored]
        await rows.executemany(f"UPDATE {table} SET body = $2, commitment = NULL WHERE ctid = $1::text::tid", clear)
    await rows.execute("UPDATE events SET leaf = NULL WHERE partition = $1", place)
    await rows.execute("UPDATE event_outcomes SET commitment = NULL, reason = NULL WHERE partition = $1", place)
    await rows.execute("UPDATE partition_heads SET unproven = seq, conflicts = 0 WHERE partition = $1", place)
    kept = await rows.fetch("SELECT ctid::text AS at, body FROM event_conflicts WHERE partition = $1", place)
    clear = [(row["at"], envelope.open(row["body"])) for row in kept]
    unnumbered = "UPDATE event_conflicts SET body = $2, athlete = NULL, n = NULL, partition = NULL, commitment = NULL"
    await rows.executemany(f"{unnumbered} WHERE ctid = $1::text::tid", clear)
    assert len(clear) == 1
    await rows.execute(import_module("migrations.versions.0018_conflicts").WHOSE)
    for table in ("checkpoints", "tree_blocks", "proven"):
        await rows.execute(f"DELETE FROM {table} WHERE partition = $1", place)
    for table in ("keys.athlete_keys", "timers", "courses"):
        await rows.execute(f"DELETE FROM {table} WHERE tenant = $1 AND athlete = $2", *who)
    assert (await verify_database(settings, (), 1)).faults == []
    async with borrowed(engine) as connection:
        assert await exports.is_known(connection, *who), "there is somebody to be forgotten"
    async with run():
        assert {f"public.{table}: olden-" for table in ("events", "decisions", "event_conflicts")} <= set(await naming(rows, ("olden-",)))
        await erased(bus, settings, engine, eraser, name)
        assert await naming(rows, (name, "olden-")) == []
        left = await rows.fetch("SELECT DISTINCT athlete FROM events WHERE partition = $1", place)
        key = pseudonym(settings.pseudonym_key_bytes, *who)
        assert {row["athlete"] for row in left} == {key, GONE_BEFORE + key}, "what an erasure leaves, and what asked for it"
    assert (await verify_database(settings, (), 1)).faults == []


@pytest.mark.timeout(120)
async def test_what_is_derived_of_an_athlete_lies_under_their_key_and_goes_with_it(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any
):
    """A state of a course, and what drafts, shadows and replays found: read in no row even before, so that no backup holds it."""
    name, course, zone, now = "derived-of", "derived-course", "Antarctica/Troll", datetime.now(UTC)
    body, words = b'{"summary":"derived words"}', "derived words"
    found = [Difference("more_permissive", name, course, 1, body, body, words)]
    again = [replays.Kept(1, TENANT, name, Replayed(course, 1, "decision", ("summary",), body, body))]
    async with run():
        await send(bus, settings, TENANT, sent := [started(name, course, timezone=zone), pain(name, course, 1)])
        await settled(engine, TENANT, sent)
        async with borrowed(engine) as connection:
            await past.begin(connection, TENANT, past.Run("derived", "p", "h", "p", "k", "running", None, now, now, None, 1, 0, {}))
            assert await past.progress(connection, TENANT, "derived", 1, {}, 0, found)
            await past.keep_shadows(connection, TENANT, "p", "derived", [(one, now) for one in found])
            await replays.begin(connection, "derived", TENANT, "k", {"athlete": None})
            before = await replays.read(connection, "derived")
            assert before is not None and await replays.progress(connection, "derived", before, [(TENANT, name)], (1, 0, 1), again, 1)
            assert await naming(rows, (zone, words)) == []
            (kept,) = await past.differences(connection, TENANT, "derived", None, -1, 9)
            assert (kept.before, kept.after, kept.because) == (body, body, words)
            (beside,) = await past.shadow_differences(connection, TENANT, "p", "derived", 9)
            assert (beside.after, beside.because) == (body, words)
            assert await replays.differences(connection, "derived", 0, 9) == again
            (standing,) = await reads.courses_of(connection, TENANT, name)
            assert orjson.loads(standing.state)["timezone"] == zone
        assert len(await naming(rows, (name,))) >= 8, "whose it is stands beside it"
        await erased(bus, settings, engine, eraser, name)
        assert await naming(rows, (name, course, zone, words)) == []


async def test_what_was_decided_again_while_an_athlete_was_erased_is_not_kept(engine: AsyncEngine, rows: Any):
    """A backtest or a shadow that read their past before the erasure writes after it."""
    now = datetime.now(UTC)
    found = [
        Difference("more_permissive", name, course, 1, b"{}", b"{}", "told")
        for name, course in ((GONE, "planted-course"), ("stays", "other"))
    ]
    async with borrowed(engine) as connection:
        await past.begin(connection, TENANT, past.Run("late", "p", "h", "p", "k", "running", None, now, now, None, 2, 0, {}))
        assert await past.progress(connection, TENANT, "late", 2, {}, 0, found)
        await past.keep_shadows(connection, TENANT, "p", "late", [(one, now) for one in found])
    assert await naming(rows, (GONE, "planted-course")) == ["public.notices: planted-course"], "of another athlete"
    assert await rows.fetch("SELECT course FROM backtest_differences WHERE backtest = 'late'") == [("other",)]
    assert await rows.fetch("SELECT course FROM shadow_decisions WHERE hash = 'late'") == [("other",)]

"""Law same-bytes over the stored history itself, and what replays tell when something does differ."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

import httpx
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.decision.app import create_app
from services.decision.audit import replay as replaying
from services.decision.audit.again import Past
from services.decision.audit.replay import Asked, Piece
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.store import Source
from services.decision.rules.library import SHIPPED, load_pack
from services.decision.store import replays
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Database, borrowed
from services.decision.store.replays import Kept, Replay
from shared.auth import create_key
from shared.bus import Bus
from shared.proof import Envelope
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, send, settled, started, until

ATHLETES = [f"athlete-{n}" for n in range(6)]


def life(athlete: str) -> list[dict[str, Any]]:
    course = f"{athlete}-c"
    return [
        started(athlete, course),
        *(pain(athlete, course, n, nrs=n % 3) for n in (1, 2, 4, 5, 6)),
        pain(athlete, course, 3, nrs=9),
        pain(athlete, course, 8),
        event(
            athlete,
            f"{athlete}-fix",
            "milepost.event.corrected",
            9,
            {"corrects": f"{course}-pain-3", "data": {"when": "daily", "pain_nrs": 0}},
        ),
        event(athlete, f"{athlete}-bad", "milepost.course.started", 9, started(athlete, "x")["data"] | {"protocol": "nothing"}),
    ]


class Here(Pool):
    """A pool of one thread, so that a test need not start processes."""

    def __init__(self) -> None:
        super().__init__(1)
        self.pieces = 0

    async def run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        self.pieces += 1
        return await asyncio.to_thread(work, *args, **kwargs)


@pytest.fixture(autouse=True)
async def fed(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings) -> None:
    async with engine.connect() as conn:
        if (await conn.exec_driver_sql("SELECT count(*) FROM events")).scalar_one():
            return
    sent = [one for athlete in ATHLETES for one in life(athlete)]
    async with run():
        await send(bus, settings, "clinic", sent)
        await settled(engine, "clinic", sent)


async def replayed(
    engine: AsyncEngine, settings: Settings, asked: Asked, pack: Source | None = None, tenant: str | None = None
) -> tuple[Replay, list[Kept]]:
    async with borrowed(engine) as connection:
        id = await replaying.start(connection, tenant, "test", asked)
    await replaying.run(engine, Database.of(settings), Here(), id, pack)
    async with borrowed(engine) as connection:
        found = await replays.read(connection, id)
        assert found is not None and found.state == "done"
        return found, await replays.differences(connection, id, 0, 1000)


@pytest.mark.law("same-bytes")
async def test_all_of_history_comes_out_byte_for_byte(engine: AsyncEngine, settings: Settings):
    done, found = await replayed(engine, settings, Asked())
    assert found == []
    async with engine.connect() as conn:
        count = (await conn.exec_driver_sql("SELECT count(*) FROM decisions")).scalar_one()
    assert (done.decisions, done.done, done.differences) == (count, len(ATHLETES), 0)


@pytest.mark.law("same-bytes")
async def test_a_decision_that_was_changed_is_shown_beside_what_it_should_be(engine: AsyncEngine, settings: Settings):
    owner = create_async_engine(settings.owner_database_url)
    where = "course = 'athlete-1-c' AND seq = 3"
    async with borrowed(engine) as connection:
        (row,) = await connection.fetch(f"SELECT tenant, athlete, body FROM decisions WHERE {where}")
        sealed = (await envelopes(connection, [(row["tenant"], row["athlete"])])).of(row["tenant"], row["athlete"])
    before, opened = row["body"], sealed.open(row["body"])
    async with owner.begin() as conn:
        changed = sealed.seal(orjson.dumps(orjson.loads(opened) | {"summary": "go on"}, option=orjson.OPT_SORT_KEYS))
        await conn.exec_driver_sql(f"UPDATE decisions SET body = $1 WHERE {where}", (changed,))
    try:
        _, (one,) = await replayed(engine, settings, Asked(athlete="athlete-1"))
        (shown,) = replaying.shown([one])
        assert (shown["course"], shown["seq"], shown["what"], shown["fields"]) == ("athlete-1-c", 3, "decision", ["summary"])
        assert shown["stored"]["summary"] == "go on" and orjson.dumps(shown["again"], option=orjson.OPT_SORT_KEYS) == opened
        assert (await replayed(engine, settings, Asked(athlete="athlete-2")))[0].differences == 0
    finally:
        async with owner.begin() as conn:
            await conn.exec_driver_sql(f"UPDATE decisions SET body = $1 WHERE {where}", (before,))
        await owner.dispose()


async def test_as_corrected_now_past_decisions_differ_where_a_correction_came_later(engine: AsyncEngine, settings: Settings):
    done, found = await replayed(engine, settings, Asked(athlete="athlete-0", view="corrected"))
    assert done.differences == len(found) > 0
    seqs = {one.difference.seq for one in found}
    async with engine.connect() as conn:
        last = (await conn.exec_driver_sql("SELECT max(seq) FROM decisions WHERE course = 'athlete-0-c'")).scalar_one()
    # Before the late report nothing was wrong; at the end all is known.
    assert 1 not in seqs and last not in seqs
    blamed = next(one for one in replaying.shown(found) if one["what"] == "decision")
    assert blamed["stored"]["reasons"] != blamed["again"]["reasons"]


async def test_under_another_pack_the_differences_show_both_explanations(engine: AsyncEngine, settings: Settings):
    pack = load_pack(SHIPPED / "mil-knee-overuse.yaml")
    other = pack.source.raw.replace(b"title:", b"title: Another ", 1)
    source = Source(other, tuple(floor.raw for floor in pack.floors))
    same, _ = await replayed(engine, settings, Asked(), Source(pack.source.raw, source.floors))
    assert same.differences == 0
    retitled, _ = await replayed(engine, settings, Asked(), source)
    assert retitled.differences == 0, "only what is decided is compared, not the pack's name"


@pytest.mark.law("same-bytes")
async def test_a_replay_that_was_cut_off_goes_on_where_it_was(engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replaying, "AT_ONCE", 1)
    monkeypatch.setattr(replaying, "PIECES", 2)
    pool, rounds = Here(), []
    async with borrowed(engine) as connection:
        id = await replaying.start(connection, "clinic", "test", Asked())

    def stop(replay: Replay) -> None:
        rounds.append(replay.done)
        if len(rounds) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await replaying.run(engine, Database.of(settings), pool, id, None, stop)
    await replaying.run(engine, Database.of(settings), pool, id)
    async with borrowed(engine) as connection:
        done = await replays.read(connection, id)
    assert done is not None and (done.state, done.done, done.athletes) == ("done", len(ATHLETES), len(ATHLETES))
    assert rounds == [2, 4] and pool.pieces == len(ATHLETES)


async def test_histories_come_in_the_order_asked_for_and_lie_open_one_at_a_time(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch):
    opened: list[Envelope] = []
    whole = Envelope.open

    def watched(self: Envelope, stored: bytes) -> bytes:
        opened.append(self)
        return whole(self, stored)

    monkeypatch.setattr(Envelope, "open", watched)
    wanted = [("clinic", athlete) for athlete in ("athlete-4", "athlete-1", "athlete-3")]
    async with borrowed(engine) as connection:
        found = await replays.pasts(connection, wanted)
        rows = await connection.fetch("SELECT athlete, count(*) FROM decisions GROUP BY athlete")
    assert opened == []
    made: dict[str, int] = {row["athlete"]: row["count"] for row in rows}
    for number, (past, key) in enumerate(zip(found, wanted, strict=True), 1):
        assert (past.tenant, past.athlete) == key
        assert {orjson.loads(one.body)["subject"] for one in past.events} == {past.athlete}
        assert [orjson.loads(one.body)["seq"] for one in past.decisions] == list(range(1, made[past.athlete] + 1))
        assert len({id(envelope) for envelope in opened}) == number


@pytest.mark.law("same-bytes")
@pytest.mark.parametrize("abreast, histories, open_at_once", [(8, 6.0, 6), (4, 6.0, 4), (8, 2.5, 2), (8, 0.1, 1)])
async def test_no_more_lies_open_than_is_decided_abreast_and_the_same_is_found(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, abreast: int, histories: float, open_at_once: int
):
    """Of six histories of one length, as many at a time as the rows have room for, and one where they have room for none."""

    class Watched(Past):
        pass

    opened: list[ref[Past]] = []
    most, past_of = 0, replays._past

    def altered(*args: Any) -> Past:
        nonlocal most
        past = past_of(*args)
        past.decisions[2] = past.decisions[2]._replace(body=b"{}")
        watched = Watched(past.tenant, past.athlete, past.events, past.decisions)
        opened.append(ref(watched))
        most = max(most, sum(one() is not None for one in opened))
        return watched

    wanted = tuple(("clinic", athlete) for athlete in ATHLETES)
    async with borrowed(engine) as connection:
        rows = {one.rows for one in await replays.unopened(connection, wanted)}
    monkeypatch.setattr(replays, "_past", altered)
    monkeypatch.setattr(replaying, "ABREAST", abreast)
    monkeypatch.setattr(replaying, "ROWS", int(max(rows) * histories))
    outcome = await replaying._work(Piece(Database.of(settings), wanted, Asked(), None))
    assert (len(opened), most) == (len(ATHLETES), open_at_once)
    found = [(athlete, one.course, one.seq, one.stored) for _, athlete, one in outcome.found]
    assert found == [(athlete, f"{athlete}-c", 3, b"{}") for athlete in ATHLETES]


async def test_an_erased_athlete_is_counted_and_nothing_fails(engine: AsyncEngine, settings: Settings):
    owner = create_async_engine(settings.owner_database_url)
    async with owner.begin() as conn:
        before = (await conn.exec_driver_sql("SELECT wrapped FROM keys.athlete_keys WHERE athlete = 'athlete-3'")).scalar_one()
        await conn.exec_driver_sql("UPDATE keys.athlete_keys SET wrapped = NULL WHERE athlete = 'athlete-3'")
    try:
        done, found = await replayed(engine, settings, Asked())
        assert (found, done.erased, done.done) == ([], 1, len(ATHLETES))
    finally:
        async with owner.begin() as conn:
            await conn.exec_driver_sql("UPDATE keys.athlete_keys SET wrapped = $1 WHERE athlete = 'athlete-3'", (before,))
        await owner.dispose()


@pytest.fixture(scope="module")
async def client(settings: Settings, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with engine.begin() as conn:
        _, key = await create_key(conn, "clinic", "auditor", "test")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://decision", headers={"Authorization": f"Bearer {key}"}) as client:
            yield client


async def test_a_replay_is_asked_for_and_followed_over_http(client: httpx.AsyncClient):
    asked = await client.post("/v1/audit/replays", json={"athlete": "athlete-0", "view": "corrected", "protocol": "mil-knee-overuse"})
    assert asked.status_code == 202, asked.text

    async def ended() -> bool:
        return bool((await client.get(f"/v1/audit/replays/{asked.json()['id']}")).json()["state"] != "running")

    await until(ended, 60)
    page = (await client.get(f"/v1/audit/replays/{asked.json()['id']}?limit=1")).json()
    assert page["state"] == "done" and page["differences"] > 1 and len(page["items"]) == 1
    following = (await client.get(f"/v1/audit/replays/{asked.json()['id']}?limit=1&cursor={page['next']}")).json()
    assert following["items"][0]["n"] == 2
    assert (await client.post("/v1/audit/replays", json={"since": "yesterday"})).status_code == 422
    assert (await client.post("/v1/audit/replays", json={"protocol": "nothing"})).status_code == 404
    assert (await client.get("/v1/audit/replays/none")).status_code == 404

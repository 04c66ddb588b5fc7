"""Erasures over HTTP: behind events that history has not yet, told alike on every route, and not undone by who writes late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from time import time
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.audit import replay as replaying
from services.decision.audit.again import Difference
from services.decision.audit.check import check
from services.decision.audit.replay import Asked, Piece
from services.decision.eraser import opened
from services.decision.erasing import Eraser
from services.decision.store import erase, erasures, keys, replays
from services.decision.store.connection import Database, borrowed
from services.decision.store.remains import GONE, Remains
from services.decision.store.replays import Kept
from shared.answer_links import AnswerLink, signed
from shared.auth import create_key
from shared.bus import EVENTS, Bus, BusUnavailable
from shared.placing import partition, pseudonym
from shared.proof import Keyring
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, send, settled, started, until

TENANT, THEIRS = "forgetting", "others"
ORDERED = {"reason": "ordered"}


@pytest.fixture(scope="module")
async def rows(settings: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.fixture
async def eraser(settings: Settings) -> AsyncIterator[Eraser]:
    async with AsyncExitStack() as stack:
        yield (await opened(stack, settings))[0]


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


class People:
    """Clients by the role of their key; `stranger` administers another tenant."""

    def __init__(self, client: httpx.AsyncClient, keys: dict[str, str], ids: dict[str, str]) -> None:
        self._client = client
        self._keys = keys
        self.ids = ids

    async def ask(self, method: str, path: str, who: str = "clinician", json: Any = None) -> httpx.Response:
        headers = {} if who == "nobody" else {"Authorization": f"Bearer {self._keys[who]}"}
        return await self._client.request(method, path, json=json, headers=headers)

    async def erasure(self, athlete: str, who: str = "admin") -> httpx.Response:
        return await self.ask("POST", f"/v1/athletes/{athlete}/erasure", who, ORDERED)

    async def state(self, athlete: str) -> httpx.Response:
        return await self.ask("GET", f"/v1/athletes/{athlete}/erasure", "admin")


@pytest.fixture(scope="module")
async def people(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[People]:
    keys, ids = {}, {}
    async with engine.begin() as conn:
        for name, tenant, role in (
            *((role, TENANT, role) for role in ("admin", "clinician", "auditor", "coach")),
            ("stranger", THEIRS, "admin"),
        ):
            record, keys[name] = await create_key(conn, tenant, role, name)
            ids[name] = record.id
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://decision") as client:
        yield People(client, keys, ids)


async def erased(connection: Any, settings: Settings, tenant: str, athlete: str) -> None:
    """As the eraser does it, in one transaction."""
    name = pseudonym(settings.pseudonym_key_bytes, tenant, athlete)
    await erase.erase(connection, Remains(Keyring(settings.secret_key_bytes).remains), tenant, athlete, name)


async def carried_out(eraser: Eraser, people: People, athlete: str) -> None:
    async def done() -> bool:
        await eraser.carry_out()
        return bool((await people.state(athlete)).json()["state"] == "erased")

    await until(done)


async def naming(rows: Any, word: str) -> list[str]:
    """Tables in which a row, as text or as bytes, holds the word."""
    tables = await rows.fetch("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'keys')")
    like = (f"%{word}%", f"%{word.encode().hex()}%")
    held = "SELECT EXISTS (SELECT 1 FROM {} AS t WHERE t::text LIKE $1 OR t::text LIKE $2)"
    return [name for (name,) in tables if await rows.fetchval(held.format(name), *like)]


@pytest.mark.timeout(120)
async def test_an_erasure_right_behind_the_first_event_takes_effect_behind_it(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any, people: People
):
    mistaken = [started("by-mistake", "mistaken-course"), pain("by-mistake", "mistaken-course", 1)]
    # Another content of an event that history has of somebody else: nothing but that is kept of this athlete.
    second = started("keeper", "kept-course")
    await send(bus, settings, TENANT, [*mistaken, second])
    for athlete, who in (("never-sent", "admin"), ("by-mistake", "stranger")):
        unknown = await people.erasure(athlete, who)
        assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:milepost:problem:not-found")
    assert (await people.state("never-sent")).status_code == 404
    assert (await people.state("by-mistake")).json() == {"state": "not_requested"}, "the bus knows the athlete, history does not yet"
    asked = await people.erasure("by-mistake")
    assert (asked.status_code, asked.json()["state"]) == (202, "requested")
    assert (await people.state("by-mistake")).json() == asked.json(), "told from the bus"

    async def in_history() -> bool:
        found: bool = await rows.fetchval("SELECT EXISTS (SELECT 1 FROM keys.erasures WHERE tenant = $1)", TENANT)
        return found

    async with run():
        await until(in_history)
        assert await naming(rows, "mistaken-course") != []
        await carried_out(eraser, people, "by-mistake")
        assert await naming(rows, "by-mistake") == [] and await naming(rows, "mistaken-course") == []
        assert (await people.state("by-mistake")).json()["state"] == "erased"
        conflicting = pain("conflicting", "kept-course", 1) | {"id": second["id"]}
        await send(bus, settings, TENANT, [conflicting, last := pain("keeper", "kept-course", 2)])
        await settled(engine, TENANT, [last])
        assert (await people.erasure("conflicting")).status_code == 202, "an athlete of whom only a conflict is kept"


async def test_without_the_bus_nobody_is_told_that_an_athlete_is_unknown(app: FastAPI, people: People, monkeypatch: pytest.MonkeyPatch):
    async def silent(stream: str, subject: str) -> None:
        raise BusUnavailable("not connected")

    monkeypatch.setattr(app.state.bus, "last_of", silent)
    answer = await people.erasure("never-sent")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_an_erasure_that_names_a_pseudonym_is_of_nobody_and_leaves_the_record(settings: Settings, people: People, bus: Bus):
    """A pseudonym is told to whoever asks for an erasure; its name stands for the record of it."""
    name = pseudonym(settings.pseudonym_key_bytes, TENANT, "by-mistake")
    last = await bus.last_seq(EVENTS)
    for posing in (name, GONE + name):
        assert (await people.erasure(posing)).status_code == 404
        assert (await people.state(posing)).status_code == 404
        assert (await people.ask("GET", f"/v1/athletes/{posing}/export")).status_code == 404
    assert await bus.last_seq(EVENTS) == last, "nothing was asked of the bus"
    assert (await people.state("by-mistake")).json()["pseudonym"] == name


@pytest.mark.timeout(120)
async def test_from_the_request_on_every_route_of_the_athlete_answers_410_and_no_listing_shows_them(
    run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, eraser: Eraser, rows: Any, people: People, app: FastAPI
):
    sent = [started(name, f"{name}-course", start_step="P3") for name in ("leaver", "stayer")]
    sent += [pain(name, f"{name}-course", n, nrs=n) for name in ("leaver", "stayer") for n in (1, 8)]
    # Time itself would decide between two reads: what is in force is no more, and a list that is paged through has another order.
    async with run(time_speaks=False):
        await send(bus, settings, TENANT, sent)
        await settled(engine, TENANT, sent)
        link = (await people.ask("GET", "/v1/courses/leaver-course/recommendation")).json()["id"]
        said = await people.ask("POST", "/v1/courses/leaver-course/answers", json={"decision": link, "answer": "declined"})
        assert said.status_code == 202, said.text

        async def counted() -> bool:
            return bool((await people.ask("GET", "/v1/overrides")).json()["answers"] == 1)

        await until(counted)
        dossier = (await people.ask("GET", "/v1/courses/leaver-course/dossier")).json()
        shown = (await people.ask("GET", "/v1/recommendations?limit=1")).json()
        assert {one["subject"] for one in (await people.ask("GET", "/v1/recommendations")).json()["items"]} >= {"leaver", "stayer"}
        assert (await people.erasure("leaver")).status_code == 202
        await until(lambda: known(rows, settings, "leaver"))
        # Not carried out yet: everything of theirs is still there.
        assert "public.decisions" in await naming(rows, "leaver")
        paths = athletes_paths(app)
        assert len(paths) >= 13
        for method, path in paths:
            who = "auditor" if path.startswith("/v1/audit/") else "clinician"
            answer = await people.ask(method, path, who, BODIES.get(path.rpartition("/")[2]))
            assert (answer.status_code, answer.json().get("type")) == (410, "urn:milepost:problem:erased"), f"{method} {path}"
            for moment in ("as_at=2027-01-01T00:00:00Z", "view=corrected"):
                if method == "GET" and not path.endswith(("/export", "/dossier")) and "/audit/" not in path:
                    assert (await people.ask(method, f"{path}?{moment}", who)).status_code == 410, f"{path}?{moment}"
        token = AnswerLink(TENANT, "leaver-course", link, people.ids["clinician"], "msg_1", int(time()) + 600)
        assert (await people.ask("GET", f"/answers/{signed(token, settings.secret_key_bytes)}", "nobody")).status_code == 410
        replay = await people.ask("POST", "/v1/audit/replays", "auditor", {"athlete": "leaver"})
        assert replay.status_code == 410
        listed = [one["subject"] for one in (await people.ask("GET", "/v1/recommendations")).json()["items"]]
        paged = await pages(people, "/v1/recommendations?limit=1")
        assert listed == [one["subject"] for one in paged] and "leaver" not in listed and "stayer" in listed and shown["next"]
        assert (await people.ask("GET", "/v1/overrides")).json()["answers"] == 0
        assert (await people.state("leaver")).json()["state"] == "requested"
        await carried_out(eraser, people, "leaver")
        for path in ("courses", "recommendation", "export"):
            assert (await people.ask("GET", f"/v1/athletes/leaver/{path}")).status_code == 410
        for path in ("/v1/courses/leaver-course", "/v1/courses/leaver-course/dossier", "/v1/events/urn:test/leaver-course-start"):
            assert (await people.ask("GET", path)).status_code == 404, "their names are gone"
        assert check(dossier, dossier["key"]).faults == [], "one handed out before proves what it did"
        pseudonymous = (await people.state("leaver")).json()["pseudonym"]
        proof = await people.ask("GET", f"/v1/audit/events/urn%3Amilepost%3Aerasures/erasure-{pseudonymous}", "auditor")
        assert proof.status_code == 200 and "ordered" in proof.text
        for (left,) in await rows.fetch("SELECT id FROM events WHERE athlete = $1", GONE + pseudonymous):
            assert (await people.ask("GET", f"/v1/audit/events/erased/{left}", "auditor")).status_code == 200
        assert (await people.ask("POST", "/v1/audit/replays", "auditor", {"athlete": "leaver"})).status_code == 410
        assert (await people.ask("POST", "/v1/audit/replays", "auditor", {"athlete": "never-sent"})).status_code == 404
        assert await naming(rows, "leaver") == []


BODIES = {
    "answers": {"decision": "00000000-0000-0000-0000-000000000000", "answer": "accepted"},
    "migration": {"protocol": "progressive-return", "step": "W1", "reason": "moved"},
}


def athletes_paths(app: FastAPI) -> list[tuple[str, str]]:
    """Every operation of the OpenAPI document about one athlete, but for the erasure itself."""
    names = {"course": "leaver-course", "athlete": "leaver", "source": "urn:test", "id": "leaver-course-start", "seq": "1"}
    found = []
    for path, operations in app.openapi()["paths"].items():
        if any(part in path for part in ("{course}", "{athlete}", "{source")) and not path.endswith("/erasure"):
            found += [(method.upper(), path.replace(":path", "").format(**names)) for method in operations]
    return found


async def erased_at_once(rows: Any, settings: Settings, athlete: str) -> None:
    """Asked for and carried out, whole."""
    name, now = pseudonym(settings.pseudonym_key_bytes, TENANT, athlete), datetime.now(UTC)
    await erasures.keep(rows, erasures.Erasure(TENANT, name, partition(TENANT, athlete), b"{}", now, None, None, 0))
    await erased(rows, settings, TENANT, athlete)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("between", ["the looks of the route", "a row and its key"])
async def test_a_route_between_two_reads_of_which_the_athlete_was_erased_answers_410(
    between: str,
    run: Run,
    bus: Bus,
    settings: Settings,
    engine: AsyncEngine,
    rows: Any,
    people: People,
    app: FastAPI,
    monkeypatch: pytest.MonkeyPatch,
):
    paths = athletes_paths(app)
    module, read = (erasures, "of") if between.startswith("the looks") else (keys, "wrapped")
    names = [f"caught-{read}-{n}" for n in range(len(paths) + 1)]
    sent = [one for name in names for one in (started(name, f"{name}-course", start_step="P3"), pain(name, f"{name}-course", 1))]
    async with run():
        await send(bus, settings, TENANT, sent)
        await settled(engine, TENANT, sent)
    look, waiting = getattr(module, read), [""]

    async def erased_meanwhile(*given: Any) -> Any:
        """The first look sees the athlete as they were; when it has, they are gone."""
        name, waiting[0] = waiting[0], ""
        if name and read == "wrapped":
            await erased_at_once(rows, settings, name)
        found = await look(*given)
        if name and read == "of":
            await erased_at_once(rows, settings, name)
        return found

    monkeypatch.setattr(module, read, erased_meanwhile)
    for name, (method, path) in zip(names, paths, strict=False):
        path = path.replace("leaver", name)
        who, body = "auditor" if path.startswith("/v1/audit/") else "clinician", BODIES.get(path.rpartition("/")[2])
        waiting[0] = ""
        before = await people.ask(method, path, who, body) if method == "GET" else None
        waiting[0] = name
        answer = await people.ask(method, path, who, body)
        assert waiting == [""], f"{path} never looked"
        # What is read in one snapshot is whole; anything else is refused.
        whole = before is not None and answer.status_code == 200 and (answer.content == before.content or path.endswith("/export"))
        # What is put on the bus is refused behind the request, and cleared again, as all that comes late.
        assert answer.status_code == 410 or whole or (method, answer.status_code) == ("POST", 202), f"{method} {path}: {answer.text}"
    waiting[0] = names[-1]
    assert (await people.ask("GET", "/v1/recommendations?limit=200")).status_code == 200, "a list leaves them out, or had them whole"
    assert await naming(rows, names[-1]) == [] or waiting[0]


async def test_a_stored_body_that_is_damaged_stays_a_fault(
    app: FastAPI, people: People, rows: Any, run: Run, bus: Bus, settings: Settings, engine: AsyncEngine
):
    """It is not called erased: nobody asked for that."""
    async with run():
        await send(bus, settings, TENANT, sent := [started("damaged", "damaged-course")])
        await settled(engine, TENANT, sent)
    transaction = "UPDATE decisions SET body = set_bit(body, 200, 1 - get_bit(body, 200)) WHERE course = 'damaged-course'"
    await rows.execute(transaction)
    try:
        for path in ("/v1/courses/damaged-course", "/v1/athletes/damaged/recommendation"):
            answer = await people.ask("GET", path)
            assert (answer.status_code, answer.json()["type"]) == (500, "urn:milepost:problem:internal-fault")
    finally:
        await rows.execute(transaction)


async def pages(people: People, path: str) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        page = (await people.ask("GET", path + cursor)).json()
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def known(rows: Any, settings: Settings, athlete: str) -> bool:
    name = pseudonym(settings.pseudonym_key_bytes, TENANT, athlete)
    return bool(await rows.fetchval("SELECT EXISTS (SELECT 1 FROM keys.erasures WHERE tenant = $1 AND pseudonym = $2)", TENANT, name))


@pytest.fixture
async def fed(run: Run, bus: Bus, settings: Settings, engine: AsyncEngine, rows: Any) -> None:
    """Athletes with a history, for those who erase them while it is read."""
    if await rows.fetchval("SELECT EXISTS (SELECT 1 FROM keys.athlete_keys WHERE athlete = 'raced-1')"):
        return
    own = [one for name in ("raced-1", "raced-2", "seen-1", "seen-2", "namesake") for one in life(name)]
    async with run():
        await send(bus, settings, TENANT, own)
        await send(bus, settings, THEIRS, life("namesake"))
        await settled(engine, TENANT, own)
        await settled(engine, THEIRS, life("namesake"))


def life(athlete: str) -> list[dict[str, Any]]:
    bad = event(athlete, f"{athlete}-bad", "milepost.course.started", 9, started(athlete, "x")["data"] | {"protocol": "none"})
    return [started(athlete, f"{athlete}-course"), pain(athlete, f"{athlete}-course", 1), bad]


@pytest.mark.timeout(120)
async def test_a_round_of_a_replay_that_ends_while_its_athlete_is_erased_keeps_nothing_of_them(
    fed: None, settings: Settings, engine: AsyncEngine, rows: Any
):
    passed = [(TENANT, "raced-1"), (TENANT, "raced-2")]
    found = [Kept(n, *one, Difference(f"{one[1]}-course", 1, "decision", ("summary",), b"{}", b"{}")) for n, one in enumerate(passed, 1)]
    async with borrowed(engine) as connection, borrowed(engine) as other:
        id = await replaying.start(connection, TENANT, "test", Asked())
        before = await replays.read(connection, id)
        assert before is not None
        transaction = rows.transaction()
        await transaction.start()
        try:
            await erased(rows, settings, TENANT, "raced-2")
            # Everything of theirs is removed, and COMMIT is still to come.
            keeping = asyncio.create_task(replays.progress(connection, id, before, passed, (2, 0, 4), found, 2))

            async def waits_or_is_done() -> bool:
                waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'advisory')"
                return keeping.done() or bool(await other.fetchval(waits))

            await until(waits_or_is_done)
        finally:
            await transaction.commit()
        assert await keeping
        after = await replays.read(other, id)
        assert after is not None and (after.done, after.after_athlete) == (2, "raced-1")
        assert [one.athlete for one in await replays.differences(other, id, 0, 9)] == ["raced-1"]
    assert await naming(rows, "raced-2") == []


@pytest.mark.law("same-bytes")
@pytest.mark.timeout(120)
async def test_an_athlete_who_is_erased_while_a_replay_reads_is_read_whole_and_one_listed_before_counts_as_erased(
    fed: None, app: FastAPI, settings: Settings, rows: Any, monkeypatch: pytest.MonkeyPatch
):
    looked = replays.erased

    async def erased_meanwhile(connection: Any, wanted: Any) -> Any:
        found = await looked(connection, wanted)
        await erased(rows, settings, TENANT, "seen-1")
        return found

    made = dict(await rows.fetch("SELECT athlete, count(*) FROM decisions WHERE athlete LIKE 'seen-%' GROUP BY athlete"))
    monkeypatch.setattr(replaying, "_published", lambda: app.state.packs)
    monkeypatch.setattr(replays, "erased", erased_meanwhile)
    piece = Piece(Database.of(settings), ((TENANT, "seen-1"), (TENANT, "seen-2")), Asked(), None)
    outcome = await replaying._work(piece)
    assert (outcome.erased, outcome.decisions, outcome.found) == (0, sum(made.values()), [])
    monkeypatch.setattr(replays, "erased", looked)
    outcome = await replaying._work(piece)
    assert (outcome.erased, outcome.decisions, outcome.found) == (1, made["seen-2"], [])


@pytest.mark.law("no-crossing")
@pytest.mark.timeout(120)
async def test_a_replay_over_all_tenants_keeps_the_name_until_the_last_of_that_name_is_erased(
    fed: None, settings: Settings, engine: AsyncEngine, rows: Any
):
    async with borrowed(engine) as connection:
        of = {tenant: await replaying.start(connection, tenant, "test", Asked(athlete="namesake")) for tenant in (None, TENANT, THEIRS)}

        async def stands(tenant: str | None) -> tuple[str | None, str]:
            found = await replays.read(connection, of[tenant])
            assert found is not None
            return found.asked["athlete"], found.state

        await erased(rows, settings, TENANT, "namesake")
        assert await stands(TENANT) == ("erased", "failed"), "nothing is left that it could look at"
        assert await stands(THEIRS) == await stands(None) == ("namesake", "running")
        with pytest.raises(replays.NoSuchAthlete):
            await replaying.start(connection, TENANT, "test", Asked(athlete="namesake"))
        await erased(rows, settings, THEIRS, "namesake")
        assert await stands(THEIRS) == await stands(None) == ("erased", "failed")
        with pytest.raises(replays.NoSuchAthlete):
            await replaying.start(connection, None, "test", Asked(athlete="namesake"))
    assert await naming(rows, "namesake") == []

"""Law nothing-lost while a server's settings change under running services: nothing is confirmed or written until they are mended."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app as decision_app
from services.decision.engines.reference import ReferenceEngine
from services.decision.eraser import at_work, opened
from services.decision.rules.library import PackLibrary
from services.decision.store import trees
from services.decision.store.connection import borrowed
from services.decision.store.sealed import SEALED
from services.decision.worker import Worker
from services.embedded import EmbeddedServers
from services.ingest.app import create_app as ingest_app
from services.notify.app import create_app as notify_app
from shared import auth, db
from shared.bus import EVENTS, Bus, BusRefused
from shared.durability import ContractBroken, Durability
from shared.placing import PARTITIONS
from shared.settings import Settings, SettingsFault
from shared.telemetry import NotReady
from tests.integration.decision.feeding import Agreeing, pain, send, settled, started, until

NUMBER = count(1)
Change = Callable[["Site"], Awaitable[Callable[[], Awaitable[None]]]]


@dataclass
class Site:
    """Every service at work in this process, and the servers below, whose settings a test may change."""

    servers: EmbeddedServers
    settings: Settings
    owner: AsyncEngine
    engine: AsyncEngine
    bus: Bus
    owning_bus: Bus
    clients: dict[str, httpx.AsyncClient]
    monitor: "Monitor"
    worker: Durability
    eraser: Durability
    taken: list[str] = field(default_factory=list)

    async def refusals(self) -> list[str]:
        """What each service that is not ready says of its servers."""
        answers = [await client.get("/readyz") for client in self.clients.values()]
        checks = [answer.json()["checks"] for answer in answers if answer.status_code == 503]
        return [checked[name] for checked in checks for name in ("bus", "database") if checked[name] != "ok"]

    async def ready(self) -> bool:
        return all([(await client.get("/readyz")).status_code == 200 for client in self.clients.values()])

    async def post(self) -> httpx.Response:
        event = pain("a", "guarded", next(NUMBER))
        answer = await self.clients["ingest"].post("/v1/events", json=event)
        self.taken += [event["id"]] if answer.status_code == 202 else []
        return answer

    async def rests(self) -> bool:
        """Whether all that was confirmed is in history, relayed and signed."""
        async with borrowed(self.engine) as connection:
            waiting = await connection.fetchval("SELECT count(*) FROM outbox")
            known = await connection.fetchval("SELECT count(*) FROM events WHERE id = ANY ($1)", self.taken)
            unsigned = await trees.grown(connection, range(PARTITIONS), [one.table for one in SEALED])
        return not waiting and known == len(self.taken) and not unsigned

    async def written(self) -> list[int]:
        """How much history, the bus and the endpoints hold."""
        tables = ("events", "decisions", "checkpoints", "endpoints", "outbox")
        async with borrowed(self.engine) as connection:
            rows = [int(await connection.fetchval(f"SELECT count(*) FROM {table}")) for table in tables]
        return [*rows, await self.bus.last_seq("DECISIONS")]

    async def quiet(self) -> list[int]:
        """As `written`, once what was under way when the breach was noticed has ended."""
        found = await self.written()
        while (await asyncio.sleep(0.1, found)) != (found := await self.written()):
            pass
        return found


class Monitor:
    """The server's monitor with one answer twisted."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.sync_always = True

    async def jsz(self, request: web.Request) -> web.Response:
        async with httpx.AsyncClient() as client:
            found = (await client.get(f"{self._upstream}/jsz")).json()
        found["config"]["sync_always"] = self.sync_always and not request.path.startswith("/lazy")
        return web.json_response(found)


@pytest.fixture(scope="module")
async def site(
    servers: EmbeddedServers, settings: Settings, owner: AsyncEngine, engine: AsyncEngine, bus: Bus, owning_bus: Bus
) -> AsyncIterator[Site]:
    monitor = Monitor(settings.nats_monitor_url)
    app = web.Application()
    app.router.add_get("/jsz", monitor.jsz)
    app.router.add_get("/lazy/jsz", monitor.jsz)
    async with AsyncExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("shared.durability.EVERY_S", 0.3)
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("services.decision.erasing.LOOK_EVERY_S", 0.05)
        watched = TestServer(app, host="127.0.0.1")
        await watched.start_server()
        stack.push_async_callback(watched.close)
        changes = {"lease_s": 1.0, "checkpoint_s": 0.2, "start_wait_s": 120}
        own = settings.model_copy(update={"nats_monitor_url": f"http://127.0.0.1:{watched.port}", **changes})
        async with engine.begin() as conn:
            key = (await auth.create_key(conn, "guarded", "integrator", "test"))[1]
        clients = {}
        for name, create in (("ingest", ingest_app), ("decision", decision_app), ("notify", notify_app)):
            running = create(own)
            await stack.enter_async_context(running.router.lifespan_context(running))
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(running), base_url=f"http://{name}", headers={"Authorization": f"Bearer {key}"}
            )
            clients[name] = await stack.enter_async_context(client)
        worker = await stack.enter_async_context(working(own))
        _, eraser = await stack.enter_async_context(at_work(own))
        site = Site(servers, own, owner, engine, bus, owning_bus, clients, monitor, worker, eraser)
        await until(site.ready)
        await send(bus, own, "guarded", first := [started("a", "guarded")])
        await settled(engine, "guarded", first)
        yield site


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Durability]:
    """A worker of all partitions, as its process runs it."""
    engine, bus = db.engine(settings, pool_size=5), await Bus.connect(settings)
    durability = Durability(engine, bus)
    async with durability.held():
        worker = Worker(settings, engine, bus, PackLibrary(ReferenceEngine()), Agreeing())
        task = asyncio.create_task(durability.while_kept(worker.run))
        yield durability
        task.cancel()
        await asyncio.wait([task])
    await bus.close()
    await engine.dispose()


def setting(name: str, value: str) -> Change:
    async def change(site: Site) -> Callable[[], Awaitable[None]]:
        async def shown() -> str:
            admin = await site.servers.postgres._connect("milepost")
            found = str(await admin.fetchval("SELECT current_setting($1)", name))
            await admin.close()
            return found

        async def altered(words: str, wanted: str) -> None:
            admin = await site.servers.postgres._connect("milepost")
            await admin.execute(f"ALTER SYSTEM {words}")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()

            async def told() -> bool:
                """A server that forks a process with the new value has told all the others of it before."""
                return await shown() == wanted

            await until(told)

        before = await shown()
        await altered(f"SET {name} = {value}", value)
        return lambda: altered(f"RESET {name}", before)

    return change


async def revision(site: Site) -> Callable[[], Awaitable[None]]:
    async def put(number: str) -> None:
        async with site.owner.begin() as conn:
            await conn.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})

    await put("elsewhere")
    return lambda: put(db.newest_revision())


async def stream(site: Site) -> Callable[[], Awaitable[None]]:
    declared = (await site.owning_bus.api(f"STREAM.INFO.{EVENTS}"))["config"]

    async def put(configuration: dict[str, Any]) -> None:
        await site.owning_bus.api(f"STREAM.UPDATE.{EVENTS}", configuration)

    await put(declared | {"max_age": 3_600_000_000_000})
    return lambda: put(declared)


async def syncing(site: Site) -> Callable[[], Awaitable[None]]:
    async def put(always: bool) -> None:
        site.monitor.sync_always = always

    await put(False)
    return lambda: put(True)


def oldest(name: str, newer: Any) -> Change:
    """The server's version cannot change under a running service without its restart; what is asked of it can."""

    async def change(site: Site) -> Callable[[], Awaitable[None]]:
        patched = pytest.MonkeyPatch()
        patched.setattr(name, newer)

        async def undo() -> None:
            patched.undo()

        return undo

    return change


CHANGES = {
    "fsync": (setting("fsync", "off"), "fsync off"),
    "full_page_writes": (setting("full_page_writes", "off"), "full_page_writes off"),
    "synchronous_commit": (setting("synchronous_commit", "local"), "synchronous_commit = local"),
    "database version": (oldest("shared.db.OLDEST_SERVER", 990_000), "is too old"),
    "schema revision": (revision, "revision elsewhere"),
    "stream": (stream, "stream EVENTS: max_age"),
    "sync_always": (syncing, "sync_interval: always"),
    "bus version": (oldest("shared.bus.bus.OLDEST_SERVER", (99, 0, 0)), "is too old"),
}


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("name", CHANGES)
async def test_a_setting_changed_under_running_services_stops_every_confirmation_until_it_is_mended(site: Site, name: str):
    change, words = CHANGES[name]
    # A commit that is under way when the breach is noticed may take as long as the disk does.
    await until(site.rests)
    mend = await change(site)
    try:

        async def all_refuse() -> bool:
            alone = site.worker.is_broken and site.eraser.is_broken
            return alone and len(found := await site.refusals()) == 3 and all(words in reason for reason in found)

        await until(all_refuse)
        refused = await site.post()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert "could lose what they confirm" in refused.json()["detail"]
        before = await site.quiet()
        # As if it had been confirmed before the breach: it waits on the bus.
        waiting = [pain("a", "guarded", next(NUMBER))]
        await send(site.bus, site.settings, "guarded", waiting)
        endpoint = await site.clients["notify"].post("/v1/endpoints", json={"url": "https://hooks.example.org/in"})
        assert endpoint.status_code == (503 if words_of_database(name) else 201)
        await asyncio.sleep(0.5)  # Longer than a worker would need: what must not happen has no condition to wait for.
        after = await site.written()
        assert after == before if words_of_database(name) else after[:3] == before[:3]
    finally:
        await mend()
    await until(site.ready)
    taken = await site.post()
    assert taken.status_code == 202, taken.text
    await settled(site.engine, "guarded", waiting)
    assert json.loads(taken.content)["accepted"] == 1


def words_of_database(name: str) -> bool:
    return CHANGES[name][0] not in (stream, syncing) and name != "bus version"


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("name", ["sync_always", "synchronous_commit"])
async def test_nobody_is_erased_on_servers_that_may_forget_it(site: Site, name: str):
    mend = await CHANGES[name][0](site)
    said = "SELECT erased_at FROM keys.erasures WHERE pseudonym = :who"

    async def carried_out() -> bool:
        async with site.owner.connect() as conn:
            return (await conn.execute(text(said), {"who": name})).scalar_one() is not None

    try:

        async def broken() -> bool:
            return site.eraser.is_broken

        await until(broken)
        async with site.owner.begin() as conn:
            await conn.execute(
                text(
                    "INSERT INTO events (partition, seq, tenant, athlete, source, id, type, time, recorded_at, digest, body)"
                    " VALUES (0, :seq, 'guarded', :who, 'urn:milepost:erasures', :id, 'milepost.athlete.erased', now(), now(), '', '{}')"
                ),
                {"seq": 1_000_000 + len(name), "who": name, "id": f"erasure-{name}"},
            )
            await conn.execute(
                text(
                    "INSERT INTO keys.erasures (tenant, pseudonym, partition, event, requested_at) VALUES ('guarded', :who, 0, '', now())"
                ),
                {"who": name},
            )
        await asyncio.sleep(0.5)  # Ten looks of the eraser: what must not happen has no condition to wait for.
        assert not await carried_out()
    finally:
        await mend()
    await until(carried_out)


async def test_the_eraser_starts_neither_on_a_lazy_server_nor_with_a_role_that_may_do_more(site: Site):
    own = site.settings
    refused = {
        "sync_interval: always": own.model_copy(update={"nats_monitor_url": f"{own.nats_monitor_url}/lazy"}),
        "may do more than erase": own.model_copy(update={"eraser_database_url": own.owner_database_url}),
        "MILEPOST_NATS_MONITOR_URL": own.model_copy(update={"nats_monitor_url": ""}),
    }
    services = own.model_copy(update={"eraser_database_url": own.database_url})
    for words, settings in [*refused.items(), ("may do more than erase", services)]:
        async with AsyncExitStack() as stack:
            with pytest.raises((db.DatabaseRefused, BusRefused, SettingsFault), match=words):
                await opened(stack, settings)


@pytest.mark.law("nothing-lost")
async def test_a_look_that_began_before_a_breach_was_found_does_not_take_it_back(engine: AsyncEngine, bus: Bus):
    asked, answered = asyncio.Event(), asyncio.Event()

    async def verify(*_: Any, **__: Any) -> None:
        if asked.is_set():
            raise db.DatabaseRefused("broken since")
        asked.set()
        await answered.wait()

    durability = Durability(engine, bus, 3600, verify)
    earlier = asyncio.create_task(durability.database())
    await asked.wait()
    with pytest.raises(NotReady, match="broken since"):
        await durability.database()
    answered.set()
    with pytest.raises(NotReady, match="broken since"):
        await earlier
    assert durability.is_broken


@pytest.mark.law("nothing-lost")
async def test_a_look_at_the_database_that_ends_in_what_nobody_expected_is_no_good_sign_and_not_the_last(engine: AsyncEngine, bus: Bus):
    faults = [KeyError("server_version_num")]

    async def verify(*_: Any, **__: Any) -> None:
        if faults:
            raise faults[0]

    durability = Durability(engine, bus, 0.02, verify)
    async with durability.held():
        await until(broken(durability, True))
        with pytest.raises(ContractBroken, match=r"the database could not be looked at \(KeyError\)"):
            durability.permit()
        faults.clear()
        await until(broken(durability, False))


def broken(durability: Durability, expected: bool) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return durability.is_broken is expected

    return found


@pytest.mark.law("nothing-lost")
async def test_a_server_that_comes_back_with_other_settings_is_not_written_to_before_it_is_looked_at(
    settings: Settings, servers: EmbeddedServers, owner: AsyncEngine
):
    engine, bus = db.engine(settings, pool_size=1), await Bus.connect(settings)
    durability = Durability(engine, bus, every_s=3600)
    async with durability.held():
        async with engine.begin() as conn:
            pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await conn.execute(text("DELETE FROM timers"))
        admin = await servers.postgres._connect("milepost")
        await admin.execute("ALTER ROLE milepost_service SET synchronous_commit = off")
        try:
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises(db.FAULTS, match="read-only transaction"):
                async with engine.begin() as conn:
                    await conn.execute(text("DELETE FROM timers"))
        finally:
            await admin.execute("ALTER ROLE milepost_service RESET synchronous_commit")
            await admin.close()
    await engine.dispose()
    await bus.close()

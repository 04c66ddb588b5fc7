"""A course on a pack that was published goes on under any release: as published, or held where that cannot be run any more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.audit import replay as replaying
from services.decision.audit.replay import Asked
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle import store
from services.decision.lifecycle.states import PackEvent, fold
from services.decision.lifecycle.store import Source
from services.decision.packs import Published
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import SHIPPED, PackLibrary, load_recorded, load_text
from services.decision.rules.recorded import UNREAD
from services.decision.store import replays
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Database, borrowed
from shared.bus import Bus
from shared.settings import Settings
from tests.integration.decision.clinics import text_of
from tests.integration.decision.feeding import Run, pain, send, settled, started
from tests.integration.decision.test_replay import Here

PACK = "own-knee"
FAULTY_TODAY = text_of("1.0.0", PACK, [("  - rule: mil.advance\n", "  - rule: mil.advance\n    then: {urgency: review}\n")])


@pytest.fixture
def packs(shipped: PackLibrary) -> Published:
    """As a process that starts has them."""
    return Published(shipped, ReferenceEngine())


@pytest.fixture(scope="module")
def shipped() -> PackLibrary:
    return PackLibrary(ReferenceEngine(), [SHIPPED / "mil-knee-overuse.yaml"])


async def publish(connection: asyncpg.Connection, tenant: str, text: str) -> str:
    """As an earlier release wrote it down, under the checks of its day."""
    floor = (SHIPPED / "floor.yaml").read_bytes()
    hash = load_recorded(PACK, text.encode(), [floor]).protocol.hash
    way: list[tuple[Any, str, dict[str, Any]]] = [
        ("drafted", "ann", {"digest": "d", "version": "1.0.0", "base": None}),
        ("checked", "ann", {"ok": True}),
        ("tested", "ann", {"ok": True}),
        ("simulated", "ann", {}),
        ("submitted", "ann", {"base": None, "regions": []}),
        ("approved", "lead", {"base": None, "acknowledged": []}),
        ("published", "lead", {"base": None, "content": hash, "checked": True, "tested": True, "valid_days": 30}),
    ]
    for n, (kind, actor, body) in enumerate(way, 1):
        source = Source(text.encode(), (floor,)) if kind == "drafted" else None
        await store.append(connection, tenant, PACK, n, PackEvent(kind, actor, "clinician", hash, datetime.now(UTC), body), source)
    assert fold(await store.events_of(connection, tenant, PACK)).live == hash
    return hash


async def last(engine: AsyncEngine, tenant: str, course: str) -> dict[str, Any]:
    async with borrowed(engine) as connection:
        row = await connection.fetchrow(
            "SELECT athlete, body FROM decisions WHERE tenant = $1 AND course = $2 ORDER BY seq DESC LIMIT 1", tenant, course
        )
        assert row is not None
        sealed = (await envelopes(connection, [(tenant, row["athlete"])])).of(tenant, row["athlete"])
    found: dict[str, Any] = orjson.loads(sealed.open(row["body"]))
    return found


async def differences(engine: AsyncEngine, settings: Settings, tenant: str) -> tuple[str, int]:
    """How a replay of the tenant ends."""
    async with borrowed(engine) as connection:
        id = await replaying.start(connection, tenant, "test", Asked())
    await replaying.run(engine, Database.of(settings), Here(), id, None)
    async with borrowed(engine) as connection:
        found = await replays.read(connection, id)
    assert found is not None
    return found.state, found.differences


@asynccontextmanager
async def damaged(settings: Settings, tenant: str) -> AsyncIterator[None]:
    """Stands for a release that lacks a fact which the pack reads; as it was, afterwards."""
    owner = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    swap = "UPDATE pack_events SET source = convert_to(replace(convert_from(source, 'UTF8'), $2, $3), 'UTF8') WHERE scope = $1"
    try:
        await owner.execute(f"{swap} AND source IS NOT NULL", tenant, "fact: pain.now", "fact: pain.of-later")
        yield
    finally:
        await owner.execute(f"{swap} AND source IS NOT NULL", tenant, "fact: pain.of-later", "fact: pain.now")
        await owner.close()


@pytest.mark.law("same-bytes")
async def test_a_course_goes_on_under_a_published_pack_that_todays_checks_refuse(
    run: Run, engine: AsyncEngine, bus: Bus, settings: Settings, tenant: str
) -> None:
    with pytest.raises(FaultyPack):
        load_text("pack.yaml", FAULTY_TODAY.encode())
    async with borrowed(engine) as connection:
        hash = await publish(connection, tenant, FAULTY_TODAY)
    sent = [started("a", "own-1", protocol=PACK), pain("a", "own-1", 2, nrs=3)]
    async with run():
        await send(bus, settings, tenant, sent)
        await settled(engine, tenant, sent)
    told = await last(engine, tenant, "own-1")
    assert (told["protocol"]["hash"], told["from_step"]) == (hash, "P2")
    assert UNREAD not in str(told["reasons"])
    assert await differences(engine, settings, tenant) == ("done", 0)


async def test_a_course_on_a_pack_that_cannot_be_run_holds_and_stops_nobody_else(
    shipped: PackLibrary, run: Run, engine: AsyncEngine, bus: Bus, settings: Settings, tenant: str
) -> None:
    async with borrowed(engine) as connection:
        await publish(connection, tenant, text_of("1.0.0", PACK))
    sent = [started("a", "own-2", protocol=PACK), started("b", "shipped-2")]
    async with run():
        await send(bus, settings, tenant, sent)
        await settled(engine, tenant, sent)
    async with damaged(settings, tenant):
        later = [pain("a", "own-2", 2), pain("b", "shipped-2", 2)]
        packs = Published(shipped, ReferenceEngine())
        async with borrowed(engine) as connection:
            await packs.refresh(connection)
        assert len(packs.unread) == 1
        async with run(packs=packs):
            await send(bus, settings, tenant, later)
            await settled(engine, tenant, later)
        told, other = await last(engine, tenant, "own-2"), await last(engine, tenant, "shipped-2")
        # Time itself may have decided too, of a course as old as this: what days without running lead back to stands beside the hold.
        assert told["action"] != "advance" and (told["running"], told["urgency"]) == ("withheld", "review")
        assert UNREAD in [reason["rule"] for reason in told["reasons"]] and told["from_step"] == "P2"
        assert UNREAD not in str(other["reasons"])
        replaying._published.cache_clear()
        state, found = await differences(engine, settings, tenant)
        assert state == "done" and found > 0, "what was decided under the pack itself is shown to differ"
    replaying._published.cache_clear()

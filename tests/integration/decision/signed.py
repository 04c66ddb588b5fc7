"""A small history that is signed, sealed and proven in stretches of four leaves, for tests that change it behind everybody's back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.audit.verify import Found, Share
from services.decision.audit.whole import verify_database
from services.decision.forgetting import erasure_event
from services.decision.notary import Notary
from services.decision.proving import Check, Prover
from services.decision.store import erasures, stretches, trees
from services.decision.store.connection import borrowed
from shared.bus import Bus, event_subject
from shared.placing import partition, pseudonym
from shared.proof import Checkpoint, Keyring, Signer
from shared.proof.stretches import Stretch
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, send, started, until
from tests.seeds import chance

HERE = partition("clinic", "a")
"""The partition of the athlete who has several stretches."""
LEAVES = 4
"""Of a stretch: so few that stretches stand beside leaves that belong to none yet."""
ROWS = (
    "INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, created_at)"
    " VALUES ('n1', 1, 'clinic', 'a', 'c', 1, 'recommendation.changed', 'body', now()),"
    " ('n2', NULL, 'clinic', NULL, NULL, NULL, 'test', '', now())",
    "INSERT INTO deliveries (id, tenant, endpoint, notice, state, tries, created_at)"
    " VALUES ('d1', 'clinic', 'e', 'n1', 'delivered', 1, now())",
    "INSERT INTO attempts VALUES ('d1', 1, 'clinic', now(), 12, 200, 'none', '{\"a\": \"b\"}', 'sent', 'heard')",
    "INSERT INTO pack_events VALUES ('clinic', 'p', 1, 'drafted', 'k', 'author', 'h', now(), 'body', 'yaml', ARRAY['floor'::bytea])",
    "INSERT INTO notice_policies VALUES ('clinic', 1, 'all', 60, 60, now(), 'k')",
    "INSERT INTO acknowledgements VALUES ('clinic', 'n1', 'c', 'k', now())",
    "INSERT INTO answer_links VALUES ('l', 'clinic', 'c', 'd', now())",
    "INSERT INTO event_terms VALUES ('clinic', 'urn:test', '1', 'a', '{no_coach}')",
)


@dataclass
class Site:
    settings: Settings
    owner: Any

    @property
    def gone(self) -> str:
        """The pseudonym of the athlete who asked to be erased."""
        return pseudonym(self.settings.pseudonym_key_bytes, "clinic", "a")

    @property
    def ring(self) -> Keyring:
        return Keyring(self.settings.secret_key_bytes)

    async def verify(self, *witness: str, leaves: int | None = LEAVES) -> Found:
        return await verify_database(self.settings, witness, 1, leaves)

    async def within(self, *witness: str, leaves: int | None = LEAVES) -> Found:
        """As the owner's open transaction sees it."""
        return await Share(self.owner, self.ring, 0, 1, None, witness, leaves).verify()

    async def prove(self) -> int:
        """Proves what has no proof, inside the owner's open transaction; how many stretches."""
        wanted = await stretches.missing(self.owner, range(64), LEAVES, (), 100)
        for place, number in wanted:
            check = Check(self.owner, self.ring, Stretch("events", place, number, LEAVES))
            assert await check.fault() is None
            await check.keep()
        return len(wanted)

    @asynccontextmanager
    async def changed(self) -> AsyncIterator[None]:
        """What is changed within is undone."""
        transaction = self.owner.transaction()
        await transaction.start()
        try:
            yield
        finally:
            await transaction.rollback()

    async def types(self, table: str) -> dict[str, str]:
        rows = await self.owner.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) AS kind FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
        return {row["attname"]: row["kind"] for row in rows}


@pytest.fixture(scope="module")
async def site(settings: Settings) -> AsyncIterator[Site]:
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    # So that a run with this seed picks the same rows.
    await connection.execute("SELECT setseed($1)", chance("rows").uniform(-1, 1))
    yield Site(settings, connection)
    await connection.close()


@pytest.fixture(autouse=True)
async def fed(site: Site, run: Run, bus: Bus, engine: AsyncEngine) -> None:
    """Two athletes: accepted, refused, parked, corrected and contradicted events; a row in every other history table; all of it signed."""
    if await site.owner.fetchval("SELECT EXISTS (SELECT 1 FROM notices)"):
        return
    sent = [
        started("a", "c"),
        *(pain("a", "c", n, nrs=n % 3) for n in range(1, 9)),
        pain("a", "c", 3, nrs=9),
        pain("b", "later", 1),
        event("b", "bad", "milepost.course.started", 0, started("b", "x")["data"] | {"protocol": "nothing"}),
        event("a", "fix", "milepost.event.corrected", 9, {"corrects": "c-pain-2", "data": {"when": "daily", "pain_nrs": 0}}),
    ]
    async with run(checkpoint_s=0.05):
        await send(bus, site.settings, "clinic", sent)

        async def signed(asked: bool = False) -> bool:
            async with borrowed(engine) as connection:
                count = await connection.fetchval("SELECT count(*) FROM events")
                kept = await connection.fetchval("SELECT count(*) FROM event_conflicts")
                grown = await trees.grown(connection, range(64), [])
                known = await erasures.of(connection, "clinic", site.gone)
            return count >= len(sent) - 1 and kept == 1 and not grown and (known is not None) == asked

        await until(signed)
        # Asked for and not carried out: no eraser runs here.
        asked = erasure_event("clinic", site.gone, {"reason": "ordered", "by": {"id": "k", "role": "admin"}}, "2026-03-21T10:00:00Z")
        await bus.publish(event_subject(partition("clinic", "a"), site.gone), asked)
        await until(lambda: signed(asked=True))
    for statement in ROWS:
        await site.owner.execute(statement)
    await Notary(engine, site.ring, range(64), 1, seals=True).sign()
    async with borrowed(engine) as connection:
        # However the notary's times fell: one stands inside the first stretch.
        edge, _ = await trees.frontier(connection, "events", HERE, LEAVES - 1)
        point = Checkpoint("events", HERE, LEAVES - 1, edge.root(), "2026-03-20T10:00:00.000000Z")
        await trees.sign(
            connection, "events", HERE, point.size, Signer(site.ring.signing_seed).note(point), datetime(2026, 3, 20, 10, tzinfo=UTC)
        )
    assert await Prover(engine, site.ring, range(64), 1, LEAVES).prove(rest=0) >= 2

"""The services run only on a database that keeps what it confirms and whose history they cannot change."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.decision import app as decision
from services.decision.eraser import opened
from services.ingest import app as ingest
from services.notify import app as notify
from shared import db
from shared.settings import Settings


@pytest.fixture
async def pretending(settings: Settings, owner: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """The database, with `current_setting` answering from the table `pretend.said` first."""
    async with owner.begin() as conn:
        await conn.execute(text("CREATE SCHEMA pretend"))
        await conn.execute(text("CREATE TABLE pretend.said (name text PRIMARY KEY, value text NOT NULL)"))
        await conn.execute(
            text(
                "CREATE FUNCTION pretend.current_setting(text) RETURNS text LANGUAGE sql RETURN "
                "coalesce((SELECT value FROM pretend.said WHERE name = $1), pg_catalog.current_setting($1))"
            )
        )
        await conn.execute(text("GRANT USAGE ON SCHEMA pretend TO PUBLIC"))
        await conn.execute(text("GRANT SELECT ON pretend.said TO PUBLIC"))
    path = {"server_settings": {"search_path": "pretend, pg_catalog, public"}}
    engine = create_async_engine(settings.database_url, connect_args=path)
    yield engine
    await engine.dispose()
    async with owner.begin() as conn:
        await conn.execute(text("DROP SCHEMA pretend CASCADE"))


async def test_a_database_that_keeps_the_contract_is_accepted(engine: AsyncEngine, pretending: AsyncEngine):
    await db.verify(engine)
    await db.verify(pretending)


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("fsync", "off", "set fsync = on"),
        ("full_page_writes", "off", "set full_page_writes = on"),
        ("synchronous_commit", "off", "set synchronous_commit = on"),
        ("synchronous_commit", "local", "set synchronous_commit = on"),
        ("server_version_num", "140019", "PostgreSQL 14 is too old; 15 or newer is expected"),
    ],
)
async def test_a_database_that_could_lose_what_it_confirmed_is_refused(
    pretending: AsyncEngine, owner: AsyncEngine, name: str, value: str, expected: str
):
    async with owner.begin() as conn:
        await conn.execute(text("INSERT INTO pretend.said VALUES (:name, :value)"), {"name": name, "value": value})
    with pytest.raises(db.DatabaseRefused, match=expected) as refused:
        await db.verify(pretending)
    assert "\n" not in str(refused.value)


async def test_a_session_that_commits_without_syncing_is_refused(settings: Settings):
    lazy = create_async_engine(settings.database_url, connect_args={"server_settings": {"synchronous_commit": "off"}})
    with pytest.raises(db.DatabaseRefused, match="synchronous_commit = off"):
        await db.verify(lazy)
    await lazy.dispose()


async def test_another_revision_of_the_schema_is_refused(engine: AsyncEngine, owner: AsyncEngine):
    async with owner.begin() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = 'elsewhere'"))
    try:
        with pytest.raises(db.DatabaseRefused, match=f"revision elsewhere, expected {db.newest_revision()}"):
            await db.verify(engine)
    finally:
        async with owner.begin() as conn:
            await conn.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": db.newest_revision()})


async def test_a_role_that_may_change_history_is_refused(owner: AsyncEngine):
    with pytest.raises(db.DatabaseRefused, match="may change history"):
        await db.verify(owner)


async def test_a_database_that_is_not_there_is_named_in_one_line(settings: Settings):
    nowhere = settings.model_copy(update={"database_url": "postgresql+asyncpg://u:secret@127.0.0.1:1/d"})
    nowhere = nowhere.model_copy(update={"owner_database_url": nowhere.database_url})
    engine = db.engine(nowhere)
    with pytest.raises(db.DatabaseRefused, match="PostgreSQL cannot be used: ") as refused:
        await db.verify(engine)
    with pytest.raises(db.DatabaseRefused, match="the schema cannot be brought up to date: ") as not_migrated:
        await db.migrate(nowhere)
    for fault in (refused, not_migrated):
        assert "\n" not in str(fault.value) and "secret" not in str(fault.value)


@asynccontextmanager
async def at_work(name: str, settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The engine of a service that runs, as it made it itself."""
    async with AsyncExitStack() as stack:
        if name == "eraser":
            yield (await opened(stack, settings))[0]._engine
        else:
            app = {"ingest": ingest, "decision": decision, "notify": notify}[name].create_app(settings)
            await stack.enter_async_context(app.router.lifespan_context(app))
            yield app.state.engine


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("name", ["ingest", "decision", "notify", "eraser"])
async def test_every_service_gives_up_a_transaction_in_which_it_stands_still_for_a_minute(settings: Settings, name: str):
    """A worker does so for a lease (`decision/test_crash_points.py` stops one there)."""
    async with at_work(name, settings) as own, own.connect() as conn:
        assert (await conn.execute(text("SHOW idle_in_transaction_session_timeout"))).scalar_one() == "1min"


@pytest.mark.law("nothing-lost")
async def test_who_stands_still_inside_a_transaction_holds_its_locks_for_a_limited_time(
    settings: Settings, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    # Not so short that this process cannot stand still between two statements.
    monkeypatch.setattr(db, "ABANDONED_AFTER_S", 3.0)
    own = db.engine(settings)
    async with own.connect() as standing:
        await standing.execute(text("UPDATE partition_heads SET epoch = epoch WHERE partition = 0"))
        async with engine.begin() as conn:
            await conn.execute(text("SET LOCAL lock_timeout = '50s'"))
            await conn.execute(text("UPDATE partition_heads SET epoch = epoch WHERE partition = 0"))
        with pytest.raises(db.DatabaseUnreachable) as woken, db.reached():
            await standing.execute(text("SELECT 1"))
        assert woken.value.may_pass
        await standing.invalidate()
    await own.dispose()


@pytest.mark.law("once")
async def test_what_is_done_on_the_bare_connection_belongs_to_the_transaction(engine: AsyncEngine):
    row = "INSERT INTO outbox (partition, tenant, athlete, body) VALUES (1, 'bare', 'a', '')"
    async with engine.connect() as conn:
        await (await db.raw(conn)).execute(row)
        await conn.rollback()
    async with engine.begin() as conn:
        count = text("SELECT count(*) FROM outbox WHERE tenant = 'bare'")
        assert (await conn.execute(count)).scalar_one() == 0
        bare = await db.raw(conn)
        assert await db.raw(conn) is bare
        await bare.execute(row)
    async with engine.connect() as conn:
        assert (await conn.execute(count)).scalar_one() == 1


async def test_a_failed_statement_does_not_quote_its_values(engine: AsyncEngine):
    with pytest.raises(SQLAlchemyError) as failed:
        async with engine.begin() as conn:
            await conn.execute(text("SELECT cast(:value AS text) FROM nowhere"), {"value": "athlete-7"})
    assert "athlete-7" not in str(failed.value)


@pytest.fixture
async def many_erased(owner: AsyncEngine) -> AsyncIterator[None]:
    """3,000 erasures that were carried out, the newest last, each with the event that asked for it."""
    erased = (
        "INSERT INTO keys.erasures (tenant, pseudonym, partition, event, requested_at, erased_at)"
        " SELECT 'many', 'p' || n, 63, '{}', now() - make_interval(secs => 3000 - n), now() FROM generate_series(1, 3000) AS n"
    )
    asked = (
        "INSERT INTO events (partition, seq, tenant, athlete, source, id, type, time, recorded_at, digest, body)"
        " SELECT 63, 1000000 + n, 'many', 'p' || n, 'urn:milepost:erasures', 'erasure-p' || n, 'milepost.athlete.erased', now(), now(),"
        " '', '' FROM generate_series(1, 3000) AS n"
    )
    counted = "UPDATE partition_heads SET erasures = {} WHERE partition = 63"
    async with owner.begin() as conn:
        for statement in (erased, asked, counted.format(3000), "ANALYZE keys.erasures", "ANALYZE events"):
            await conn.execute(text(statement))
    yield
    async with owner.begin() as conn:
        await conn.execute(text(counted.format(0)))
        for table in ("events", "keys.erasures"):
            await conn.execute(text(f"DELETE FROM {table} WHERE tenant = 'many'"))


def scanned(plan: dict[str, Any]) -> float:
    """How many rows a plan read from tables and indexes."""
    below = sum(scanned(one) for one in plan.get("Plans", ()))
    read = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return float(below + (read if "Relation Name" in plan else 0))


async def test_what_is_looked_at_while_a_service_runs_does_not_grow_with_the_erasures_ever_made(many_erased: None, engine: AsyncEngine):
    async def read(statement: str) -> tuple[float, str]:
        async with engine.connect() as conn:
            ((plan,),) = (await conn.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"))).all()
            return scanned(plan[0]["Plan"]), str(plan)

    rows, plan = await read(db.OLDER_THAN_NEWEST)
    assert rows <= 2 * db.NEWEST_ERASURES and "erasures_newest" in plan and "events_tenant_source_id_key" in plan, (rows, plan)
    assert (await read(db.OLDER_THAN_ANY))[0] >= 6000, "a service that starts looks at all of them"


async def test_data_from_before_the_newest_erasure_is_refused_while_a_service_runs_and_from_before_any_when_it_starts(
    many_erased: None, owner: AsyncEngine, engine: AsyncEngine
):
    await db.verify(engine)
    for lost, while_running in (("1", False), (str(3000 - db.NEWEST_ERASURES + 1), True), ("3000", True)):
        async with owner.begin() as conn:
            await conn.execute(text(f"UPDATE events SET source = 'lost' WHERE tenant = 'many' AND id = 'erasure-p{lost}'"))
        with pytest.raises(db.DatabaseRefused, match="older than 1 of the erasures"):
            await db.verify(engine)
        if while_running:
            with pytest.raises(db.DatabaseRefused, match="older than 1 of the erasures"):
                await db.verify(engine, again=True)
        else:
            await db.verify(engine, again=True)
        async with owner.begin() as conn:
            await conn.execute(text("UPDATE events SET source = 'urn:milepost:erasures' WHERE source = 'lost'"))

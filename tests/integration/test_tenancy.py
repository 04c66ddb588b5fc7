"""The second wall of no-crossing: what a reader of one tenant sees, whatever is asked, and that nobody runs without the wall."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from migrations import walls
from services.decision.store.connection import borrowed, bound as decision_bound
from services.notify.store.connection import bound as notify_bound
from shared import db, tenancy
from shared.settings import Settings
from shared.tenancy import READER_ROLE, WALLS, see_only

BOUND = pytest.mark.parametrize("bound", [decision_bound, notify_bound], ids=["decision", "notify"])
TENANTS = ("north", "south")
COLUMN = {wall.table: "scope" if "scope" in wall.columns else "tenant" for wall in WALLS}

OF_THE_INSTALLATION = {
    *("alembic_version", "partition_heads", "checkpoints", "seals", "tree_blocks", "proven", "reconciled", "reconciliations"),
    "notice_reading",
}
"""Tables without a row of any tenant: positions, hashes, counts. Readers get none of them."""

_TABLES = text(
    "SELECT c.oid::regclass::text AS name, c.relrowsecurity AS on, EXISTS (SELECT 1 FROM pg_attribute AS a WHERE a.attrelid = c.oid"
    " AND a.attname IN ('tenant', 'scope') AND NOT a.attisdropped) AS tenants FROM pg_class AS c WHERE c.relkind IN ('r', 'p')"
    " AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) ORDER BY 1"
)
_COLUMNS = text(
    "SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0"
    " AND NOT attisdropped AND (attnotnull AND NOT atthasdef OR attname = 'tenant') ORDER BY attnum"
)
_VALUES = {
    **dict.fromkeys(("bigint", "integer"), "cast(:n AS integer)"),
    "text": "cast(:text AS text)",
    "bytea": "convert_to(cast(:text AS text), 'UTF8')",
    "uuid": "gen_random_uuid()",
    "jsonb": "'{}'",
    "boolean": "true",
    "timestamp with time zone": "now()",
    "text[]": "'{}'",
}


async def filled(conn: AsyncConnection, table: str, tenant: str, n: int) -> None:
    """One row of the tenant, made of what the catalog says of the table."""
    columns = (await conn.execute(_COLUMNS, {"table": table})).all()
    values = ["cast(:tenant AS text)" if one.name == COLUMN[table] else _VALUES[one.type] for one in columns]
    insert = f"INSERT INTO {table} ({', '.join(one.name for one in columns)}) VALUES ({', '.join(values)})"
    await conn.execute(text(insert), {"tenant": tenant, "text": f"{tenant} {n}", "n": n})


@pytest.fixture(scope="module", autouse=True)
async def two_tenants(settings: Settings, owner: AsyncEngine) -> None:
    """In every table two rows of each tenant."""
    async with owner.begin() as conn:
        for wall in WALLS:
            for n, tenant in enumerate(TENANTS * 2, 1):
                await filled(conn, wall.table, tenant, n)


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """One connection, as the services have it: whoever borrows gets the one that was given back."""
    engine = db.engine(settings, pool_size=1)
    yield engine
    await engine.dispose()


async def seen(connection: Any, table: str) -> list[str]:
    """Whose rows an unscoped query gives."""
    return [row[0] for row in await connection.fetch(f"SELECT {COLUMN[table]} FROM {table} ORDER BY 1")]


@pytest.mark.law("no-crossing")
async def test_every_table_has_a_wall_or_is_named_as_one_without_rows_of_tenants(owner: AsyncEngine):
    async with owner.connect() as conn:
        tables = (await conn.execute(_TABLES)).all()
    assert {one.name for one in tables if one.tenants} == {wall.table for wall in WALLS} == {one.name for one in tables if one.on}
    assert {one.name for one in tables if not one.tenants} == OF_THE_INSTALLATION


@pytest.mark.law("no-crossing")
@BOUND
async def test_a_query_that_names_no_tenant_gives_a_reader_their_own_tenants_rows(engine: AsyncEngine, bound: Any):
    for tenant in TENANTS:
        async with bound(engine, tenant) as connection:
            assert {table: await seen(connection, table) for table in COLUMN} == {table: [tenant, tenant] for table in COLUMN}


@pytest.mark.law("no-crossing")
async def test_a_reader_for_whom_no_tenant_was_named_sees_nothing(engine: AsyncEngine):
    async with borrowed(engine) as connection:
        for setting in ("RESET milepost.tenant", "SET LOCAL milepost.tenant = ''", "SET LOCAL milepost.tenant = 'west'"):
            async with connection.transaction():
                await connection.execute(f"SET LOCAL ROLE {READER_ROLE}; {setting}")
                assert {table: await seen(connection, table) for table in COLUMN} == {table: [] for table in COLUMN}


@pytest.mark.law("no-crossing")
async def test_packs_that_everybody_has_are_seen_by_every_reader_and_by_nobody_else(owner: AsyncEngine, engine: AsyncEngine):
    async with owner.begin() as conn:
        await filled(conn, "pack_events", "", 9)
    try:
        async with decision_bound(engine, "north") as connection:
            assert await seen(connection, "pack_events") == ["", "north", "north"]
        async with borrowed(engine) as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {READER_ROLE}")
            assert await seen(connection, "pack_events") == []
    finally:
        async with owner.begin() as conn:
            await conn.execute(text("DELETE FROM pack_events WHERE scope = ''"))


@pytest.mark.law("no-crossing")
@BOUND
async def test_a_join_that_forgets_the_tenant_finds_nothing_of_another(engine: AsyncEngine, owner: AsyncEngine, bound: Any):
    join = "SELECT d.id, n.id AS notice FROM deliveries AS d JOIN notices AS n ON n.id = d.notice"
    async with owner.begin() as conn:
        await conn.execute(text("UPDATE deliveries SET notice = 'south 2' WHERE id = 'north 1'"))
    async with borrowed(engine) as connection:
        assert [row["notice"] for row in await connection.fetch(f"{join} WHERE d.id = 'north 1'")] == ["south 2"]
    async with bound(engine, "north") as connection:
        assert await connection.fetch(f"{join} WHERE d.id = 'north 1'") == []


@BOUND
async def test_a_reader_changes_nothing_and_reads_no_secret_and_nothing_of_the_installation(engine: AsyncEngine, bound: Any):
    statements = [f"DELETE FROM {table}" for table in (*COLUMN, *OF_THE_INSTALLATION)]
    statements += [f"UPDATE {table} SET {column} = 'north'" for table, column in COLUMN.items()]
    statements += [f"INSERT INTO {table} ({column}) VALUES ('north')" for table, column in COLUMN.items()]
    statements += [f"SELECT FROM {table}" for table in OF_THE_INSTALLATION]
    statements += ["SELECT secret_hash FROM api_keys", "SELECT secret FROM endpoints", "SELECT retired_secret FROM endpoints"]
    for statement in statements:
        refused = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
        with pytest.raises(refused):
            async with bound(engine, "north") as connection:
                await connection.execute(statement)
    async with borrowed(engine) as connection:
        for statement in statements:
            # The rights alone refuse it too, were the transaction not read only.
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await see_only(connection, "north")
                    await connection.execute(statement)


@pytest.mark.law("no-crossing")
@BOUND
async def test_nothing_of_a_reader_is_left_on_the_connection_for_who_borrows_it_next(narrow: AsyncEngine, bound: Any):
    async def back_to_all() -> None:
        async with borrowed(narrow) as connection:
            assert await connection.fetchval("SELECT current_user::text") == db.SERVICE_ROLE
            assert not await connection.fetchval("SELECT current_setting('milepost.tenant', true)")
            assert set(await seen(connection, "events")) == set(TENANTS)

    async with bound(narrow, "north") as connection:
        assert await connection.fetchval("SELECT current_user::text") == READER_ROLE
    await back_to_all()
    with pytest.raises(ZeroDivisionError):
        async with bound(narrow, "north"):
            raise ZeroDivisionError
    await back_to_all()
    with pytest.raises(asyncpg.UndefinedTableError):
        async with bound(narrow, "north") as connection:
            await connection.execute("SELECT FROM nowhere")
    await back_to_all()

    inside = asyncio.Event()

    async def cut_off() -> None:
        async with bound(narrow, "north") as connection:
            inside.set()
            await connection.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(cut_off())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])
    await back_to_all()
    async with bound(narrow, "south") as connection:
        assert await seen(connection, "events") == ["south", "south"]


async def test_one_tenant_after_another_on_one_connection_sees_their_own_by_the_same_statement(narrow: AsyncEngine):
    # More often than PostgreSQL plans a prepared statement anew.
    for _ in range(8):
        for tenant in TENANTS:
            async with decision_bound(narrow, tenant) as connection:
                assert await seen(connection, "decisions") == [tenant, tenant]
        async with borrowed(narrow) as connection:
            assert len(await seen(connection, "decisions")) == 4


async def test_a_tenant_is_read_for_within_a_transaction_only(narrow: AsyncEngine):
    async with borrowed(narrow) as connection:
        with pytest.raises(RuntimeError, match="within a transaction"):
            await see_only(connection, "north")
        with pytest.raises(ValueError, match="expected a tenant"):
            async with connection.transaction():
                await see_only(connection, "")


async def test_the_services_write_rows_of_several_tenants_in_one_statement(engine: AsyncEngine):
    insert = "INSERT INTO outbox (partition, tenant, athlete, body) SELECT 0, t, 'a', '' FROM unnest($1::text[]) AS t RETURNING tenant"
    async with borrowed(engine) as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert [row["tenant"] for row in await connection.fetch(insert, ["east", "west"])] == ["east", "west"]
        await transaction.rollback()


@pytest.mark.parametrize(
    "breach",
    [
        "ALTER TABLE events DISABLE ROW LEVEL SECURITY",
        "DROP POLICY one_tenant ON events",
        "DROP POLICY every_tenant ON events",
        "ALTER POLICY one_tenant ON events USING (true)",
        "ALTER POLICY every_tenant ON events TO PUBLIC",
        "ALTER POLICY every_tenant ON events USING (tenant = 'north')",
    ],
)
@pytest.mark.law("no-crossing")
async def test_no_service_runs_where_the_wall_has_a_gap_and_the_migrations_mend_it(
    settings: Settings, engine: AsyncEngine, owner: AsyncEngine, breach: str
):
    async with owner.begin() as conn:
        await conn.execute(text(breach))
    try:
        with pytest.raises(db.DatabaseRefused, match=r"row-level security of the table events .*run them as the owner role") as refused:
            await db.verify(engine)
        assert "\n" not in str(refused.value)
    finally:
        await db.migrate(settings)
    await db.verify(engine)


async def test_a_policy_of_somebody_else_that_lets_readers_see_more_is_refused(engine: AsyncEngine, owner: AsyncEngine):
    async with owner.begin() as conn:
        await conn.execute(text("CREATE POLICY more ON notices FOR SELECT USING (true)"))
    with pytest.raises(db.DatabaseRefused, match="table notices is not as the migrations leave it: drop policies that are not theirs"):
        await db.verify(engine)
    async with owner.begin() as conn:
        await conn.execute(text("DROP POLICY more ON notices"))
    await db.verify(engine)


async def test_the_eraser_does_not_begin_where_rows_are_hidden_from_it(settings: Settings, owner: AsyncEngine):
    eraser = create_async_engine(settings.eraser_database_url)
    await db.verify_eraser(eraser)
    async with owner.begin() as conn:
        await conn.execute(text(f"ALTER POLICY every_tenant ON courses TO {db.SERVICE_ROLE}"))
    try:
        with pytest.raises(db.DatabaseRefused, match="hides rows of the table courses: run the migrations as the owner role"):
            await db.verify_eraser(eraser)
    finally:
        await db.migrate(settings)
    await db.verify_eraser(eraser)
    await eraser.dispose()


async def test_where_the_readers_role_was_not_given_one_line_says_what_to_run(settings: Settings):
    # The eraser's role is not a member: as an installation of before, where nobody was.
    older = settings.model_copy(update={"database_url": settings.eraser_database_url})
    run = f"`GRANT {READER_ROLE} TO {db.ERASER_ROLE}`"
    with pytest.raises(db.DatabaseRefused, match=run) as refused:
        await db.migrate(older)
    assert "\n" not in str(refused.value)
    engine = create_async_engine(settings.eraser_database_url)
    async with borrowed(engine) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await see_only(connection, "north")
    await engine.dispose()


async def test_a_server_without_the_readers_role_is_told_to_make_it_and_is_left_as_it_was(
    settings: Settings, engine: AsyncEngine, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    async with owner.begin() as conn:
        await conn.execute(text(f"REVOKE INSERT ON outbox FROM {db.SERVICE_ROLE}"))
    with monkeypatch.context() as elsewhere:
        for module in (tenancy, walls):
            elsewhere.setattr(module, "READER_ROLE", "milepost_nobody")
        run = "`CREATE ROLE milepost_nobody NOLOGIN` .* and `GRANT milepost_nobody TO milepost_service`, then the migrations as the owner"
        with pytest.raises(db.DatabaseRefused, match=run) as refused:
            await db.migrate(settings)
        assert "\n" not in str(refused.value)
        async with borrowed(engine) as connection:
            assert await tenancy.fault(connection) == str(refused.value)
            assert not await connection.fetchval("SELECT has_table_privilege('outbox', 'INSERT')")
    await db.migrate(settings)
    await db.verify(engine)
    async with borrowed(engine) as connection:
        assert await connection.fetchval("SELECT has_table_privilege('outbox', 'INSERT')")


async def test_migrating_again_makes_no_policy_anew(settings: Settings, owner: AsyncEngine):
    query = text("SELECT oid, xmin::text FROM pg_policy ORDER BY oid")
    async with owner.connect() as conn:
        before = (await conn.execute(query)).all()
    await db.migrate(settings)
    async with owner.connect() as conn:
        assert (await conn.execute(query)).all() == before and len(before) == 2 * len(WALLS)

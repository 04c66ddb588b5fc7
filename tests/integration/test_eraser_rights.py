"""The eraser's role in the database: the columns it replaces, the rows it removes, and nothing else, as the server's own catalog has it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from migrations.grants import ERASABLE, KEYS_ERASABLE, KEYS_SEEN, REMOVABLE, SEEN
from shared import db
from shared.settings import Settings
from shared.tables import key_metadata, metadata

Right = tuple[str, str, str]
"""(command, table, column), the column empty where it is a right on the whole table."""

# Asked of the server for every pair, so that what PUBLIC or a role above may counts too.
COLUMNS = text(
    "SELECT r, n.nspname || '.' || c.relname, a.attname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS r"
    " WHERE n.nspname IN ('public', 'keys') AND c.relkind = 'r' AND has_column_privilege(:role, c.oid, a.attnum, r)"
)
WHOLE = text(
    "SELECT r, n.nspname || '.' || c.relname, '' FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS r"
    " WHERE n.nspname IN ('public', 'keys') AND c.relkind = 'r' AND has_table_privilege(:role, c.oid, r)"
)


async def asked(owner: AsyncEngine, query: TextClause) -> set[Right]:
    async with owner.connect() as conn:
        return {(row[0], row[1], row[2]) for row in await conn.execute(query, {"role": db.ERASER_ROLE})}


@pytest.fixture
async def erasing(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = db.engine(settings.model_copy(update={"database_url": settings.eraser_database_url}), pool_size=1)
    yield engine
    await engine.dispose()


def declared() -> set[Right]:
    found = {("SELECT", f"public.{table}", column) for table, columns in SEEN.items() for column in columns}
    found |= {("UPDATE", f"public.{table}", column) for table, columns in ERASABLE.items() for column in columns}
    found |= {("SELECT", f"keys.{table}", column) for table, columns in KEYS_SEEN.items() for column in columns}
    found |= {("UPDATE", f"keys.{table}", column) for table, columns in KEYS_ERASABLE.items() for column in columns}
    found |= {("INSERT", "keys.erasures", column.name) for column in key_metadata.tables["keys.erasures"].columns}
    return found | {("SELECT", "public.alembic_version", "version_num")}


@pytest.mark.law("tamper-evident")
async def test_the_eraser_may_what_is_declared_column_by_column_and_nothing_else(settings: Settings, owner: AsyncEngine):
    assert await asked(owner, COLUMNS) == declared()
    whole = {("DELETE", f"public.{table}", "") for table in REMOVABLE}
    assert await asked(owner, WHOLE) == whole | {("INSERT", "keys.erasures", ""), ("SELECT", "public.alembic_version", "")}


@pytest.mark.law("tamper-evident")
async def test_the_eraser_changes_no_place_no_tenant_no_commitment_and_removes_no_history(settings: Settings, owner: AsyncEngine):
    changed = {(table.removeprefix("public."), column) for right, table, column in await asked(owner, COLUMNS) if right == "UPDATE"}
    for table in ("events", "event_outcomes", "event_conflicts", "decisions", "seals"):
        kept = {"partition", "tenant", "commitment", "leaf", "tree"} | ({"seq"} if table != "decisions" else {"event_seq"})
        assert not {(table, column) for column in kept} & changed
    removed = {table for right, table, _ in await asked(owner, WHOLE) if right in ("DELETE", "TRUNCATE")}
    assert not removed & {
        f"public.{table}" for table in ("events", "event_outcomes", "event_conflicts", "decisions", "seals", "checkpoints")
    }


@pytest.mark.law("tamper-evident")
async def test_the_eraser_reads_no_body_no_key_and_no_secret(settings: Settings, owner: AsyncEngine):
    seen = {(table.removeprefix("public."), column) for right, table, column in await asked(owner, COLUMNS) if right == "SELECT"}
    assert {table for table, column in seen if column in ("body", "wrapped", "secret", "request_body", "response_body", "digest")} == set()
    assert not {"api_keys", "endpoints", "pack_events", "notice_policies", "checkpoints"} & {table for table, _ in seen}


@pytest.mark.law("tamper-evident")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET leaf = leaf",
        "UPDATE events SET commitment = commitment",
        "UPDATE events SET seq = seq + 1",
        "UPDATE decisions SET tenant = 'other'",
        "UPDATE partition_heads SET seq = 0",
        "UPDATE checkpoints SET note = ''",
        "UPDATE keys.erasures SET event = ''",
        "DELETE FROM events",
        "DELETE FROM keys.erasures",
        "DELETE FROM keys.athlete_keys",
        "TRUNCATE notices",
        "INSERT INTO events SELECT FROM events",
        "INSERT INTO keys.athlete_keys (tenant) VALUES ('t')",
        "SELECT body FROM decisions",
        "SELECT wrapped FROM keys.athlete_keys",
        "SELECT * FROM api_keys",
        "ALTER TABLE events ADD COLUMN more text",
    ],
)
async def test_what_the_eraser_does_not_need_is_refused_by_the_server(erasing: AsyncEngine, statement: str):
    with pytest.raises(DBAPIError) as refused:
        async with erasing.begin() as conn:
            await conn.execute(text(statement))
    assert getattr(refused.value.orig, "sqlstate", None) == "42501"


async def test_rights_that_an_older_release_gave_are_taken_away_by_the_next_migration(settings: Settings, owner: AsyncEngine):
    before = await asked(owner, COLUMNS) | await asked(owner, WHOLE)
    async with owner.begin() as conn:
        for table in (*metadata.tables, *key_metadata.tables):
            await conn.execute(text(f"GRANT ALL ON {table} TO {db.ERASER_ROLE}"))
        await conn.execute(text(f"GRANT UPDATE (leaf) ON events TO {db.ERASER_ROLE}"))
    assert ("UPDATE", "public.events", "leaf") in await asked(owner, COLUMNS)
    await db.migrate(settings)
    assert await asked(owner, COLUMNS) | await asked(owner, WHOLE) == before

"""The migrations build exactly the tables that the services know, and give the services' role no more than it needs."""

import asyncio
from importlib import import_module

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db
from shared.placing import PARTITIONS
from shared.settings import Settings
from shared.tables import APPEND_ONLY, metadata


@pytest.fixture(scope="module", autouse=True)
async def migrated(empty_database: Settings) -> Settings:
    # Several services may start at the same time on an empty database.
    await asyncio.gather(*(db.migrate(empty_database) for _ in range(3)))
    return empty_database


async def test_the_migrations_build_what_shared_tables_says(owner: AsyncEngine):
    def differences(conn: Connection) -> list[object]:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        return [difference for difference in compare_metadata(context, metadata) if "alembic_version" not in str(difference)]

    async with owner.connect() as conn:
        assert await conn.run_sync(differences) == []


async def test_the_primary_keys_are_those_of_shared_tables(owner: AsyncEngine):
    def keys(conn: Connection) -> dict[str, list[str]]:
        inspector = inspect(conn)
        return {name: inspector.get_pk_constraint(name)["constrained_columns"] for name in metadata.tables}

    async with owner.connect() as conn:
        assert await conn.run_sync(keys) == {name: [column.name for column in table.primary_key] for name, table in metadata.tables.items()}


async def test_migrating_again_changes_nothing(migrated: Settings, owner: AsyncEngine):
    async with owner.begin() as conn:
        await conn.execute(text("UPDATE partition_heads SET seq = 7 WHERE partition = 7"))
    await db.migrate(migrated)
    async with owner.begin() as conn:
        assert (await conn.execute(text("SELECT seq FROM partition_heads WHERE partition = 7"))).scalar_one() == 7
        await conn.execute(text("UPDATE partition_heads SET seq = 0"))


async def test_of_windows_from_before_digests_were_keyed_only_whether_they_were_alike_is_kept(owner: AsyncEngine):
    def keyed(conn: Connection) -> None:
        with Operations.context(MigrationContext.configure(conn)):
            import_module("migrations.versions.0014_windows").upgrade()

    old = "INSERT INTO reconciliations (begin, bus, bus_digest, history, history_digest, missing, compared_at)"
    async with owner.connect() as conn:
        await conn.execute(text(f"{old} VALUES (now(), 1, 'guessed', 1, 'guessed', 0, now()), (now(), 2, 'guessed', 1, 'other', 1, now())"))
        await conn.run_sync(keyed)
        rows = (await conn.execute(text("SELECT bus, bus_digest, history_digest FROM reconciliations ORDER BY bus"))).all()
        assert [(bus, on_bus == kept) for bus, on_bus, kept in rows] == [(1, True), (2, False)]
        assert all(len(one) == 32 and one not in (b"guessed", b"other") for row in rows for one in row[1:])
        await conn.rollback()


async def test_what_was_derived_of_athletes_in_the_clear_is_dropped_and_its_runs_say_so(owner: AsyncEngine):
    def clear(conn: Connection) -> None:
        with Operations.context(MigrationContext.configure(conn)):
            import_module("migrations.versions.0015_derived").upgrade()

    course = "INSERT INTO courses VALUES ('t', 'c', 'a', 0, 'p@1', 'open', 1, 'hold', 'routine', false, now(), now(), 'planted')"
    shadow = "INSERT INTO shadow_decisions VALUES ('t', 'p', 'h', 'c', 1, 'a', 'same', now(), now(), 'planted', NULL)"
    run = "INSERT INTO backtests (tenant, id, pack, hash, over, actor, state, started_at, seen_at, athletes, done, counts)"
    replay = (
        "INSERT INTO replays (id, actor, asked, state, started_at, seen_at, athletes, done, erased, decisions, differences)"
        " VALUES ({}, 'k', '{{}}', 'done', now(), now(), 1, 1, 0, 1, 1)"
    )
    async with owner.connect() as conn:
        for statement in (course, shadow, replay.format("'found'"), replay.format("'none'")):
            await conn.execute(text(statement))
        for id, state in (("found", "running"), ("none", "done")):
            await conn.execute(text(f"{run} VALUES ('t', '{id}', 'p', 'h', 'p', 'k', '{state}', now(), now(), 1, 1, '{{}}')"))
        await conn.execute(text("INSERT INTO backtest_differences VALUES ('t', 'found', 1, 'same', 'a', 'c', 1, 'planted', NULL, NULL)"))
        await conn.execute(text("INSERT INTO replay_differences VALUES ('found', 1, 't', 'a', 'c', 1, 'w', '{}', 'planted', NULL)"))
        await conn.run_sync(clear)
        for table in ("courses", "shadow_decisions", "backtest_differences", "replay_differences"):
            held = await conn.execute(text(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{b'planted'.hex()}%'"))
            assert held.scalar_one() == 0, table
        for table, state in (("backtests", "failed"), ("replays", "done")):
            rows = await conn.execute(text(f"SELECT id, state || ': ' || coalesce(because, '') AS said FROM {table}"))
            told = {row.id: row.said for row in rows}
            assert told["none"] == "done: " and told["found"].startswith(f"{state}: its differences lay in the clear"), table
        assert (await conn.execute(text("SELECT count(*) FROM courses WHERE state IS NULL"))).scalar_one() == 1
        await conn.rollback()


async def test_every_partition_has_its_head(owner: AsyncEngine):
    async with owner.connect() as conn:
        heads = (await conn.execute(text("SELECT partition FROM partition_heads ORDER BY 1"))).scalars().all()
    assert heads == list(range(PARTITIONS))


async def test_tables_updated_with_every_batch_leave_room_on_their_pages(owner: AsyncEngine):
    query = text("SELECT relname FROM pg_class WHERE relkind = 'r' AND 'fillfactor=50' = ANY (reloptions) ORDER BY 1")
    async with owner.connect() as conn:
        assert (await conn.execute(query)).scalars().all() == ["courses", "partition_heads", "timers"]


@pytest.mark.parametrize("table", sorted(metadata.tables))
async def test_the_service_role_reads_and_adds_everywhere_but_changes_no_history(owner: AsyncEngine, table: str):
    asked = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"]
    query = text("SELECT r FROM unnest(cast(:asked AS text[])) r WHERE has_table_privilege(:role, :table, r)")
    async with owner.connect() as conn:
        rights = set((await conn.execute(query, {"asked": asked, "role": db.SERVICE_ROLE, "table": table})).scalars())
    assert rights == ({"SELECT", "INSERT"} if table in APPEND_ONLY else {"SELECT", "INSERT", "UPDATE", "DELETE"})


async def test_the_service_role_can_neither_change_history_nor_make_tables(migrated: Settings):
    services = db.engine(migrated)
    try:
        for statement in (
            "UPDATE events SET body = ''",
            "DELETE FROM decisions",
            "TRUNCATE notices",
            "DROP TABLE attempts",
            "CREATE TABLE mine (a int)",
        ):
            with pytest.raises(DBAPIError) as refused:
                async with services.begin() as conn:
                    await conn.execute(text(statement))
            assert getattr(refused.value.orig, "sqlstate", None) == "42501", statement
    finally:
        await services.dispose()


async def test_the_service_role_takes_numbers_from_the_outbox(migrated: Settings):
    services = db.engine(migrated)
    try:
        async with services.begin() as conn:
            insert = text("INSERT INTO outbox (partition, tenant, athlete, body) VALUES (0, 't', 'a', '') RETURNING outbox")
            first, second = [(await conn.execute(insert)).scalar_one() for _ in range(2)]
            assert second > first
            await conn.rollback()
    finally:
        await services.dispose()

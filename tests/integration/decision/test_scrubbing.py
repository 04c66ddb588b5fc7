"""No erasure is called scrubbed while anything could still hold its bytes, and what holds them is named."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.decision import scrubbing
from services.decision.scrubbing import NotScrubbed, scrub
from services.embedded import postgres
from services.embedded.files import own_secrets
from shared import db
from shared.settings import Settings
from tests.e2e import canary
from tests.integration.decision.feeding import until

WORD = "planted-in-a-dead-row-7f3a"
# What a server of one's own may have: prepared transactions, logical slots, an archive. Nothing that the server does by itself holds rows
# beside what a test has hold them: where nobody waits, a scrub would be refused for that.
MORE = """\
max_prepared_transactions = 4
wal_level = logical
archive_mode = on
archive_command = 'true'
autovacuum = off
max_logical_replication_workers = 0
"""


class Server:
    """A server with an archive, the newest schema, and one erasure whose dead rows are still there."""

    def __init__(self, running: postgres.PostgresServer, data: Path) -> None:
        self.data = data
        self.owner_url = running.owner_url
        self.service_url = running.url
        self._running = running

    async def connect(self, url: str = "") -> Any:
        return await asyncpg.connect((url or self.owner_url).replace("+asyncpg", ""))

    async def as_admin(self, *statements: str) -> None:
        admin = await self._running._connect("milepost")
        for statement in statements:
            await admin.execute(statement)
        await admin.close()

    async def erased(self) -> None:
        """A row that was there and was removed, as an erasure removes it."""
        connection = await self.connect()
        await connection.execute("DELETE FROM keys.erasures")
        added = "INSERT INTO event_terms VALUES ('t', 's', $1, 'a', '{}')"
        await connection.execute(added, WORD)
        await connection.execute("CHECKPOINT")
        await connection.execute("DELETE FROM event_terms")
        await connection.execute("INSERT INTO keys.erasures VALUES ('t', 'p', 0, '', now(), now(), NULL, 0)")
        await connection.close()

    async def state(self) -> str:
        connection = await self.connect()
        scrubbed = await connection.fetchval("SELECT scrubbed_at IS NOT NULL FROM keys.erasures")
        await connection.close()
        return "scrubbed" if scrubbed else "erased"

    def holds(self) -> bool:
        return bool(canary.seen(self.data, (WORD,)))


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Server]:
    # Not pytest's own directory: as root, PostgreSQL runs as a user who cannot pass through that.
    home = Path(tempfile.mkdtemp(prefix="milepost-test-"))
    os.chmod(home, 0o711)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postgres, "_CONFIGURATION", postgres._CONFIGURATION + MORE)
        (home / "logs").mkdir()
        running = postgres.PostgresServer(home, own_secrets(home))
        try:
            await running.start()
            await db.migrate(
                Settings(database_url=running.url, owner_database_url=running.owner_url, eraser_database_url=running.eraser_url)
            )
            yield Server(running, home / "postgres")
        finally:
            await running.stop()
            shutil.rmtree(home)


Let = Callable[[], Awaitable[None]]


async def snapshot(server: Server) -> tuple[str, Let]:
    connection = await server.connect()
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    await connection.fetchval("SELECT count(*) FROM event_terms")
    return f"process {connection.get_server_pid()} (milepost_owner", connection.close


async def writer(server: Server) -> tuple[str, Let]:
    """Of the services' role: it wrote something long ago, and has no snapshot now."""
    connection = await server.connect(server.service_url)
    await connection.execute("BEGIN; SELECT pg_current_xact_id()")
    return f"process {connection.get_server_pid()} (milepost_service", connection.close


async def prepared(server: Server) -> tuple[str, Let]:
    connection = await server.connect()
    await connection.execute("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'left-behind'")

    async def end() -> None:
        await connection.execute("ROLLBACK PREPARED 'left-behind'")
        await connection.close()

    return "ROLLBACK PREPARED 'left-behind'", end


async def logical_slot(server: Server) -> tuple[str, Let]:
    await server.as_admin("SELECT pg_create_logical_replication_slot('reads', 'pgoutput')")
    return "replication slot 'reads' (logical, not in use", lambda: server.as_admin("SELECT pg_drop_replication_slot('reads')")


async def physical_slot(server: Server) -> tuple[str, Let]:
    await server.as_admin("SELECT pg_create_physical_replication_slot('copies', true)")
    return "pg_drop_replication_slot('copies')", lambda: server.as_admin("SELECT pg_drop_replication_slot('copies')")


async def kept_segments(server: Server) -> tuple[str, Let]:
    await server.as_admin("ALTER SYSTEM SET wal_keep_size = '64MB'", "SELECT pg_reload_conf()")
    return "set wal_keep_size = 0", lambda: server.as_admin("ALTER SYSTEM RESET wal_keep_size", "SELECT pg_reload_conf()")


async def archive_that_fails(server: Server) -> tuple[str, Let]:
    await server.as_admin("ALTER SYSTEM SET archive_command = 'false'", "SELECT pg_reload_conf()")

    async def told() -> bool:
        """A process forked now knows the command, so the archiver was told to read it before its next segment."""
        connection = await server.connect()
        command = await connection.fetchval("SELECT current_setting('archive_command')")
        await connection.close()
        return bool(command == "false")

    async def failed() -> bool:
        connection = await server.connect()
        failures = await connection.fetchval("SELECT failed_count FROM pg_stat_archiver")
        await connection.close()
        return bool(failures)

    # A switch that came first would be archived by the old command, and no other segment would be tried.
    await until(told)
    await server.as_admin("SELECT pg_switch_wal()")
    await until(failed)
    return "mend archive_command", lambda: server.as_admin("ALTER SYSTEM RESET archive_command", "SELECT pg_reload_conf()")


HOLDERS = {one.__name__: one for one in (snapshot, writer, prepared, logical_slot, physical_slot, kept_segments, archive_that_fails)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HOLDERS)
async def test_what_holds_old_bytes_is_named_and_nothing_is_called_scrubbed(server: Server, name: str):
    since = datetime.now(UTC)
    words, let = await HOLDERS[name](server)
    try:
        await server.erased()
        with pytest.raises(NotScrubbed) as refused:
            await scrub(server.owner_url, wait_s=0)
        assert words in str(refused.value)
        # Midnight may have passed.
        days = [f"open since {day:%Y-%m-%d}" for day in (since, datetime.now(UTC))]
        assert name not in ("snapshot", "writer", "prepared") or any(day in str(refused.value) for day in days)
        assert await server.state() == "erased" and server.holds()
    finally:
        await let()


@pytest.mark.timeout(120)
async def test_what_ends_in_time_is_waited_for_and_then_no_byte_is_left(server: Server):
    words, let = await snapshot(server)
    await server.erased()
    heard: list[str] = []

    async def waiting() -> bool:
        return bool(heard)

    task = asyncio.ensure_future(scrub(server.owner_url, tell=heard.append))
    await until(waiting)
    assert words in heard[0] and not task.done()
    await let()
    done = await task
    assert done is not None
    assert (done.erasures, await server.state(), server.holds()) == (1, "scrubbed", False)
    assert len(done.outside) == 1 and "archived segments and base backups from before" in done.outside[0], "and how far they reach"


@pytest.mark.timeout(120)
async def test_where_every_erasure_was_scrubbed_a_schedule_rewrites_nothing(server: Server, monkeypatch: pytest.MonkeyPatch):
    await server.erased()
    assert await scrub(server.owner_url, if_needed=True) is not None and await server.state() == "scrubbed"
    monkeypatch.setattr(scrubbing, "_rewrite", None)
    assert await scrub(server.owner_url, if_needed=True) is None


@pytest.mark.timeout(120)
async def test_a_slot_that_comes_while_tables_are_rewritten_is_found_behind_them(server: Server, monkeypatch: pytest.MonkeyPatch):
    """It may keep rows and log from before it, so what was rewritten beside it does not count."""
    await server.erased()
    words: list[str] = []

    async def rewritten(_: Any) -> None:
        words.append((await physical_slot(server))[0])

    monkeypatch.setattr(scrubbing, "_rewrite", rewritten)
    try:
        with pytest.raises(NotScrubbed, match="replication slot 'copies'"):
            await scrub(server.owner_url, wait_s=0)
        assert await server.state() == "erased"
    finally:
        await server.as_admin("SELECT pg_drop_replication_slot('copies')")


@pytest.mark.timeout(120)
async def test_who_was_to_be_erased_again_meanwhile_is_not_called_scrubbed(server: Server, monkeypatch: pytest.MonkeyPatch):
    await server.erased()

    async def rewritten(connection: Any) -> None:
        await connection.execute("UPDATE keys.erasures SET erased_at = NULL")

    monkeypatch.setattr(scrubbing, "_rewrite", rewritten)
    await scrub(server.owner_url)
    assert await server.state() == "erased"

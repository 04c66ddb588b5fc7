"""One pair of real servers for the whole session; a fresh schema and fresh streams for each module that asks."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.embedded import EmbeddedServers
from shared import db
from shared.bus import Bus
from shared.bus.streams import STREAMS
from shared.settings import Settings
from tests.integration.ports import free_ports
from tests.integration.streams import cleared


@pytest.fixture
def unused_tcp_port() -> int:
    """In place of pytest-asyncio's, which is of the range for outgoing connections."""
    return free_ports(1)[0]


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[EmbeddedServers]:
    # Not pytest's own directory: as root, PostgreSQL runs as a user who cannot pass through that.
    home = tempfile.mkdtemp(prefix="milepost-test-")
    os.chmod(home, 0o711)
    try:
        async with EmbeddedServers(Path(home, "data")) as running:
            yield running
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def server_settings(servers: EmbeddedServers) -> Settings:
    """Settings that reach the servers; nothing is prepared on them."""
    named = {name.removeprefix("MILEPOST_").lower(): value for name, value in servers.settings().items()}
    return Settings.model_validate(named)


@pytest.fixture(scope="module")
async def owner(server_settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The role that owns the schema."""
    engine = create_async_engine(server_settings.owner_database_url)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module")
async def empty_database(server_settings: Settings, owner: AsyncEngine) -> Settings:
    """A database without a single table."""
    async with owner.begin() as conn:
        await conn.execute(text("DROP SCHEMA public CASCADE"))
        await conn.execute(text("CREATE SCHEMA public"))
        await conn.execute(text("DROP SCHEMA IF EXISTS keys CASCADE"))
    return server_settings


@pytest.fixture(scope="module")
async def settings(empty_database: Settings) -> Settings:
    """Settings of a database with the newest schema and no rows, and of a bus with the two streams and no messages."""
    await db.migrate(empty_database)
    bus = await Bus.connect(empty_database.model_copy(update={"nats_url": empty_database.owner_nats_url}))
    for stream in STREAMS:
        await bus.api(f"STREAM.DELETE.{stream.name}", missing=10059)
    await cleared(bus.ensure_streams)
    await bus.close()
    return empty_database


@pytest.fixture(scope="module")
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The database as the services see it."""
    engine = db.engine(settings)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module")
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    bus = await Bus.connect(settings)
    yield bus
    await bus.close()


@pytest.fixture(scope="module")
async def owning_bus(settings: Settings) -> AsyncIterator[Bus]:
    """The bus under the credential that may change streams."""
    bus = await Bus.connect(settings.model_copy(update={"nats_url": settings.owner_nats_url}))
    yield bus
    await bus.close()

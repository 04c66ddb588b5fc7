"""A driver connection out of the pool: array parameters and command tags need asyncpg itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeAlias, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.keyed import connection_class
from shared.settings import Settings
from shared.tenancy import see_only

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def borrowed(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection for the length of the block, outside any transaction: each statement commits by itself unless the block begins one.

    A block that is cut off in the middle costs the connection: the pool does not see transactions begun below it, and one that stays
    open in the pool would hold its locks for ever.
    """
    async with engine.connect() as session:
        connection = cast(Connection, (await session.get_raw_connection()).driver_connection)
        try:
            yield connection
        except Exception:
            if connection.is_closed() or connection.is_in_transaction():
                await session.invalidate()
            raise
        except BaseException:
            await session.invalidate()
            raise


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[None]:
    """What is read inside stands as it was at the first statement: rows and the keys that open them belong together, whoever is erased."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield


@asynccontextmanager
async def bound(engine: AsyncEngine, tenant: str) -> AsyncIterator[Connection]:
    """A connection for the length of the block to which other tenants' rows do not exist, and the tenant's stand as in `snapshot`."""
    async with borrowed(engine) as connection, snapshot(connection):
        await see_only(connection, tenant)
        yield connection


class Database(NamedTuple):
    """Where history is, for a process of its own: the address as the bare driver takes it, and the secret that opens athletes' keys."""

    url: str
    secret: bytes

    @classmethod
    def of(cls, settings: Settings) -> "Database":
        return cls(settings.database_url.replace("postgresql+asyncpg://", "postgresql://", 1), settings.secret_key_bytes)

    async def connect(self) -> Connection:
        """A connection of the caller's own. Raises what the driver raises while the database does not answer."""
        return cast(Connection, await asyncpg.connect(self.url, timeout=10, connection_class=connection_class(self.secret)))


def touched(tag: str) -> int:
    """How many rows a command touched, read from its tag (`UPDATE 3`, `INSERT 0 3`)."""
    return int(tag.rsplit(" ", 1)[-1])

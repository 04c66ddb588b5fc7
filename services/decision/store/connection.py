"""A driver connection out of the pool: array parameters and command tags need asyncpg itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def borrowed(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection for the length of the block, outside any transaction: each statement commits by itself unless the block begins one."""
    async with engine.connect() as session:
        yield cast(Connection, (await session.get_raw_connection()).driver_connection)


def touched(tag: str) -> int:
    """How many rows a command touched, read from its tag (`UPDATE 3`, `INSERT 0 3`)."""
    return int(tag.rsplit(" ", 1)[-1])

"""Transactions on the driver's own connection: batches travel as arrays, which SQLAlchemy would take apart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    async with engine.connect() as session:
        driver = cast(Connection, (await session.get_raw_connection()).driver_connection)
        async with driver.transaction():
            yield driver


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection for single statements that only read; none begins a transaction."""
    async with engine.connect() as session:
        yield cast(Connection, (await session.get_raw_connection()).driver_connection)

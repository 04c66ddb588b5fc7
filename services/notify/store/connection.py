"""Transactions on the driver's own connection: batches travel as arrays, which SQLAlchemy would take apart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.crash import point

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection for single statements that only read; none begins a transaction.

    A block that is cut off in the middle costs the connection: the pool does not see transactions begun below it, and one that stays
    open in the pool would hold its locks, and with them everybody, for ever.
    """
    async with engine.connect() as session:
        driver = cast(Connection, (await session.get_raw_connection()).driver_connection)
        try:
            yield driver
        except Exception:
            if driver.is_closed() or driver.is_in_transaction():
                await session.invalidate()
            raise
        except BaseException:
            await session.invalidate()
            raise


@asynccontextmanager
async def transaction(engine: AsyncEngine, points: int | None = None) -> AsyncIterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises.

    `points` is the first of the three points of `shared.crash` that it passes: before it, before its COMMIT, and after.
    """

    def passes(number: int) -> None:
        if points is not None:
            point(points + number)

    passes(0)
    async with reading(engine) as driver:
        async with driver.transaction():
            yield driver
            passes(1)
        passes(2)

"""Transactions on the driver's own connection: batches travel as arrays, which SQLAlchemy would take apart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeAlias, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.crash import point
from shared.tenancy import see_only

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
    _pass(points, 0)
    async with reading(engine) as driver:
        async with _committed(driver, points):
            yield driver
        _pass(points, 2)


@asynccontextmanager
async def _committed(driver: Connection, points: int | None) -> AsyncIterator[None]:
    async with driver.transaction():
        yield
        _pass(points, 1)


def _pass(points: int | None, number: int) -> None:
    if points is not None:
        point(points + number)


@asynccontextmanager
async def bound(engine: AsyncEngine, tenant: str) -> AsyncIterator[Connection]:
    """A connection for the length of the block to which other tenants' rows do not exist; the tenant's stand as when it began."""
    async with reading(engine) as driver, driver.transaction(isolation="repeatable_read", readonly=True):
        await see_only(driver, tenant)
        yield driver


class Own:
    """A connection of one task's own: nothing has to be asked before each use whether it is still good.

    `async with Own(engine) as database`, or `close` it; one use at a time. Made when it is first used, and anew after a fault.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._session: AsyncConnection | None = None
        self._driver: Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Gives it back; it may be used again."""
        session, self._session, self._driver = self._session, None, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """For single statements; a block that is cut off costs the connection."""
        if self._session is not None and (self._driver is None or self._driver.is_closed()):
            await self._forget(self._session)
        if self._session is None or self._driver is None:
            self._session = await self._engine.connect()
            self._driver = cast(Connection, (await self._session.get_raw_connection()).driver_connection)
        try:
            yield self._driver
        except BaseException:
            await self._forget(self._session)
            raise

    @asynccontextmanager
    async def transaction(self, points: int | None = None) -> AsyncIterator[Connection]:
        """One transaction, as the function of this name."""
        _pass(points, 0)
        async with self.reading() as driver:
            async with _committed(driver, points):
                yield driver
            _pass(points, 2)

    async def _forget(self, session: AsyncConnection) -> None:
        self._session = self._driver = None
        await session.invalidate()
        await session.close()

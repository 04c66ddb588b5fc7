"""One process at a time tells and delivers: order per course would not survive two. Others stand by and take over when it is gone.

The lead is a session lock in PostgreSQL, so it ends with the process that holds it, `kill -9` included; no lease has to run out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import measures
from services.notify.store.connection import Connection
from services.notify.store.endpoints import WAKE
from shared import db
from shared.crash import point
from shared.locks import LEAD
from shared.stopping import told_to_stop

ASK_EVERY_S: Final = 1.0
HEARTBEAT_S: Final = 5.0

_log = structlog.get_logger("milepost.notify.lead")


class LeadLost(Exception):
    """The connection that held the lead is gone; somebody else may hold it now."""


async def lead(database: AsyncEngine, work: Callable[[], Awaitable[None]], woken: Callable[[str], None]) -> None:
    """Waits for the lead, then does `work` while it lasts; `woken` is called with what is notified on `WAKE`. Raises `LeadLost`."""
    async with database.connect() as session:
        driver = cast(Connection, (await session.get_raw_connection()).driver_connection)
        try:
            while True:
                if told_to_stop():
                    raise asyncio.CancelledError
                # A waiting `pg_advisory_lock` would be ended by the statement limit; so it is asked for.
                point(35)
                if await driver.fetchval("SELECT pg_try_advisory_lock($1)", LEAD):
                    point(36)
                    break
                await asyncio.sleep(ASK_EVERY_S)
            _log.info("this process tells and delivers")
            measures.LEADING.set(1)
            await driver.add_listener(WAKE, lambda *heard: woken(str(heard[3])))
            await _while_held(driver, work)
        finally:
            measures.LEADING.set(0)
            # Never back into the pool: a lock or a listener must not outlive this block.
            point(37)
            await session.invalidate()
            point(38)


async def _while_held(driver: Connection, work: Callable[[], Awaitable[None]]) -> None:
    lost = asyncio.get_running_loop().create_future()

    def ended(_: Any) -> None:
        if not lost.done():
            lost.set_result(None)

    driver.add_termination_listener(ended)
    tasks = {asyncio.ensure_future(work()), asyncio.create_task(_heartbeat(driver), name="lead heartbeat")}
    try:
        done, _ = await asyncio.wait({lost, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {lost}:
            task.result()
        raise LeadLost("the connection that held the lead is gone")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lost.cancel()


async def _heartbeat(driver: Connection) -> None:
    """Ends when the server does not answer any more: a broken network may never say so."""
    try:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await driver.fetchval("SELECT 1", timeout=HEARTBEAT_S)
    except db.FAULTS as fault:
        raise LeadLost("the server that holds the lead does not answer") from fault

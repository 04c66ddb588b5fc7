"""Says when notices were added, to every live stream of this process by one question to the database.

Another process may be the one that tells; so the database is asked, a few times a second and only while somebody listens.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify.store import notices
from services.notify.store.connection import reading
from shared import db
from shared.stopping import told_to_stop

LOOK_EVERY_S: Final = 0.25

_log = structlog.get_logger("milepost.notify.watch")


class Watch:
    """`async with watch.listening() as news`: `await news.wait()` returns when there may be something new; clear it before looking."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._listening: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Event]:
        news = asyncio.Event()
        self._listening.add(news)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="watch")
        try:
            yield news
        finally:
            self._listening.discard(news)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        seen = -1
        while self._listening and not told_to_stop():
            try:
                async with reading(self._database) as connection:
                    latest = await notices.latest(connection)
            except db.FAULTS as fault:
                # Those who listen are told by their own look, which follows.
                _log.warning("notices cannot be looked up", error=type(fault).__name__)
                latest = seen + 1
            if latest != seen:
                seen = latest
                for news in self._listening:
                    news.set()
            await asyncio.sleep(LOOK_EVERY_S)

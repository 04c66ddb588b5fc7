"""Tells what waited, once a course's window has ended."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify.consume import count, tellings_of
from services.notify.notices import release
from services.notify.store import courses, escalations, telling
from services.notify.store.connection import reading, transaction
from services.notify.store.telling import Kept
from shared.stopping import told_to_stop

RELEASED_TOGETHER: Final = 500


class Coalescer:
    """`wake` it when a course has begun to wait; `kept` is called after each commit. What waits is in the store and survives a restart."""

    def __init__(self, database: AsyncEngine, clock: Callable[[], datetime], kept: Callable[[Kept], None]) -> None:
        self._database = database
        self._clock = clock
        self._kept = kept
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A course has begun to wait."""
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled. Raises what the store raises when it cannot be asked."""
        while not told_to_stop():
            self._wake.clear()
            while await self.release_due() == RELEASED_TOGETHER:
                pass
            async with reading(self._database) as connection:
                end = await courses.next_window_end(connection)
            wait_s = max(0.0, (end - self._clock()).total_seconds()) if end is not None else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def release_due(self) -> int:
        """Tells up to 500 courses whose window has ended; returns how many."""
        now = self._clock()
        async with transaction(self._database, points=21) as connection:
            due = await courses.due(connection, now, RELEASED_TOGETHER)
            released = {key: release(course, now) for key, course in due.items()}
            tellings = [made for (tenant, _), (_, notices) in released.items() for made in tellings_of(tenant, notices)]
            await courses.save(connection, {key: course for key, (course, _) in released.items()})
            kept = await telling.keep(connection, tellings, now)
            await escalations.open_for(connection, kept.tellings, now)
        count(kept)
        self._kept(kept)
        return len(due)

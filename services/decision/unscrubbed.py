"""Tells of erasures that were carried out and not scrubbed in time: a scrub locks tables, so a person or a schedule of theirs runs it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.store import erasures
from services.decision.store.connection import borrowed
from shared.stopping import told_to_stop

EVERY_S: Final = 60.0
SAY_AGAIN: Final = timedelta(days=1)

_log = structlog.get_logger("milepost.decision")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Unscrubbed:
    """Keeps two gauges up to date, and warns once a day at most while the first erasure has waited for longer than `within`."""

    def __init__(self, engine: AsyncEngine, within: timedelta, now: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._within = within
        self._now = now
        self._said: datetime | None = None

    async def run(self) -> None:
        """Until cancelled, once a minute."""
        while not told_to_stop():
            try:
                await self.look()
            except Exception as fault:
                _log.warning("erasures that were not scrubbed could not be counted", exc_info=fault)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Once. Raises what the database raises."""
        async with borrowed(self._engine) as connection:
            number, since = await erasures.unscrubbed(connection)
        now = self._now()
        age = timedelta() if since is None else max(now - since, timedelta())
        measures.UNSCRUBBED.set(number)
        measures.UNSCRUBBED_AGE.set(age.total_seconds())
        if age > self._within and (self._said is None or now - self._said >= SAY_AGAIN):
            self._said = now
            why = f"the first was carried out {age.days} days ago, and {self._within.total_seconds() / 86_400:g} days are the limit"
            _log.warning("old bytes of erased athletes may still be on the disk: run `milepost erasures scrub`", count=number, reason=why)

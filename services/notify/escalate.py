"""Says again what nobody took up in time: a referral until a person acknowledges it, a recommendation until a clinician answers it."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import measures
from services.notify.consume import count
from services.notify.notices import REFERRED, UNANSWERED, Context, Notice
from services.notify.store import escalations, telling
from services.notify.store.connection import reading, transaction
from services.notify.store.escalations import REFERRAL, Escalation
from services.notify.store.telling import Kept, Telling
from shared.stopping import told_to_stop

SAID_TOGETHER: Final = 100
LOOK_EVERY_S: Final = 5.0
"""Something may have been opened by another process, or a policy may have changed."""


class Escalator:
    """Works until cancelled; `kept` is called after each commit. What waits is in the store and survives a restart."""

    def __init__(self, database: AsyncEngine, clock: Callable[[], datetime], kept: Callable[[Kept], None]) -> None:
        self._database = database
        self._clock = clock
        self._kept = kept

    async def run(self) -> None:
        """Raises what the store raises when it cannot be asked."""
        while not told_to_stop():
            while await self.say_due() == SAID_TOGETHER:
                pass
            async with reading(self._database) as connection:
                following = await escalations.next_due(connection)
            wait_s = (following - self._clock()).total_seconds() if following is not None else LOOK_EVERY_S
            await asyncio.sleep(min(max(wait_s, 0.05), LOOK_EVERY_S))

    async def say_due(self) -> int:
        """Says up to 100 again; returns how many."""
        now = self._clock()
        async with transaction(self._database, points=24) as connection:
            await telling.in_line(connection)
            due = await escalations.due(connection, now, SAID_TOGETHER)
            if not due:
                return 0
            kept = await telling.keep(connection, [_again(one, now) for one in due], now)
            await escalations.said_again(connection, due, now)
        for one in due:
            measures.ESCALATED.labels(one.kind).inc()
        count(kept)
        self._kept(kept)
        return len(due)


def _again(one: Escalation, now: datetime) -> Telling:
    record, step = orjson.loads(one.said), one.step + 1
    context = Context(record.get("zone"), tuple(record.get("terms") or ()))
    notice = Notice(
        REFERRED if one.kind == REFERRAL else UNANSWERED,
        None,
        one.athlete,
        record["body"],
        one.course,
        context=context,
        urgent=True,
        escalation=step,
    )
    return Telling(one.tenant, notice, now.isoformat(), f"{one.notice} {step}")

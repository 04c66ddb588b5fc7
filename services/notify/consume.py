"""Reads DECISIONS in order and keeps what is to be told: one transaction per fetched batch, acknowledged only once committed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import measures, messages
from services.notify.messages import DECISION, Message, Unreadable
from services.notify.notices import REPORT_DUE, Context, Course, Notice, consider
from services.notify.store import courses, escalations, progress, taking, telling
from services.notify.store.connection import Own
from services.notify.store.courses import CourseKey
from services.notify.store.telling import Kept, Telling
from shared.bus import DECISIONS, Bus, Delivered
from shared.settings import Settings
from shared.stopping import told_to_stop

CONSUMER: Final = "notify"
SUBJECTS: Final = ("dec.*.*",)
FETCHED_TOGETHER: Final = 256
WAIT_S: Final = 2.0
_NO_CONSUMER: Final = 10014

_log = structlog.get_logger("milepost.notify.consume")


class Consumer:
    """The one reader of DECISIONS. `kept` is called after each commit with what came of it, `waits` when a course has begun to wait."""

    def __init__(
        self,
        database: AsyncEngine,
        bus: Bus,
        settings: Settings,
        clock: Callable[[], datetime],
        kept: Callable[[Kept], None],
        waits: Callable[[], None],
    ) -> None:
        self._store = Own(database)
        self._bus = bus
        self._window_s = settings.notice_coalesce_s
        self._clock = clock
        self._kept = kept
        self._waits = waits

    async def run(self) -> None:
        """Reads until cancelled. A fault ends it: begun anew, it reads again what was not acknowledged."""
        try:
            start = await self._told() + 1
            # Never read ahead of what is told: a consumer made anew begins behind what was handed out, and counts that as confirmed.
            consumer = await self._bus.pull_consumer(DECISIONS, CONSUMER, SUBJECTS, start, FETCHED_TOGETHER)
            try:
                while not told_to_stop():
                    batch = await consumer.fetch(FETCHED_TOGETHER, WAIT_S)
                    if batch:
                        await self.tell(_readable(batch), batch[-1].stream_seq)
                        await consumer.ack_all(batch[-1])
            finally:
                await consumer.close()
        finally:
            await self.close()

    async def close(self) -> None:
        """Gives its connection back; it may be used again."""
        await self._store.close()

    async def tell(self, batch: Sequence[Message], read_to: int | None = None) -> None:
        """Takes messages in order; those taken before change nothing, and those of athletes who were erased meanwhile are passed over.

        `read_to`: the stream sequence up to which everything is told once this is committed.
        """
        now = self._clock()
        async with self._store.transaction(points=18) as connection:
            decided = {(message.tenant, message.body["course"]) for message in batch if message.kind == DECISION}
            known = await courses.of(connection, decided)
            gone = await progress.note(connection, read_to, {(message.tenant, message.pseudonym) for message in batch})
            if gone:
                batch = [message for message in batch if (message.tenant, message.pseudonym) not in gone]
            terms = await courses.terms(connection, {(message.tenant, message.athlete) for message in batch})
            changed: dict[CourseKey, Course] = {}
            newest: dict[CourseKey, Mapping[str, Any]] = {}
            tellings: list[Telling] = []
            for message in batch:
                if message.kind == DECISION:
                    key = (message.tenant, str(message.body["course"]))
                    before = changed.get(key) or known.get(key) or Course()
                    context = message.context(terms.get((message.tenant, message.athlete), {}))
                    after, notices = consider(before, message.body, message.outbox, message.athlete, now, self._window_s, context)
                    if after is not before:
                        changed[key], newest[key] = after, message.body
                    tellings += tellings_of(message.tenant, notices)
                else:
                    context = message.context(terms.get((message.tenant, message.athlete), {}))
                    tellings.append(passed_on(message, context, now))
            # Only by decisions that are new here: one that is read again is older than what stands open.
            over = escalations.over(newest)
            if changed:
                await taking.take(connection, changed, over)
            kept = await telling.keep(connection, tellings, now, waited=bool(changed))
            await escalations.open_for(connection, kept.tellings, now, over)
        count(kept)
        self._kept(kept)
        if any(course.waiting is not None for course in changed.values()):
            self._waits()

    async def _told(self) -> int:
        """How far everything is told. Nothing is lost when bus or database forgot: what is read again changes nothing.

        What the bus says is no more than an upper limit: deleting a message of the erased confirms all that was handed out before it.
        """
        found: Any = await self._bus.api(f"CONSUMER.INFO.{DECISIONS}.{CONSUMER}", missing=_NO_CONSUMER)
        if found is None:
            return 0
        confirmed = int(found["ack_floor"]["stream_seq"])
        async with self._store.reading() as connection:
            told = await progress.read_to(connection)
            begin = confirmed if told is None else min(confirmed, told)
            await progress.note(connection, begin, (), begins=True)
        return begin


def tellings_of(tenant: str, notices: Iterable[Notice]) -> list[Telling]:
    """Notices made from decisions, each with the moment its decision was made known."""
    return [Telling(tenant, notice, str(notice.body["as_at"]), notice.outbox or 0) for notice in notices]


def count(kept: Kept) -> None:
    """Counts what was kept."""
    for kept_telling in kept.tellings:
        measures.NOTICES.labels(kept_telling.notice.type).inc()
    if kept.blocked:
        measures.BLOCKED.inc(kept.blocked)
        measures.DELIVERIES.labels("blocked").inc(kept.blocked)
    if kept.unsubscribed:
        measures.UNSUBSCRIBED.inc(kept.unsubscribed)
    if kept.cancelled:
        measures.DELIVERIES.labels("cancelled").inc(kept.cancelled)


def passed_on(message: Message, context: Context, now: datetime) -> Telling:
    """The telling of a message that is told as it is."""
    notice = Notice(message.kind, message.outbox, message.athlete, message.body, message.course, context=context)
    # One report may be missing from several courses of the athlete: it is asked for once.
    origin = f"report {message.athlete} {message.body['at']}" if message.kind == REPORT_DUE else message.outbox
    # The row itself names no moment; the first reading counts, and is kept with the notice.
    return Telling(message.tenant, notice, now.isoformat(), origin)


def _readable(batch: Sequence[Delivered]) -> list[Message]:
    found = []
    for delivered in batch:
        try:
            found.append(messages.read(delivered.data, delivered.subject))
        except Unreadable as fault:
            # Waiting would not mend it, and everybody behind it would wait too.
            measures.UNREADABLE.inc()
            _log.error("a message cannot be read and is passed over", stream_seq=delivered.stream_seq, reason=str(fault))
    return found

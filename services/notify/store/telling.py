"""Notices with their deliveries, and the older deliveries that a newer notice replaces."""

import base64
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson

from services.notify.notices import REFUSED, REMINDERS, Notice, notice_id, replaced_types
from services.notify.payloads import is_urgent, record_of
from services.notify.quiet import held_until
from services.notify.release import Blocked, judged
from services.notify.store import subscribers
from services.notify.store.connection import Connection
from services.notify.store.subscribers import Subscriber
from shared.locks import POSITIONS

_NAMES: Final = uuid.UUID("0d7a5a4e-6a3c-5f7d-8f0e-54b0f3f7c1a2")

_ADD_DELIVERIES: Final = """
INSERT INTO deliveries (id, tenant, endpoint, notice, course, state, because, tries, next_at, created_at, done_at)
SELECT d.id, d.tenant, d.endpoint, d.notice, d.course, CASE WHEN d.because IS NULL THEN 'pending' ELSE 'blocked' END, d.because, 0,
    CASE WHEN d.because IS NULL THEN d.due END, d.made, CASE WHEN d.because IS NULL THEN NULL ELSE d.made END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
    AS d(id, tenant, endpoint, notice, course, because, due, made)
"""

# One question for both: of a notice that was kept before, nothing new is to be delivered.
_ADD: Final = f"""
WITH added AS (
    INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, planned, created_at)
    SELECT n.id, n.outbox, n.tenant, n.athlete, n.course, n.seq, n.type, n.body, n.planned, $18
    FROM unnest($9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::bigint[], $15::text[], $16::bytea[], $17::int[])
        WITH ORDINALITY AS n(id, outbox, tenant, athlete, course, seq, type, body, planned, place) ORDER BY n.place
    ON CONFLICT DO NOTHING RETURNING id
), made AS (
    {_ADD_DELIVERIES} JOIN added AS a ON a.id = d.notice ON CONFLICT DO NOTHING
)
SELECT id FROM added
"""

# What quiet hours hold back goes before what they do not: the order of a course stays.
_BRING_FORWARD: Final = """
UPDATE deliveries d SET next_at = $3 FROM unnest($1::text[], $2::text[]) AS u(endpoint, course)
WHERE d.endpoint = u.endpoint AND d.course = u.course AND d.state = 'pending' AND d.tries = 0 AND d.next_at > $3
"""

# By what is pending of the course, whose index is asked for each notice (OFFSET 0 keeps the planner from joining all with all): an endpoint
# that was away for long has much waiting.
_CANCEL_OLDER: Final = """
UPDATE deliveries d SET state = 'cancelled', because = 'newer notice ' || w.newer, next_at = NULL, done_at = $7
FROM (
    SELECT older.id, m.notice AS newer
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
        AS m(tenant, course, endpoint, notice, outbox, replaces)
    CROSS JOIN LATERAL (
        SELECT p.id FROM deliveries p JOIN notices o ON o.id = p.notice
        WHERE p.endpoint = m.endpoint AND p.course = m.course AND p.tenant = m.tenant AND p.state = 'pending'
            AND o.outbox < m.outbox AND o.type = ANY(string_to_array(m.replaces, ','))
        OFFSET 0
    ) older
) w
WHERE d.id = w.id AND d.state = 'pending'
"""


@dataclass(frozen=True)
class Telling:
    """A notice of a tenant; `timestamp` is the RFC 3339 text its payload carries, `origin` what its id is made from."""

    tenant: str
    notice: Notice
    timestamp: str
    origin: int | str

    @cached_property
    def id(self) -> str:
        return notice_id(self.tenant, self.origin, self.notice.type)

    @cached_property
    def record(self) -> dict[str, Any]:
        return record_of(self.notice, self.timestamp)

    @cached_property
    def stored(self) -> bytes:
        return orjson.dumps(self.record)

    @property
    def ordered_under(self) -> str | None:
        """The course whose order the delivery keeps. A refused event says nothing about a course's state, and what is said again because
        nobody took it up waits for nothing, nor does a reminder."""
        unordered = self.notice.type in REMINDERS | {REFUSED} or self.notice.outbox is None
        return None if unordered else self.notice.course


class NewDelivery(NamedTuple):
    """A delivery to be; `because` blocks it, `due` is when it may leave (None: now)."""

    tenant: str
    endpoint: str
    notice: str
    course: str | None
    because: str | None = None
    due: datetime | None = None


class Kept(NamedTuple):
    """What came of keeping notices: those newly kept, the endpoints with something new, when the first of that is due that is held back,
    how many older deliveries were cancelled, how many were blocked, how many notices concerned nobody.
    """

    tellings: list[Telling]
    endpoints: set[str]
    held: dict[str, datetime]
    cancelled: int
    blocked: int
    unsubscribed: int


async def in_line(connection: Connection) -> None:
    """Waits until no other transaction adds notices. One that also locks endpoints calls it first, or two could wait for each other."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", POSITIONS)


async def keep(connection: Connection, tellings: Sequence[Telling], now: datetime, waited: bool = False) -> Kept:
    """Keeps notices and what is to be delivered of them, and cancels what they replace. `waited`: the transaction has its place in line.

    A notice kept before (the same outbox row and type) is left as it is. A notice that nobody subscribes to is kept all the same, and says
    so; a delivery that the release policy or a source's terms forbid is kept as blocked, with the reason.
    """
    if not tellings:
        return Kept([], set(), {}, 0, 0, 0)
    if not waited:
        await in_line(connection)
    # A question of its own: it has to see what was committed while this transaction stood in line.
    subscribed = await subscribers.of(connection, {telling.tenant for telling in tellings})
    planned = [(telling, _planned(telling, subscribed.get(telling.tenant, ()), now)) for telling in tellings]
    fresh = await _add(connection, planned, now)
    planned = [(telling, deliveries) for telling, deliveries in planned if telling.id in fresh]
    open_ = [(telling, delivery) for telling, deliveries in planned for delivery in deliveries if delivery.because is None]
    urgent = {(delivery.endpoint, delivery.course) for telling, delivery in open_ if delivery.course and is_urgent(telling.record)}
    if urgent:
        await connection.execute(_BRING_FORWARD, *(list(column) for column in zip(*sorted(urgent), strict=True)), now)
    held: dict[str, datetime] = {}
    for _, delivery in open_:
        if delivery.due is not None:
            held[delivery.endpoint] = min(held.get(delivery.endpoint, delivery.due), delivery.due)
    return Kept(
        [telling for telling, _ in planned],
        {delivery.endpoint for _, delivery in open_ if delivery.due is None},
        held,
        await _cancel_older(connection, open_, now),
        sum(delivery.because is not None for _, deliveries in planned for delivery in deliveries),
        sum(not deliveries for _, deliveries in planned),
    )


async def tell_one(connection: Connection, telling: Telling, endpoint: str, now: datetime) -> str:
    """Keeps a notice for one endpoint only, whatever it chose; returns its delivery."""
    delivery = NewDelivery(telling.tenant, endpoint, telling.id, None)
    await _add(connection, [(telling, [delivery])], now)
    return delivery_id(endpoint, telling.id)


async def _cancel_older(connection: Connection, planned: Sequence[tuple[Telling, NewDelivery]], now: datetime) -> int:
    replacing = [
        (telling.tenant, telling.notice.course, delivery.endpoint, telling.id, telling.notice.outbox, ",".join(sorted(replaces)))
        for telling, delivery in planned
        if (replaces := replaced_types(telling.notice.type, telling.notice.body.get("urgency")))
    ]
    if not replacing:
        return 0
    tag = await connection.execute(_CANCEL_OLDER, *(list(column) for column in zip(*replacing, strict=True)), now)
    return int(tag.rsplit(" ", 1)[-1])


def _planned(telling: Telling, subscribed: Iterable[Subscriber], now: datetime) -> list[NewDelivery]:
    found = []
    for subscriber in subscribed:
        verdict = judged(subscriber.reader, telling.record)
        if verdict is None:
            continue
        because = verdict.because if isinstance(verdict, Blocked) else None
        waits = because is None and not is_urgent(telling.record)
        due = held_until(subscriber.quiet_hours, telling.notice.context.zone, now) if waits else None
        found.append(NewDelivery(telling.tenant, subscriber.id, telling.id, telling.ordered_under, because, due))
    return found


async def add_deliveries(connection: Connection, deliveries: Sequence[NewDelivery], now: datetime) -> list[str]:
    """Adds deliveries of notices that are kept; returns their ids, which follow from endpoint and notice."""
    columns = _columns(deliveries, now)
    if deliveries:
        # Of a notice that was erased meanwhile, nothing is delivered.
        await connection.execute(f"{_ADD_DELIVERIES} JOIN notices AS n ON n.id = d.notice ON CONFLICT DO NOTHING", *columns)
    return columns[0]


def _columns(deliveries: Sequence[NewDelivery], now: datetime) -> list[list[Any]]:
    # A microsecond apart and all in the past: the order they were made in is the order they fall due in.
    rows = []
    for place, delivery in enumerate(deliveries):
        before = timedelta(microseconds=len(deliveries) - place)
        id_ = delivery_id(delivery.endpoint, delivery.notice)
        rows.append((id_, *delivery[:5], (delivery.due or now) - before, now - before))
    return _turned(rows, 8)


def _turned(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in range(width)]


def delivery_id(endpoint: str, notice: str) -> str:
    """The id of the one delivery of this notice to this endpoint."""
    return "dlv_" + base64.b32encode(uuid.uuid5(_NAMES, f"{endpoint}\0{notice}").bytes).decode().rstrip("=").lower()


async def _add(connection: Connection, planned: Sequence[tuple[Telling, Sequence[NewDelivery]]], now: datetime) -> set[str]:
    rows = [
        (
            telling.id,
            telling.notice.outbox,
            telling.tenant,
            telling.notice.athlete,
            telling.notice.course,
            telling.notice.seq,
            telling.notice.type,
            telling.stored,
            len(deliveries),
        )
        for telling, deliveries in planned
    ]
    deliveries = [delivery for _, deliveries in planned for delivery in deliveries]
    added = await connection.fetch(_ADD, *_columns(deliveries, now), *_turned(rows, 9), now)
    return {row["id"] for row in added}

"""What courses were told and what waits; notices with their deliveries, and the older deliveries that a newer notice replaces."""

import base64
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg
import orjson

from services.notify.notices import REFUSED, Advice, Course, Notice, Told, Waiting, notice_id, replaced_types
from services.notify.payloads import is_told, stored
from services.notify.store.connection import Connection

CourseKey = tuple[str, str]
"""Tenant and course."""

_NAMES: Final = uuid.UUID("0d7a5a4e-6a3c-5f7d-8f0e-54b0f3f7c1a2")

_COURSE_COLUMNS: Final = "tenant, course, told, told_at, waiting, waiting_outbox, waiting_until"

_SAVE_COURSES: Final = """
INSERT INTO course_notices (tenant, course, told, told_seq, told_at, waiting, waiting_outbox, waiting_until)
SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::bigint[], $5::timestamptz[], $6::jsonb[], $7::bigint[], $8::timestamptz[])
ON CONFLICT (tenant, course) DO UPDATE SET told = excluded.told, told_seq = excluded.told_seq, told_at = excluded.told_at,
    waiting = excluded.waiting, waiting_outbox = excluded.waiting_outbox, waiting_until = excluded.waiting_until
"""

_ADD_NOTICES: Final = """
INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, created_at)
SELECT *, $9 FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::bytea[])
ON CONFLICT DO NOTHING RETURNING id
"""

_ADD_DELIVERIES: Final = """
INSERT INTO deliveries (id, tenant, endpoint, notice, course, state, tries, next_at, created_at)
SELECT d.id, d.tenant, d.endpoint, d.notice, d.course, 'pending', 0, d.at, d.at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) AS d(id, tenant, endpoint, notice, course, at)
ON CONFLICT DO NOTHING
"""

_CANCEL_OLDER: Final = """
UPDATE deliveries d SET state = 'cancelled', because = 'newer notice ' || m.notice, next_at = NULL, done_at = $7
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
    AS m(tenant, course, endpoint, notice, outbox, replaces)
JOIN notices o ON o.tenant = m.tenant AND o.course = m.course AND o.outbox < m.outbox AND o.type = ANY(string_to_array(m.replaces, ','))
WHERE d.endpoint = m.endpoint AND d.notice = o.id AND d.state = 'pending'
"""


class Subscriber(NamedTuple):
    """An endpoint in so far as it decides what is sent to it; no `types` means all."""

    id: str
    tenant: str
    types: frozenset[str]
    role: str


@dataclass(frozen=True)
class Telling:
    """A notice of a tenant; `timestamp` is the RFC 3339 text its payload carries, `origin` what its id is made from."""

    tenant: str
    notice: Notice
    timestamp: str
    origin: int | str

    @property
    def id(self) -> str:
        return notice_id(self.tenant, self.origin, self.notice.type)

    @property
    def ordered_under(self) -> str | None:
        """The course whose order the delivery keeps; a refused event says nothing about a course's state and waits for nobody."""
        return None if self.notice.type == REFUSED else self.notice.course


class Kept(NamedTuple):
    """What came of keeping notices: the types newly kept, the endpoints with something new, how many older deliveries were cancelled."""

    types: list[str]
    endpoints: set[str]
    cancelled: int


async def courses(connection: Connection, keys: Iterable[CourseKey]) -> dict[CourseKey, Course]:
    """Where telling these courses stands, locked for this transaction; a course never told is absent."""
    wanted = sorted(set(keys))
    rows = await connection.fetch(
        f"SELECT {_COURSE_COLUMNS} FROM course_notices WHERE (tenant, course) IN (SELECT * FROM unnest($1::text[], $2::text[])) "
        "ORDER BY tenant, course FOR UPDATE",
        [tenant for tenant, _ in wanted],
        [course for _, course in wanted],
    )
    return {(row["tenant"], row["course"]): _course(row) for row in rows}


async def courses_due(connection: Connection, now: datetime, limit: int) -> dict[CourseKey, Course]:
    """Up to `limit` courses whose window has ended, locked; rows that another transaction holds are left to it."""
    rows = await connection.fetch(
        f"SELECT {_COURSE_COLUMNS} FROM course_notices WHERE waiting_until <= $1 ORDER BY waiting_until LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    return {(row["tenant"], row["course"]): _course(row) for row in rows}


async def next_window_end(connection: Connection) -> datetime | None:
    """When the earliest window ends of a course that has something waiting."""
    moment: datetime | None = await connection.fetchval("SELECT min(waiting_until) FROM course_notices")
    return moment


async def save_courses(connection: Connection, changed: Mapping[CourseKey, Course]) -> None:
    """Writes where telling these courses stands now."""
    if not changed:
        return
    rows = [(*key, *_columns(course)) for key, course in sorted(changed.items())]
    await connection.execute(_SAVE_COURSES, *(list(column) for column in zip(*rows, strict=True)))


async def keep(connection: Connection, tellings: Sequence[Telling], now: datetime) -> Kept:
    """Keeps notices and what is to be delivered of them, and cancels what they replace.

    A notice kept before (the same outbox row and type) is left as it is. A notice that nobody subscribes to is kept all the same.
    """
    if not tellings:
        return Kept([], set(), 0)
    fresh = await _add_notices(connection, tellings, now)
    tellings = [telling for telling in tellings if telling.id in fresh]
    subscribers = await _subscribers(connection, {telling.tenant for telling in tellings})
    planned = [
        (telling, subscriber.id)
        for telling in tellings
        for subscriber in subscribers.get(telling.tenant, ())
        if _wants(subscriber, telling.notice)
    ]
    await add_deliveries(connection, [(telling.tenant, endpoint, telling.id, telling.ordered_under) for telling, endpoint in planned], now)
    replacing = [
        (telling.tenant, telling.notice.course, endpoint, telling.id, telling.notice.outbox, ",".join(sorted(replaces)))
        for telling, endpoint in planned
        if (replaces := replaced_types(telling.notice.type, telling.notice.body.get("urgency")))
    ]
    cancelled = 0
    if replacing:
        tag = await connection.execute(_CANCEL_OLDER, *(list(column) for column in zip(*replacing, strict=True)), now)
        cancelled = int(tag.rsplit(" ", 1)[-1])
    return Kept([telling.notice.type for telling in tellings], {endpoint for _, endpoint in planned}, cancelled)


async def add_deliveries(connection: Connection, rows: Sequence[tuple[str, str, str, str | None]], now: datetime) -> list[str]:
    """Deliveries due now, from (tenant, endpoint, notice, course); returns their ids, which follow from endpoint and notice."""
    ids = [delivery_id(endpoint, notice) for _, endpoint, notice, _ in rows]
    if rows:
        # A microsecond apart and all in the past: the order they were made in is the order they fall due in.
        moments = [now - timedelta(microseconds=len(rows) - place) for place in range(len(rows))]
        await connection.execute(_ADD_DELIVERIES, ids, *(list(column) for column in zip(*rows, strict=True)), moments)
    return ids


def delivery_id(endpoint: str, notice: str) -> str:
    """The id of the one delivery of this notice to this endpoint."""
    return "dlv_" + base64.b32encode(uuid.uuid5(_NAMES, f"{endpoint}\0{notice}").bytes).decode().rstrip("=").lower()


async def _add_notices(connection: Connection, tellings: Sequence[Telling], now: datetime) -> set[str]:
    rows = [
        (
            telling.id,
            telling.notice.outbox,
            telling.tenant,
            telling.notice.athlete,
            telling.notice.course,
            telling.notice.seq,
            telling.notice.type,
            stored(telling.notice, telling.timestamp),
        )
        for telling in tellings
    ]
    added = await connection.fetch(_ADD_NOTICES, *(list(column) for column in zip(*rows, strict=True)), now)
    return {row["id"] for row in added}


async def _subscribers(connection: Connection, tenants: set[str]) -> dict[str, list[Subscriber]]:
    # FOR SHARE: an endpoint that is being deleted or disabled settles its pending deliveries, and must see those made here.
    rows = await connection.fetch(
        "SELECT id, tenant, types, role FROM endpoints WHERE tenant = ANY($1::text[]) AND deleted_at IS NULL AND disabled_at IS NULL "
        "ORDER BY id FOR SHARE",
        sorted(tenants),
    )
    found: dict[str, list[Subscriber]] = {}
    for row in rows:
        found.setdefault(row["tenant"], []).append(Subscriber(row["id"], row["tenant"], frozenset(row["types"]), row["role"]))
    return found


def _wants(subscriber: Subscriber, notice: Notice) -> bool:
    chosen = not subscriber.types or notice.type in subscriber.types
    return chosen and is_told(subscriber.role, notice.type, notice.body, notice.audience == "coaches")


def _course(row: asyncpg.Record) -> Course:
    # SQLAlchemy's connections read JSONB into objects, and take it as text.
    told, waiting = row["told"], row["waiting"]
    return Course(
        seen=told["seen"] if told else 0,
        told=Told(Advice(**told["advice"]), told["released"], told["decision"], told["same"], told["seq"]) if told else None,
        told_at=row["told_at"],
        waiting=Waiting(orjson.loads(waiting["decision"]), row["waiting_outbox"], waiting["athlete"], waiting["supersedes"])
        if waiting
        else None,
        waiting_until=row["waiting_until"],
    )


def _columns(course: Course) -> tuple[Any, ...]:
    told, waiting = course.told, course.waiting
    told_text = waiting_text = None
    if told is not None:
        record = {"advice": told.advice._asdict(), "released": told.released, "decision": told.decision, "same": told.same, "seq": told.seq}
        told_text = orjson.dumps({**record, "seen": course.seen}).decode()
    if waiting is not None:
        # As text within the JSON: JSONB would reorder the decision's members, and what is sent keeps the order it was decided in.
        text = orjson.dumps(waiting.decision).decode()
        waiting_text = orjson.dumps({"decision": text, "athlete": waiting.athlete, "supersedes": waiting.supersedes}).decode()
    return (told_text, told and told.seq, course.told_at, waiting_text, waiting and waiting.outbox, course.waiting_until)

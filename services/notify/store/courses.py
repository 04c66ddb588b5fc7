"""What courses were told and what waits, and the terms of the sources that their decisions rest on."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from services.notify.notices import Advice, Context, Course, Told, Waiting
from services.notify.store.connection import Connection

CourseKey = tuple[str, str]
"""Tenant and course."""

_COLUMNS: Final = "tenant, course, told, told_at, waiting, waiting_outbox, waiting_until"

# Its parameters are `columns`.
SAVE: Final = """
INSERT INTO course_notices (tenant, course, told, told_seq, told_at, waiting, waiting_outbox, waiting_until)
SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::bigint[], $5::timestamptz[], $6::jsonb[], $7::bigint[], $8::timestamptz[])
ON CONFLICT (tenant, course) DO UPDATE SET told = excluded.told, told_seq = excluded.told_seq, told_at = excluded.told_at,
    waiting = excluded.waiting, waiting_outbox = excluded.waiting_outbox, waiting_until = excluded.waiting_until
"""


async def of(connection: Connection, keys: Iterable[CourseKey]) -> dict[CourseKey, Course]:
    """Where telling these courses stands, locked for this transaction; a course never told is absent."""
    wanted = sorted(set(keys))
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM course_notices WHERE (tenant, course) IN (SELECT * FROM unnest($1::text[], $2::text[])) "
        "ORDER BY tenant, course FOR UPDATE",
        [tenant for tenant, _ in wanted],
        [course for _, course in wanted],
    )
    return {(row["tenant"], row["course"]): _course(row) for row in rows}


async def due(connection: Connection, now: datetime, limit: int) -> dict[CourseKey, Course]:
    """Up to `limit` courses whose window has ended, locked; rows that another transaction holds are left to it."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM course_notices WHERE waiting_until <= $1 ORDER BY waiting_until LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    return {(row["tenant"], row["course"]): _course(row) for row in rows}


async def next_window_end(connection: Connection) -> datetime | None:
    """When the earliest window ends of a course that has something waiting."""
    moment: datetime | None = await connection.fetchval("SELECT min(waiting_until) FROM course_notices")
    return moment


async def save(connection: Connection, changed: Mapping[CourseKey, Course]) -> None:
    """Writes where telling these courses stands now."""
    if not changed:
        return
    await connection.execute(SAVE, *columns(changed))


def columns(changed: Mapping[CourseKey, Course]) -> list[list[Any]]:
    """The eight parameters of `SAVE` for at least one course."""
    rows = [(*key, *_values(course)) for key, course in sorted(changed.items())]
    return [list(column) for column in zip(*rows, strict=True)]


async def terms(connection: Connection, athletes: Iterable[CourseKey]) -> dict[CourseKey, dict[str, frozenset[str]]]:
    """Which of these athletes' events (tenant, athlete) carry terms of their source: by event id; few do."""
    wanted = sorted(set(athletes))
    rows = await connection.fetch(
        "SELECT tenant, athlete, id, terms FROM event_terms WHERE (tenant, athlete) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        [tenant for tenant, _ in wanted],
        [athlete for _, athlete in wanted],
    )
    found: dict[CourseKey, dict[str, frozenset[str]]] = {}
    for row in rows:
        known = found.setdefault((row["tenant"], row["athlete"]), {})
        # Two sources may use one id: what either asks for holds.
        known[row["id"]] = known.get(row["id"], frozenset()) | frozenset(row["terms"])
    return found


def _course(row: asyncpg.Record) -> Course:
    # SQLAlchemy's connections read JSONB into objects, and take it as text.
    told, waiting = row["told"], row["waiting"]
    return Course(
        seen=told["seen"] if told else 0,
        told=Told(Advice(**told["advice"]), told["released"], told["decision"], told["same"], told["seq"], told.get("coach_step"))
        if told
        else None,
        told_at=row["told_at"],
        waiting=Waiting(
            orjson.loads(waiting["decision"]),
            row["waiting_outbox"],
            waiting["athlete"],
            waiting["supersedes"],
            Context(waiting.get("zone"), tuple(waiting.get("terms") or ())),
        )
        if waiting
        else None,
        waiting_until=row["waiting_until"],
    )


def _values(course: Course) -> tuple[Any, ...]:
    told, waiting = course.told, course.waiting
    told_text = waiting_text = None
    if told is not None:
        record = {"advice": told.advice._asdict(), "released": told.released, "decision": told.decision, "same": told.same, "seq": told.seq}
        told_text = orjson.dumps({**record, "coach_step": told.coach_step, "seen": course.seen}).decode()
    if waiting is not None:
        # As text within the JSON: JSONB would reorder the decision's members, and what is sent keeps the order it was decided in.
        text = orjson.dumps(waiting.decision).decode()
        beside = {"zone": waiting.context.zone, "terms": waiting.context.terms}
        waiting_text = orjson.dumps({"decision": text, "athlete": waiting.athlete, "supersedes": waiting.supersedes, **beside}).decode()
    return (told_text, told and told.seq, course.told_at, waiting_text, waiting and waiting.outbox, course.waiting_until)

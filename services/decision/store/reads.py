"""What the routes read. Every query names the tenant; what belongs to another tenant is as if it were not there."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from services.decision.store.athletes import History, histories
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection
from services.decision.store.rows import OUTSIDE_THE_FOLD
from shared.events import content_digest

ENDED = "ended"
UNFOLDED = b"null"
RANK = "CASE c.urgency WHEN 'stop_and_refer' THEN 0 WHEN 'review' THEN 1 ELSE 2 END"


class CourseRead(NamedTuple):
    """A course with its latest decision."""

    course: str
    athlete: str
    protocol: str
    status: str
    seq: int
    urgency: str
    answered: bool
    as_of: datetime
    as_at: datetime
    state: bytes
    """JSON; `UNFOLDED` where it is for the fold to find."""
    decision: bytes


class DecisionRead(NamedTuple):
    seq: int
    event_seq: int
    body: bytes


class EventRead(NamedTuple):
    """An event, with what became of it last."""

    seq: int
    source: str
    id: str
    type: str
    athlete: str
    time: datetime
    recorded_at: datetime
    digest: bytes
    body: bytes
    status: str
    path: str | None
    reason: str | None


_COURSE = """
SELECT c.course, c.athlete, c.protocol, c.status, c.seq, c.urgency, c.answered, c.as_of, c.as_at,
    coalesce(c.state, 'null') AS state, d.body AS decision
FROM courses AS c JOIN decisions AS d ON d.tenant = c.tenant AND d.course = c.course AND d.seq = c.seq
WHERE c.tenant = $1
"""

# The outcome with the greatest (seq, n) counts.
_EVENT = """
SELECT e.seq, e.source, e.id, e.type, e.athlete, e.time, e.recorded_at, e.digest, e.body, o.status, o.path, o.reason
FROM events AS e CROSS JOIN LATERAL (
    SELECT status, path, reason, n FROM event_outcomes AS o
    WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id ORDER BY o.seq DESC, o.n DESC LIMIT 1
) AS o
WHERE e.tenant = $1
"""

# Whether the event has to be opened to see which course it names. Only bodies that were read as events may be taken for JSON.
_TO_OPEN = f"o.status IN ('refused', 'parked') AND o.n > {OUTSIDE_THE_FOLD}"


async def opened(connection: Connection, tenant: str, rows: Sequence[Any]) -> list[DecisionRead]:
    """Decisions as they were made, from rows with `seq`, `event_seq`, `body` and `athlete`."""
    sealed = await envelopes(connection, ((tenant, row["athlete"]) for row in rows))
    return [DecisionRead(row["seq"], row["event_seq"], sealed.body(tenant, row["athlete"], row["body"])) for row in rows]


async def _courses(connection: Connection, tenant: str, rows: Sequence[Any]) -> list[CourseRead]:
    found = [CourseRead(*row) for row in rows]
    sealed = await envelopes(connection, ((tenant, one.athlete) for one in found))
    return [
        one._replace(
            decision=sealed.body(tenant, one.athlete, one.decision),
            state=sealed.body(tenant, one.athlete, one.state),
        )
        for one in found
    ]


async def _events(connection: Connection, tenant: str, rows: Sequence[Any]) -> list[EventRead]:
    found = [EventRead(*row[: len(EventRead._fields)]) for row in rows]
    sealed = await envelopes(connection, ((tenant, one.athlete) for one in found))
    return [
        one._replace(body=sealed.body(tenant, one.athlete, one.body), reason=sealed.text(tenant, one.athlete, one.reason)) for one in found
    ]


async def course(connection: Connection, tenant: str, course: str) -> CourseRead | None:
    rows = await connection.fetch(_COURSE + " AND c.course = $2", tenant, course)
    return (await _courses(connection, tenant, rows))[0] if rows else None


async def courses_of(connection: Connection, tenant: str, athlete: str) -> list[CourseRead]:
    """All courses of the athlete, by id."""
    rows = await connection.fetch(_COURSE + " AND c.athlete = $2 ORDER BY c.course", tenant, athlete)
    return await _courses(connection, tenant, rows)


async def knows_athlete(connection: Connection, tenant: str, athlete: str) -> bool:
    """Whether history holds anything of this athlete."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND athlete = $2)", tenant, athlete))


async def worklist(
    connection: Connection, tenant: str, urgency: str | None, unanswered: bool, after: tuple[int, datetime, str] | None, limit: int
) -> list[CourseRead]:
    """Courses that have not ended, the most urgent first, then the one that has waited longest. `after` is (rank of the urgency, as_at,
    course) of the last one seen.
    """
    rank, as_at, course = after or (-1, None, None)
    rows = await connection.fetch(
        f"{_COURSE} AND c.status <> $2 AND ($3::text IS NULL OR c.urgency = $3) AND (NOT $4 OR NOT c.answered)"
        f" AND ($5 < 0 OR ({RANK}, c.as_at, c.course) > ($5, $6::timestamptz, $7::text))"
        f" ORDER BY {RANK}, c.as_at, c.course LIMIT $8",
        tenant,
        ENDED,
        urgency,
        unanswered,
        rank,
        as_at,
        course,
        limit,
    )
    return await _courses(connection, tenant, rows)


async def decisions(
    connection: Connection, tenant: str, course: str, as_of: datetime | None, as_at: datetime | None, after: int, limit: int
) -> list[DecisionRead]:
    """Decisions of a course in the order made, behind `after`; those true until `as_of` and known until `as_at`."""
    rows = await connection.fetch(
        "SELECT seq, event_seq, body, athlete FROM decisions WHERE tenant = $1 AND course = $2 AND seq > $3"
        " AND ($4::timestamptz IS NULL OR as_of <= $4) AND ($5::timestamptz IS NULL OR as_at <= $5) ORDER BY seq LIMIT $6",
        tenant,
        course,
        after,
        as_of,
        as_at,
        limit,
    )
    return await opened(connection, tenant, rows)


async def decisions_at(connection: Connection, tenant: str, course: str, event_seqs: Sequence[int]) -> list[DecisionRead]:
    """Decisions of a course that the arrival of these events brought, in the order made."""
    rows = await connection.fetch(
        "SELECT seq, event_seq, body, athlete FROM decisions WHERE tenant = $1 AND course = $2 AND event_seq = ANY($3::bigint[])"
        " ORDER BY seq",
        tenant,
        course,
        list(event_seqs),
    )
    return await opened(connection, tenant, rows)


async def timeline(
    connection: Connection,
    tenant: str,
    athlete: str,
    course: str,
    after: int,
    limit: int,
    until: tuple[datetime | None, datetime | None] = (None, None),
) -> list[EventRead]:
    """Events that made a decision for the course or name it, in the order received, behind partition sequence `after`; those whose time and
    reception were not after `until`.
    """
    found: list[EventRead] = []
    while len(found) < limit:
        rows = await connection.fetch(
            f"SELECT * FROM ({_EVENT.replace('o.reason', f'o.reason, {_TO_OPEN} AS to_open', 1)}"
            " AND e.athlete = $2 AND e.seq > $4 AND ($6::timestamptz IS NULL OR e.time <= $6)"
            " AND ($7::timestamptz IS NULL OR e.recorded_at <= $7)) AS v CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM decisions AS d"
            " WHERE d.tenant = $1 AND d.course = $3 AND d.cause_source = v.source AND d.cause_id = v.id) AS decides) AS m"
            " WHERE decides OR to_open ORDER BY seq LIMIT $5",
            tenant,
            athlete,
            course,
            after,
            limit,
            *until,
        )
        shown = await _events(connection, tenant, rows)
        found += [one for one, row in zip(shown, rows, strict=True) if row["decides"] or _names(one.body, course)]
        if len(rows) < limit:
            break
        after = rows[-1]["seq"]
    return found[:limit]


def _names(body: bytes, course: str) -> bool:
    told = orjson.loads(body)
    return course in (told.get("course"), told["data"].get("course") if isinstance(told.get("data"), dict) else None)


async def event(connection: Connection, tenant: str, source: str, id: str) -> EventRead | None:
    rows = await connection.fetch(_EVENT + " AND e.source = $2 AND e.id = $3", tenant, source, id)
    return (await _events(connection, tenant, rows))[0] if rows else None


async def partition_of_event(connection: Connection, tenant: str, source: str, id: str) -> int:
    """Where the event stands; what is left of an erased one does not name whose partition that is."""
    query = "SELECT partition FROM events WHERE tenant = $1 AND source = $2 AND id = $3"
    return int(await connection.fetchval(query, tenant, source, id))


async def conflicts(connection: Connection, tenant: str, source: str, id: str) -> list[tuple[bytes, datetime]]:
    """(content digest, when) of other contents that were sent under the event's key."""
    rows = await connection.fetch(
        "SELECT athlete, body, recorded_at FROM event_conflicts WHERE tenant = $1 AND source = $2 AND id = $3 ORDER BY recorded_at, digest",
        tenant,
        source,
        id,
    )
    sealed = await envelopes(connection, ((tenant, row["athlete"]) for row in rows))
    return [(content_of(sealed.body(tenant, row["athlete"], row["body"])), row["recorded_at"]) for row in rows]


def content_of(body: bytes) -> bytes:
    """The content digest of an event as the bus brought it; of what is not JSON, the digest of its bytes."""
    try:
        return content_digest(orjson.loads(body))
    except (orjson.JSONDecodeError, TypeError, ValueError):
        return sha256(body).digest()


async def decisions_by(connection: Connection, tenant: str, source: str, id: str) -> list[bytes]:
    """The decisions that this event made, by course and order."""
    rows = await connection.fetch(
        "SELECT seq, event_seq, body, athlete FROM decisions WHERE tenant = $1 AND cause_source = $2 AND cause_id = $3"
        " ORDER BY course, seq",
        tenant,
        source,
        id,
    )
    return [one.body for one in await opened(connection, tenant, rows)]


async def coach_release(connection: Connection, tenant: str) -> str:
    """What the tenant's policy says coaches are told of an advance."""
    found = await connection.fetchval("SELECT coach_release FROM notice_policies WHERE tenant = $1 ORDER BY version DESC LIMIT 1", tenant)
    return str(found or "after_clinician")


async def cause(connection: Connection, tenant: str, course: str, seq: int) -> str:
    """The id of the event that made this decision."""
    return str(
        await connection.fetchval("SELECT cause_id FROM decisions WHERE tenant = $1 AND course = $2 AND seq = $3", tenant, course, seq)
    )


async def terms(connection: Connection, tenant: str, athlete: str, events: Sequence[str]) -> set[str]:
    """The terms that the sources of these events of the athlete attached to them."""
    rows = await connection.fetch(
        "SELECT DISTINCT unnest(terms) AS term FROM event_terms WHERE tenant = $1 AND athlete = $2 AND id = ANY($3::text[])",
        tenant,
        athlete,
        list(events),
    )
    return {row["term"] for row in rows}


async def history(connection: Connection, tenant: str, athlete: str) -> History:
    """Everything the athlete's fold has seen."""
    return (await histories(connection, [(tenant, athlete)]))[tenant, athlete]

"""Deliveries that are due, what became of attempts, and endpoints that are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import orjson

from services.notify.store.connection import Connection
from shared.crash import point

WINDOW: Final = 256
"""How many due deliveries of an endpoint are considered at once. A constant, so that the server walks the order instead of sorting it."""

# What is due for an endpoint, longest due first.
_CONSIDERED: Final = f"""
    SELECT p.* FROM deliveries p
    WHERE p.endpoint = lane.endpoint AND p.state = 'pending' AND p.next_at <= $1
    ORDER BY p.next_at LIMIT {WINDOW}
"""

# The older deliveries of the same course to the same endpoint that have not ended: `c` waits for them, unless it is a referral, which waits
# for nothing but an attempt under way.
_OLDER: Final = """
    FROM deliveries q JOIN notices o ON o.id = q.notice
    WHERE q.endpoint = c.endpoint AND q.course = c.course AND q.state = 'pending' AND o.outbox < n.outbox
"""

# `busy` names the course (or single delivery) of each endpoint that is being attempted right now: a cancelled attempt may still be under
# way, and must end before the newer one begins. They are taken out behind the window, where they can be joined, and not compared each
# with each within it; so the window lets as many more through as are under way.
_DUE: Final = f"""
WITH found AS MATERIALIZED (
    SELECT d.id, d.tenant, d.endpoint, d.notice, d.course, d.tries, d.next_at, lane.free
    FROM unnest($3::text[], $4::int[], $5::int[]) AS lane(endpoint, free, unsettled)
    JOIN endpoints e ON e.id = lane.endpoint AND e.deleted_at IS NULL AND e.disabled_at IS NULL AND e.verified_at IS NOT NULL
    CROSS JOIN LATERAL (
        SELECT c.* FROM ({_CONSIDERED}) c JOIN notices n ON n.id = c.notice
        WHERE n.type = 'course.referred' OR NOT EXISTS (SELECT 1 {_OLDER})
        ORDER BY c.next_at LIMIT lane.free + 2 * lane.unsettled
    ) d
), open AS (
    SELECT f.*, row_number() OVER (PARTITION BY f.endpoint ORDER BY f.next_at) AS place FROM found f
    LEFT JOIN unnest($2::text[]) AS busy(key) ON busy.key = f.endpoint || ' ' || coalesce(f.course, f.id) WHERE busy.key IS NULL
)
SELECT d.id, d.tenant, d.endpoint, d.notice, d.course, d.tries, n.body, e.url, e.secret, e.retired_secret, e.retired_until, e.payload,
       e.role, e.third_party, e.answers_by,
       CASE WHEN e.role IN ('coach', 'athlete') THEN (
           SELECT p.coach_release FROM notice_policies p WHERE p.tenant = e.tenant ORDER BY p.version DESC LIMIT 1
       ) END AS release,
       coalesce((SELECT max(a.n) FROM attempts a WHERE a.delivery = d.id), 0) AS made
FROM open d JOIN endpoints e ON e.id = d.endpoint JOIN notices n ON n.id = d.notice WHERE d.place <= d.free ORDER BY d.next_at
"""

_PARK: Final = f"""
UPDATE deliveries d SET next_at = w.until
FROM (
    SELECT c.id, (SELECT max(q.next_at) {_OLDER}) AS until
    FROM unnest($2::text[]) AS lane(endpoint) CROSS JOIN LATERAL ({_CONSIDERED}) c JOIN notices n ON n.id = c.notice
    WHERE n.type <> 'course.referred'
) w
WHERE d.id = w.id AND d.state = 'pending' AND w.until > $1
RETURNING d.endpoint
"""

_AHEAD: Final = f"""
SELECT lane.endpoint, (SELECT count(*) FROM ({_CONSIDERED}) c) AS considered,
    (SELECT p.next_at FROM deliveries p WHERE p.endpoint = lane.endpoint AND p.state = 'pending' AND p.next_at > $1
     ORDER BY p.next_at LIMIT 1) AS upcoming
FROM unnest($2::text[]) AS lane(endpoint)
"""

# Of a delivery that was erased meanwhile, nothing is kept.
_ADD_ATTEMPTS: Final = """
INSERT INTO attempts (delivery, n, tenant, started_at, duration_ms, status, error, request_headers, request_body, response_body)
SELECT a.* FROM unnest($1::text[], $2::int[], $3::text[], $4::timestamptz[], $5::int[], $6::int[], $7::text[], $8::jsonb[], $9::bytea[],
    $10::bytea[]) AS a(delivery, n, tenant, started_at, duration_ms, status, error, request_headers, request_body, response_body)
JOIN deliveries AS d ON d.id = a.delivery FOR KEY SHARE OF d
ON CONFLICT DO NOTHING
"""

# What was cancelled while it was under way stays cancelled, unless it arrived.
_SETTLE: Final = """
UPDATE deliveries d SET state = s.state, because = s.because, tries = s.tries, next_at = s.next_at, done_at = s.done_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[])
    AS s(id, state, because, tries, next_at, done_at)
WHERE d.id = s.id AND (d.state = 'pending' OR s.state = 'delivered')
"""


@dataclass(frozen=True)
class Due:
    """A delivery that may be attempted now.

    `tries` counts into the schedule, `made` all attempts ever made: a resend begins a new schedule.
    """

    id: str
    tenant: str
    endpoint: str
    notice: str
    course: str | None
    tries: int
    made: int
    body: bytes
    url: str
    secret: bytes
    retired_secret: bytes | None
    retired_until: datetime | None
    payload: str
    role: str
    third_party: bool
    answers_by: str | None
    release: str | None

    @property
    def key(self) -> str:
        """What must not be attempted twice at once: the course at this endpoint, or the delivery when it has no course."""
        return f"{self.endpoint} {self.course or self.id}"


class Attempt(NamedTuple):
    """One attempt as history keeps it; `request_headers` as they left, without the secret."""

    delivery: str
    n: int
    tenant: str
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    request_headers: Mapping[str, str]
    request_body: bytes
    response_body: bytes | None


class Settled(NamedTuple):
    """Where a delivery stands after an attempt: `pending` with `next_at`, or `delivered`, `exhausted` or `blocked` with `done_at`."""

    id: str
    state: str
    because: str | None
    tries: int
    next_at: datetime | None
    done_at: datetime | None


class Breaker(NamedTuple):
    """How the circuit breaker of an endpoint stands: since when nothing but failures came, and until when the endpoint rests."""

    endpoint: str
    failing_since: datetime | None
    rests_until: datetime | None


class Ahead(NamedTuple):
    """What an endpoint has before it: how many due deliveries were considered, at most `WINDOW`, and when the next falls due, if any."""

    endpoint: str
    considered: int
    upcoming: datetime | None


class Backlog(NamedTuple):
    """How much is pending: never tried, tried and failed, and when the oldest was made."""

    untried: int
    retrying: int
    oldest: datetime | None


async def due(connection: Connection, lanes: Mapping[str, tuple[int, int]], busy: Sequence[str], now: datetime) -> list[Due]:
    """Deliveries that may be attempted now, oldest first: for each endpoint in `lanes`, given as (how many may begin, how many are
    under way or not yet written down), at most as many as may begin."""
    free, unsettled = [most for most, _ in lanes.values()], [count for _, count in lanes.values()]
    rows = await connection.fetch(_DUE, now, list(busy), list(lanes), free, unsettled)
    return [Due(**row) for row in rows]


async def park(connection: Connection, endpoints: Sequence[str], now: datetime) -> set[str]:
    """Puts off what is due but waits for an older delivery that is not: until that one is due. Returns the endpoints where there was any.

    Otherwise such deliveries would fill the window in front of those that can leave.
    """
    point(39)
    parked = {row["endpoint"] for row in await connection.fetch(_PARK, now, list(endpoints))}
    point(40)
    return parked


async def ahead(connection: Connection, endpoints: Sequence[str], now: datetime) -> list[Ahead]:
    """What is ahead of each of these endpoints, once nothing more of what is due there can leave."""
    return [Ahead(**row) for row in await connection.fetch(_AHEAD, now, list(endpoints))]


async def endpoints_with_pending(connection: Connection) -> list[str]:
    """Every endpoint that something waits for."""
    return [row["endpoint"] for row in await connection.fetch("SELECT DISTINCT endpoint FROM deliveries WHERE state = 'pending'")]


async def record(connection: Connection, attempts: Sequence[Attempt], settled: Sequence[Settled]) -> None:
    """Keeps attempts and where their deliveries stand. Repeating it changes nothing."""
    if attempts:
        columns = [list(column) for column in zip(*attempts, strict=True)]
        columns[7] = [orjson.dumps(dict(headers)).decode() for headers in columns[7]]
        await connection.execute(_ADD_ATTEMPTS, *columns)
    if settled:
        await connection.execute(_SETTLE, *(list(column) for column in zip(*settled, strict=True)))


async def disable(connection: Connection, endpoint: str, because: str, now: datetime) -> str | None:
    """Disables an endpoint and ends what is pending for it; returns its tenant, or None when it was disabled or deleted before."""
    tenant: str | None = await connection.fetchval(
        "UPDATE endpoints SET disabled_at = $2, disabled_because = $3 "
        "WHERE id = $1 AND disabled_at IS NULL AND deleted_at IS NULL RETURNING tenant",
        endpoint,
        now,
        because,
    )
    if tenant is not None:
        await end_pending(connection, endpoint, "exhausted", f"endpoint disabled: {because}", now)
    return tenant


async def end_pending(connection: Connection, endpoint: str, state: str, because: str, now: datetime) -> None:
    """Ends all that is pending for an endpoint, in `state`, with the reason."""
    await connection.execute(
        "UPDATE deliveries SET state = $2, because = $3, next_at = NULL, done_at = $4 WHERE endpoint = $1 AND state = 'pending'",
        endpoint,
        state,
        because,
        now,
    )


async def breakers(connection: Connection) -> list[Breaker]:
    """Endpoints whose circuit breaker is not closed."""
    rows = await connection.fetch(
        "SELECT id AS endpoint, failing_since, rests_until FROM endpoints WHERE failing_since IS NOT NULL AND deleted_at IS NULL"
    )
    return [Breaker(**row) for row in rows]


async def set_breakers(connection: Connection, changed: Sequence[Breaker]) -> None:
    """Writes down how circuit breakers stand, for whoever looks and for the process that leads next."""
    await connection.execute(
        "UPDATE endpoints e SET failing_since = b.failing_since, rests_until = b.rests_until "
        "FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS b(endpoint, failing_since, rests_until) WHERE e.id = b.endpoint",
        *(list(column) for column in zip(*changed, strict=True)),
    )


async def backlog(connection: Connection) -> Backlog:
    """What is pending, over all tenants."""
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE d.tries = 0) AS untried, count(*) FILTER (WHERE d.tries > 0) AS retrying, "
        "min(d.created_at) AS oldest FROM deliveries d JOIN endpoints e ON e.id = d.endpoint AND e.verified_at IS NOT NULL "
        "WHERE d.state = 'pending'"
    )
    assert row is not None, "an aggregate over no rows is one row"
    return Backlog(row["untried"], row["retrying"], row["oldest"])

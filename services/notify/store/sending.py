"""Deliveries that are due, what became of attempts, and endpoints that are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import orjson

from services.notify.store.connection import Connection

# A delivery is due only when no older one of its course and endpoint is pending. `$4` names the course (or single delivery) of each
# endpoint that is being attempted right now: a cancelled attempt may still be under way, and must end before the newer one begins.
_DUE: Final = """
SELECT d.id, d.tenant, d.endpoint, d.notice, d.course, d.tries, d.body, e.url, e.secret, e.payload, e.role,
       coalesce((SELECT max(a.n) FROM attempts a WHERE a.delivery = d.id), 0) AS made
FROM unnest($1::text[], $2::int[]) AS lane(endpoint, free)
JOIN endpoints e ON e.id = lane.endpoint AND e.deleted_at IS NULL AND e.disabled_at IS NULL
CROSS JOIN LATERAL (
    SELECT p.id, p.tenant, p.endpoint, p.notice, p.course, p.tries, n.body
    FROM deliveries p JOIN notices n ON n.id = p.notice
    WHERE p.endpoint = lane.endpoint AND p.state = 'pending' AND p.next_at <= $3
      AND NOT (p.endpoint || ' ' || coalesce(p.course, p.id)) = ANY($4::text[])
      AND NOT EXISTS (
          SELECT 1 FROM notices o JOIN deliveries q ON q.notice = o.id AND q.endpoint = p.endpoint
          WHERE o.tenant = p.tenant AND o.course = p.course AND o.outbox < n.outbox AND q.state = 'pending')
    ORDER BY p.next_at, n.outbox, n.type LIMIT lane.free
) d
"""

_ADD_ATTEMPTS: Final = """
INSERT INTO attempts (delivery, n, tenant, started_at, duration_ms, status, error, request_headers, request_body, response_body)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::timestamptz[], $5::int[], $6::int[], $7::text[], $8::jsonb[], $9::bytea[],
    $10::bytea[])
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
    payload: str
    role: str

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
    """Where a delivery stands after an attempt: `pending` with `next_at`, or `delivered` or `exhausted` with `done_at`."""

    id: str
    state: str
    because: str | None
    tries: int
    next_at: datetime | None
    done_at: datetime | None


class Backlog(NamedTuple):
    """How much is pending: never tried, tried and failed, and when the oldest was made."""

    untried: int
    retrying: int
    oldest: datetime | None


async def due(connection: Connection, lanes: Mapping[str, int], busy: Sequence[str], now: datetime) -> list[Due]:
    """Deliveries that may be attempted now: for each endpoint in `lanes` at most as many as it says, oldest first."""
    rows = await connection.fetch(_DUE, list(lanes), list(lanes.values()), now, list(busy))
    return [Due(**row) for row in rows]


async def next_due(connection: Connection, endpoints: Sequence[str], after: datetime) -> dict[str, datetime]:
    """When each of these endpoints next has something due later than `after`."""
    rows = await connection.fetch(
        "SELECT endpoint, min(next_at) AS at FROM deliveries "
        "WHERE endpoint = ANY($1::text[]) AND state = 'pending' AND next_at > $2 GROUP BY endpoint",
        list(endpoints),
        after,
    )
    return {row["endpoint"]: row["at"] for row in rows}


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


async def backlog(connection: Connection) -> Backlog:
    """What is pending, over all tenants."""
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE tries = 0) AS untried, count(*) FILTER (WHERE tries > 0) AS retrying, min(created_at) AS oldest "
        "FROM deliveries WHERE state = 'pending'"
    )
    assert row is not None, "an aggregate over no rows is one row"
    return Backlog(row["untried"], row["retrying"], row["oldest"])

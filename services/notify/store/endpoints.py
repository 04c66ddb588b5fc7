"""Endpoints and what was sent to them, always within one tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.notify.store.connection import Connection
from services.notify.store.sending import Attempt, end_pending

WAKE: Final = "milepost_notify_wake"
"""The PostgreSQL channel on which the delivering process hears that an endpoint has something new; the payload is the endpoint's id."""

_COLUMNS: Final = "id, tenant, url, description, types, payload, role, created_at, disabled_at, disabled_because"


class Endpoint(NamedTuple):
    """An endpoint as its owner sees it; the secret is not among it. No `types` means all that its role may have."""

    id: str
    tenant: str
    url: str
    description: str
    types: list[str]
    payload: str
    role: str
    created_at: datetime
    disabled_at: datetime | None
    disabled_because: str | None


class Delivery(NamedTuple):
    """A delivery with all its attempts, first to last."""

    id: str
    notice: str
    type: str
    course: str | None
    state: str
    because: str | None
    tries: int
    next_at: datetime | None
    created_at: datetime
    done_at: datetime | None
    attempts: list[Attempt]


class Later(NamedTuple):
    """A notice of the same course that came after, at the same endpoint; `kept` as `payloads.stored` made it."""

    id: str
    type: str
    kept: bytes


class Standing(NamedTuple):
    """What a resend needs to know of a delivery."""

    id: str
    endpoint: str
    notice: str
    type: str
    state: str


async def create(connection: Connection, endpoint: Endpoint, sealed: bytes) -> None:
    """Adds an endpoint with its sealed secret."""
    await connection.execute(
        f"INSERT INTO endpoints ({_COLUMNS}, secret) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", *endpoint, sealed
    )


async def count(connection: Connection, tenant: str) -> int:
    """How many endpoints the tenant has; holds back other creations of the tenant until this transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", tenant)
    return int(await connection.fetchval("SELECT count(*) FROM endpoints WHERE tenant = $1 AND deleted_at IS NULL", tenant))


async def listed(connection: Connection, tenant: str) -> list[Endpoint]:
    """The tenant's endpoints, oldest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM endpoints WHERE tenant = $1 AND deleted_at IS NULL ORDER BY created_at, id", tenant
    )
    return [Endpoint(*row) for row in rows]


async def find(connection: Connection, tenant: str, endpoint: str, share: bool = False) -> Endpoint | None:
    """One endpoint of the tenant, or None. `share`: nobody disables or deletes it until this transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM endpoints WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL" + (" FOR SHARE" if share else ""),
        tenant,
        endpoint,
    )
    return Endpoint(*row) if row else None


async def delete(connection: Connection, tenant: str, endpoint: str, now: datetime) -> bool:
    """Deletes an endpoint, forgets its secret and cancels what is pending; False when the tenant has no such endpoint."""
    found = await connection.fetchval(
        "UPDATE endpoints SET deleted_at = $3, secret = '' WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL RETURNING id",
        tenant,
        endpoint,
        now,
    )
    if found is not None:
        await end_pending(connection, endpoint, "cancelled", "endpoint deleted", now)
    return found is not None


async def add_notice(connection: Connection, notice: str, tenant: str, kind: str, kept: bytes, now: datetime) -> None:
    """A notice that comes from no outbox row: a test, or that an endpoint was disabled."""
    await connection.execute(
        "INSERT INTO notices (id, tenant, type, body, created_at) VALUES ($1, $2, $3, $4, $5)", notice, tenant, kind, kept, now
    )


async def deliveries(
    connection: Connection, tenant: str, endpoint: str, limit: int, before: tuple[datetime, str] | None, state: str | None
) -> list[Delivery]:
    """Up to `limit` deliveries of an endpoint, newest first, from those that come after `before` (created_at, id) in that order."""
    moment, id_ = before or (None, None)
    rows = await connection.fetch(
        "SELECT d.id, d.notice, n.type, d.course, d.state, d.because, d.tries, d.next_at, d.created_at, d.done_at "
        "FROM deliveries d JOIN notices n ON n.id = d.notice "
        "WHERE d.tenant = $1 AND d.endpoint = $2 AND ($3::timestamptz IS NULL OR (d.created_at, d.id) < ($3, $4)) "
        "AND ($5::text IS NULL OR d.state = $5) ORDER BY d.created_at DESC, d.id DESC LIMIT $6",
        tenant,
        endpoint,
        moment,
        id_,
        state,
        limit,
    )
    attempts = await _attempts(connection, tenant, [row["id"] for row in rows])
    return [Delivery(**row, attempts=attempts.get(row["id"], [])) for row in rows]


async def standing(connection: Connection, tenant: str, delivery: str) -> Standing | None:
    """A delivery of the tenant whose endpoint still exists, locked; or None."""
    row = await connection.fetchrow(
        "SELECT d.id, d.endpoint, d.notice, n.type, d.state FROM deliveries d JOIN notices n ON n.id = d.notice "
        "JOIN endpoints e ON e.id = d.endpoint AND e.deleted_at IS NULL WHERE d.tenant = $1 AND d.id = $2 FOR UPDATE OF d",
        tenant,
        delivery,
    )
    return Standing(*row) if row else None


async def later(connection: Connection, delivery: str, limit: int = 50) -> list[Later]:
    """Newer notices of the delivery's course that its endpoint was to get, newest first."""
    rows = await connection.fetch(
        "SELECT l.id, l.type, l.body FROM deliveries d JOIN notices n ON n.id = d.notice "
        "JOIN notices l ON l.tenant = n.tenant AND l.course = n.course AND l.outbox > n.outbox "
        "JOIN deliveries o ON o.notice = l.id AND o.endpoint = d.endpoint WHERE d.id = $1 ORDER BY l.outbox DESC LIMIT $2",
        delivery,
        limit,
    )
    return [Later(*row) for row in rows]


async def reopen(connection: Connection, delivery: str, now: datetime) -> None:
    """Makes a delivery due now, with the whole schedule before it; its attempts go on counting."""
    await connection.execute(
        "UPDATE deliveries SET state = 'pending', because = 'asked for again', tries = 0, next_at = $2, done_at = NULL WHERE id = $1",
        delivery,
        now,
    )


async def wake(connection: Connection, endpoint: str) -> None:
    """Tells the delivering process, once this transaction commits, that the endpoint has something due."""
    await connection.execute("SELECT pg_notify($1, $2)", WAKE, endpoint)


async def _attempts(connection: Connection, tenant: str, deliveries: Sequence[str]) -> dict[str, list[Attempt]]:
    rows = await connection.fetch(
        "SELECT delivery, n, tenant, started_at, duration_ms, status, error, request_headers, request_body, response_body "
        "FROM attempts WHERE tenant = $1 AND delivery = ANY($2::text[]) ORDER BY delivery, n",
        tenant,
        list(deliveries),
    )
    found: dict[str, list[Attempt]] = {}
    for row in rows:
        found.setdefault(row["delivery"], []).append(Attempt(**row))
    return found

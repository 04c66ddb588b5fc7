"""Endpoints and what was sent to them, always within one tenant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from services.notify.store.connection import Connection
from services.notify.store.sending import Attempt, end_pending

WAKE: Final = "milepost_notify_wake"
"""The PostgreSQL channel on which the delivering process hears that an endpoint has something new; the payload is the endpoint's id."""

_COLUMNS: Final = (
    "id, tenant, url, description, types, payload, role, created_at, disabled_at, disabled_because, signatures, public_key, "
    "retired_until, verified_at, escalates, third_party, quiet_hours, answers_by, failing_since, rests_until"
)
_CHANGEABLE: Final = frozenset(
    {
        *("url", "description", "types", "payload", "role", "signatures", "public_key", "secret", "retired_secret", "retired_until"),
        *("verified_at", "escalates", "third_party", "quiet_hours", "answers_by", "disabled_at", "disabled_because"),
        *("failing_since", "rests_until"),
    }
)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as its owner sees it; the secret is not among it. No `types` means all that its role may have.

    `quiet_hours` is `{"begin": "22:00", "until": "07:00", "timezone": null}`. `failing_since` and `rests_until` say how its circuit
    breaker stands.
    """

    id: str
    tenant: str
    url: str
    description: str
    types: list[str]
    payload: str
    role: str
    created_at: datetime
    disabled_at: datetime | None = None
    disabled_because: str | None = None
    signatures: list[str] = field(default_factory=lambda: ["v1"])
    public_key: str | None = None
    retired_until: datetime | None = None
    verified_at: datetime | None = None
    escalates: bool = False
    third_party: bool = False
    quiet_hours: dict[str, Any] | None = None
    answers_by: str | None = None
    failing_since: datetime | None = None
    rests_until: datetime | None = None


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
    athlete: str | None
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
    athlete: str | None


class ToldSince(NamedTuple):
    """A notice and what became of it at one endpoint; `delivery` is None where none was planned. `kept` as `payloads.stored` made it."""

    notice: str
    type: str
    kept: bytes
    course: str | None
    delivery: str | None
    state: str | None
    because: str | None


async def create(connection: Connection, endpoint: Endpoint, sealed: bytes) -> None:
    """Adds an endpoint with its sealed keys."""
    named = [name.strip() for name in _COLUMNS.split(",")]
    values = [_json(getattr(endpoint, name)) for name in named]
    places = ", ".join(f"${place}" for place in range(1, len(named) + 2))
    await connection.execute(f"INSERT INTO endpoints ({_COLUMNS}, secret) VALUES ({places})", *values, sealed)


async def change(connection: Connection, tenant: str, endpoint: str, changes: Mapping[str, Any]) -> None:
    """Sets columns of an endpoint. Raises ValueError for a column that is never changed."""
    if not changes.keys() <= _CHANGEABLE:
        raise ValueError(f"columns that are not changed: {', '.join(sorted(changes.keys() - _CHANGEABLE))}")
    if changes:
        settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(changes, 3))
        await connection.execute(
            f"UPDATE endpoints SET {settings} WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL",
            tenant,
            endpoint,
            *map(_json, changes.values()),
        )


async def keys(connection: Connection, tenant: str, endpoint: str) -> tuple[bytes, bytes | None, datetime | None]:
    """The sealed keys in force, those before the last rotation, and until when those sign too."""
    row = await connection.fetchrow(
        "SELECT secret, retired_secret, retired_until FROM endpoints WHERE tenant = $1 AND id = $2", tenant, endpoint
    )
    assert row is not None, "the caller holds the endpoint"
    return row["secret"], row["retired_secret"], row["retired_until"]


async def count(connection: Connection, tenant: str) -> int:
    """How many endpoints the tenant has; holds back other creations of the tenant until this transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", tenant)
    return int(await connection.fetchval("SELECT count(*) FROM endpoints WHERE tenant = $1 AND deleted_at IS NULL", tenant))


async def listed(connection: Connection, tenant: str) -> list[Endpoint]:
    """The tenant's endpoints, oldest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM endpoints WHERE tenant = $1 AND deleted_at IS NULL ORDER BY created_at, id", tenant
    )
    return [_endpoint(row) for row in rows]


async def find(connection: Connection, tenant: str, endpoint: str, lock: bool = False) -> Endpoint | None:
    """One endpoint of the tenant, or None. `lock`: nobody changes, disables or deletes it until this transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM endpoints WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL" + (" FOR UPDATE" if lock else ""),
        tenant,
        endpoint,
    )
    return _endpoint(row) if row else None


async def delete(connection: Connection, tenant: str, endpoint: str, now: datetime) -> bool:
    """Deletes an endpoint, forgets its secret and cancels what is pending; False when the tenant has no such endpoint."""
    found = await connection.fetchval(
        "UPDATE endpoints SET deleted_at = $3, secret = '', retired_secret = NULL "
        "WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL RETURNING id",
        tenant,
        endpoint,
        now,
    )
    if found is not None:
        await end_pending(connection, endpoint, "cancelled", "endpoint deleted", now)
    return found is not None


async def deliveries(
    connection: Connection,
    tenant: str,
    endpoint: str,
    limit: int,
    before: tuple[datetime, str] | None,
    state: str | None = None,
    kind: str | None = None,
    course: str | None = None,
    since: datetime | None = None,
) -> list[Delivery]:
    """Up to `limit` deliveries of an endpoint, newest first, from those that come after `before` (created_at, id) in that order."""
    moment, id_ = before or (None, None)
    rows = await connection.fetch(
        "SELECT d.id, d.notice, n.type, n.course, d.state, d.because, d.tries, d.next_at, d.created_at, d.done_at, n.athlete "
        "FROM deliveries d JOIN notices n ON n.id = d.notice "
        "WHERE d.tenant = $1 AND d.endpoint = $2 AND ($3::timestamptz IS NULL OR (d.created_at, d.id) < ($3, $4)) "
        "AND ($5::text IS NULL OR d.state = $5) AND ($7::text IS NULL OR n.type = $7) AND ($8::text IS NULL OR n.course = $8) "
        "AND ($9::timestamptz IS NULL OR d.created_at >= $9) ORDER BY d.created_at DESC, d.id DESC LIMIT $6",
        tenant,
        endpoint,
        moment,
        id_,
        state,
        limit,
        kind,
        course,
        since,
    )
    attempts = await _attempts(connection, tenant, [row["id"] for row in rows])
    return [Delivery(**row, attempts=attempts.get(row["id"], [])) for row in rows]


async def standing(connection: Connection, tenant: str, delivery: str) -> Standing | None:
    """A delivery of the tenant whose endpoint still exists, locked; or None."""
    row = await connection.fetchrow(
        "SELECT d.id, d.endpoint, d.notice, n.type, d.state, n.athlete FROM deliveries d JOIN notices n ON n.id = d.notice "
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


async def reopen(connection: Connection, deliveries: Sequence[str], now: datetime) -> None:
    """Makes deliveries due now, in this order, with the whole schedule before them; their attempts go on counting."""
    await connection.execute(
        "UPDATE deliveries d SET state = 'pending', because = 'asked for again', tries = 0, done_at = NULL, "
        "next_at = $2::timestamptz - (cardinality($1::text[]) - o.place) * interval '1 microsecond' "
        "FROM unnest($1::text[]) WITH ORDINALITY AS o(id, place) WHERE d.id = o.id",
        list(deliveries),
        now,
    )


async def told_since(connection: Connection, tenant: str, endpoint: str, since: datetime, limit: int) -> list[ToldSince]:
    """Up to `limit` notices of the tenant since then, newest first, each with what became of it at this endpoint."""
    rows = await connection.fetch(
        "SELECT n.id AS notice, n.type, n.body AS kept, n.course, d.id AS delivery, d.state, d.because "
        "FROM notices n LEFT JOIN deliveries d ON d.notice = n.id AND d.endpoint = $2 "
        "WHERE n.tenant = $1 AND n.created_at >= $3 ORDER BY n.position DESC LIMIT $4",
        tenant,
        endpoint,
        since,
        limit,
    )
    return [ToldSince(**row) for row in rows]


async def wake(connection: Connection, endpoint: str) -> None:
    """Tells the delivering process, once this transaction commits, that the endpoint has something due."""
    await connection.execute("SELECT pg_notify($1, $2)", WAKE, endpoint)


def _endpoint(row: Any) -> Endpoint:
    return Endpoint(**row)


def _json(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict) else value


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

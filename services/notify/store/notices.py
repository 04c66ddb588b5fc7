"""Notices as they were kept, in the order in which they became visible, always within one tenant."""

from datetime import datetime
from typing import NamedTuple

from services.notify.store.connection import Connection


class KeptNotice(NamedTuple):
    """A notice with what became of it: how many endpoints it concerned when it was kept, and how many deliveries stand in which state."""

    id: str
    position: int
    type: str
    course: str | None
    athlete: str | None
    kept: bytes
    planned: int
    created_at: datetime
    states: dict[str, int]


class Said(NamedTuple):
    """A notice for a live stream; `kept` as `payloads.stored` made it."""

    id: str
    position: int
    kept: bytes


async def latest(connection: Connection) -> int:
    """The greatest position there is, over all tenants; 0 when there is none."""
    return int(await connection.fetchval("SELECT coalesce(max(position), 0) FROM notices"))


async def latest_of(connection: Connection, tenant: str) -> int:
    """The greatest position of a notice of the tenant; 0 when there is none."""
    return int(await connection.fetchval("SELECT coalesce(max(position), 0) FROM notices WHERE tenant = $1", tenant))


async def position_of(connection: Connection, tenant: str, notice: str) -> int | None:
    """Where a notice of the tenant stands, or None when there is none by this id."""
    found: int | None = await connection.fetchval("SELECT position FROM notices WHERE tenant = $1 AND id = $2", tenant, notice)
    return found


async def after(connection: Connection, tenant: str, position: int, limit: int) -> list[Said]:
    """Up to `limit` notices of the tenant behind a position, oldest first."""
    rows = await connection.fetch(
        "SELECT id, position, body AS kept FROM notices WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3",
        tenant,
        position,
        limit,
    )
    return [Said(**row) for row in rows]


async def listed(
    connection: Connection,
    tenant: str,
    limit: int,
    before: tuple[datetime, str] | None,
    kind: str | None = None,
    course: str | None = None,
    unsubscribed: bool = False,
) -> list[KeptNotice]:
    """Up to `limit` notices of the tenant, newest first, from those that come after `before` (created_at, id) in that order."""
    moment, id_ = before or (None, None)
    rows = await connection.fetch(
        "SELECT n.id, n.position, n.type, n.course, n.athlete, n.body AS kept, n.planned, n.created_at, "
        "coalesce((SELECT jsonb_object_agg(s.state, s.count) FROM (SELECT state, count(*) FROM deliveries d WHERE d.notice = n.id "
        "GROUP BY state) s), '{}') AS states "
        "FROM notices n WHERE n.tenant = $1 AND ($2::timestamptz IS NULL OR (n.created_at, n.id) < ($2, $3)) "
        "AND ($4::text IS NULL OR n.type = $4) AND ($5::text IS NULL OR n.course = $5) AND (NOT $6 OR n.planned = 0) "
        "ORDER BY n.created_at DESC, n.id DESC LIMIT $7",
        tenant,
        moment,
        id_,
        kind,
        course,
        unsubscribed,
        limit,
    )
    return [KeptNotice(**row) for row in rows]

"""Everything that history holds of one athlete, table by table, in one snapshot. Every query names tenant and athlete."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from services.decision.store.bodies import Envelopes
from services.decision.store.connection import Connection
from shared.placing import is_reserved

STALLED_S: Final = 60
"""So long the snapshot waits for a reader that takes nothing."""
AHEAD: Final = 100
"""Rows fetched at once."""

_BECAME: Final = """
CROSS JOIN LATERAL (
    SELECT status, path, reason FROM event_outcomes AS o
    WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id ORDER BY o.seq DESC, o.n DESC LIMIT 1
) AS o
"""

QUERIES: Final = {
    "events": "SELECT e.partition, e.seq, e.source, e.id, e.type, e.time, e.recorded_at, o.status, o.path, o.reason, e.body"
    f" FROM events AS e {_BECAME} WHERE e.tenant = $1 AND e.athlete = $2 ORDER BY e.partition, e.seq",
    "outcomes": "SELECT o.source, o.id, o.partition, o.seq, o.n, o.status, o.path, o.reason FROM events AS e"
    " JOIN event_outcomes AS o ON o.tenant = e.tenant AND o.source = e.source AND o.id = e.id"
    ' WHERE e.tenant = $1 AND e.athlete = $2 ORDER BY o.partition, o.seq, o.n, o.source COLLATE "C", o.id COLLATE "C"',
    "conflicts": "SELECT c.source, c.id, c.recorded_at, c.body FROM event_conflicts AS c WHERE c.tenant = $1 AND c.athlete = $2"
    ' ORDER BY c.recorded_at, c.source COLLATE "C", c.id COLLATE "C", c.digest',
    "courses": "SELECT course, protocol, status, seq AS decisions, as_of FROM courses WHERE tenant = $1 AND athlete = $2"
    ' ORDER BY course COLLATE "C"',
    "decisions": "SELECT course, seq, id::text AS id, cause_source AS because_source, cause_id AS because_id, as_of, as_at, body"
    ' FROM decisions WHERE tenant = $1 AND athlete = $2 ORDER BY course COLLATE "C", seq',
    "answers": f"SELECT e.source, e.id, e.time, o.status, e.body FROM events AS e {_BECAME}"
    " WHERE e.tenant = $1 AND e.athlete = $2 AND e.type = 'milepost.recommendation.answered' ORDER BY e.partition, e.seq",
    "notices": "SELECT id, type, course, seq, created_at, body FROM notices WHERE tenant = $1 AND athlete = $2 ORDER BY position",
    "deliveries": "SELECT d.id, d.notice, p.url, p.role, p.third_party, d.state, d.because, d.created_at, d.done_at FROM notices AS n"
    " JOIN deliveries AS d ON d.notice = n.id AND d.tenant = n.tenant LEFT JOIN endpoints AS p ON p.id = d.endpoint AND p.tenant = d.tenant"
    ' WHERE n.tenant = $1 AND n.athlete = $2 ORDER BY n.position, d.id COLLATE "C"',
    "attempts": "SELECT a.delivery, a.n, a.started_at, a.duration_ms, a.status, a.error, a.request_body AS sent, a.response_body AS heard"
    " FROM notices AS n JOIN deliveries AS d ON d.notice = n.id AND d.tenant = n.tenant"
    " JOIN attempts AS a ON a.delivery = d.id AND a.tenant = d.tenant"
    ' WHERE n.tenant = $1 AND n.athlete = $2 ORDER BY a.started_at, a.delivery COLLATE "C", a.n',
    "acknowledgements": "SELECT a.notice, a.course, a.by_key, a.at FROM notices AS n"
    " JOIN acknowledgements AS a ON a.notice = n.id AND a.tenant = n.tenant"
    ' WHERE n.tenant = $1 AND n.athlete = $2 ORDER BY a.at, a.notice COLLATE "C"',
    # A correction's terms stand under the corrected event too, by a source that no event has: here each event is told once.
    "terms": "SELECT t.source, t.id, t.terms FROM event_terms AS t WHERE t.tenant = $1 AND t.athlete = $2 AND EXISTS"
    " (SELECT 1 FROM events AS e WHERE e.tenant = t.tenant AND e.source = t.source AND e.id = t.id)"
    ' ORDER BY t.source COLLATE "C", t.id COLLATE "C"',
}


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[None]:
    """What is read inside stands as it was when it began. A reader that stalls for a minute loses it, and the connection."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STALLED_S}s'")
        yield


async def rows(connection: Connection, sealed: Envelopes, table: str, tenant: str, athlete: str) -> AsyncGenerator[dict[str, Any], None]:
    """The rows of one of `QUERIES`, in its order, as they were written; inside `snapshot`."""
    async for row in connection.cursor(QUERIES[table], tenant, athlete, prefetch=AHEAD):
        found = dict(row)
        if "body" in found:
            found["body"] = sealed.body(tenant, athlete, found["body"])
        if "reason" in found:
            found["reason"] = sealed.text(tenant, athlete, found["reason"])
        yield found


async def is_known(connection: Connection, tenant: str, athlete: str) -> bool:
    """Whether history has anything of the athlete: a key is made with the first event, but for those whose events are older than keys."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM keys.athlete_keys WHERE tenant = $1 AND athlete = $2 AND wrapped IS NOT NULL)"
        " OR EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND athlete = $2)"
    )
    return not is_reserved(athlete) and bool(await connection.fetchval(query, tenant, athlete))

"""What history held when a decision was made: the events known then, and where every course of the athlete stood."""

import orjson

from services.decision.store.athletes import History
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection
from services.decision.store.reads import DecisionRead, opened
from services.decision.store.rows import OUTSIDE_THE_FOLD

# An arrival may decide several times for one course, as reports that waited for a session follow it: those that followed are left out.
_EVENTS = f"""
SELECT e.body, e.digest FROM events AS e
WHERE e.tenant = $1 AND e.athlete = $2 AND e.seq <= $4
AND NOT EXISTS (
    SELECT 1 FROM event_outcomes AS o
    WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id AND o.seq = e.seq AND o.n = {OUTSIDE_THE_FOLD}
)
AND NOT EXISTS (
    SELECT 1 FROM decisions AS d
    WHERE d.tenant = e.tenant AND d.course = $3 AND d.event_seq = $4 AND d.seq > $5 AND d.cause_source = e.source AND d.cause_id = e.id
)
ORDER BY e.seq
"""

_LATEST = """
SELECT DISTINCT ON (d.course) d.course, d.seq, d.body FROM courses AS c
JOIN decisions AS d ON d.tenant = c.tenant AND d.course = c.course
WHERE c.tenant = $1 AND c.athlete = $2 AND d.event_seq <= $3 AND (d.course <> $4 OR d.seq <= $5)
ORDER BY d.course, d.seq DESC
"""


async def decision(connection: Connection, tenant: str, course: str, seq: int) -> DecisionRead | None:
    """The course's decision with this number."""
    row = await connection.fetchrow(
        "SELECT seq, event_seq, body, athlete FROM decisions WHERE tenant = $1 AND course = $2 AND seq = $3", tenant, course, seq
    )
    return (await opened(connection, tenant, [row]))[0] if row else None


async def history_at(connection: Connection, tenant: str, athlete: str, course: str, made: DecisionRead) -> History:
    """What the athlete's fold had seen when it made this decision of the course."""
    events = await connection.fetch(_EVENTS, tenant, athlete, course, made.event_seq, made.seq)
    latest = await connection.fetch(_LATEST, tenant, athlete, made.event_seq, course, made.seq)
    sealed = await envelopes(connection, [(tenant, athlete)])
    return History(
        [(sealed.body(tenant, athlete, row["body"]), row["digest"]) for row in events],
        {row["course"]: (row["seq"], orjson.loads(sealed.body(tenant, athlete, row["body"]))) for row in latest},
    )


async def decision_by_id(connection: Connection, tenant: str, decision: str) -> bytes | None:
    """The record of a decision, or None when the tenant has none by this id."""
    row = await connection.fetchrow(
        "SELECT seq, event_seq, body, athlete FROM decisions WHERE tenant = $1 AND id::text = $2", tenant, decision
    )
    return (await opened(connection, tenant, [row]))[0].body if row else None

"""Answers that took their place in history, each with the decision it answered."""

from datetime import datetime
from typing import NamedTuple

import orjson

from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection


class AnswerRead(NamedTuple):
    """An accepted answer event; `decision` is the record it answered."""

    athlete: str
    answer: str
    reason: str | None
    decision: bytes


# The answer names its decision, or else it answered what was in force for the course when it became known.
_ANSWERS = """
SELECT e.body, e.athlete, own.course, own.seq, d.body AS decision
FROM events AS e
CROSS JOIN LATERAL (
    SELECT o.status FROM event_outcomes AS o
    WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id ORDER BY o.seq DESC, o.n DESC LIMIT 1
) AS o
CROSS JOIN LATERAL (
    SELECT own.course, own.seq FROM decisions AS own
    WHERE own.tenant = e.tenant AND own.cause_source = e.source AND own.cause_id = e.id ORDER BY own.seq LIMIT 1
) AS own
CROSS JOIN LATERAL (
    SELECT d.body FROM decisions AS d WHERE d.tenant = e.tenant AND d.course = own.course AND d.seq < own.seq ORDER BY d.seq DESC LIMIT 1
) AS d
WHERE e.tenant = $1 AND e.type = 'milepost.recommendation.answered' AND o.status = 'accepted'
    AND ($2::timestamptz IS NULL OR e.time >= $2) AND ($3::timestamptz IS NULL OR e.time < $3)
ORDER BY e.time
"""


async def answers(connection: Connection, tenant: str, since: datetime | None, until: datetime | None) -> list[AnswerRead]:
    """The tenant's answers dated in [since, until), oldest first."""
    rows = await connection.fetch(_ANSWERS, tenant, since, until)
    sealed = await envelopes(connection, ((tenant, row["athlete"]) for row in rows))
    said = [orjson.loads(sealed.body(tenant, row["athlete"], row["body"]))["data"] for row in rows]
    answered = await _named(connection, tenant, {data["decision"] for data in said if data.get("decision") is not None})
    found = []
    for row, data in zip(rows, said, strict=True):
        named = answered.get((row["athlete"], row["course"], data.get("decision")))
        latest = row["decision"]
        decision = named[1] if named is not None and named[0] < row["seq"] else latest
        found.append(AnswerRead(row["athlete"], data["answer"], data.get("reason"), sealed.body(tenant, row["athlete"], decision)))
    return found


async def _named(connection: Connection, tenant: str, ids: set[str]) -> dict[tuple[str, str, str], tuple[int, bytes]]:
    """(athlete, course, id) of these decisions to their number and stored body."""
    rows = await connection.fetch(
        "SELECT athlete, course, seq, id::text AS id, body FROM decisions WHERE tenant = $1 AND id::text = ANY($2::text[])",
        tenant,
        sorted(ids),
    )
    return {(row["athlete"], row["course"], row["id"]): (row["seq"], row["body"]) for row in rows}

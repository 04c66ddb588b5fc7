"""Answers that took their place in history, each with the decision it answered."""

from datetime import datetime
from typing import NamedTuple

import orjson

from services.decision.store.connection import Connection


class AnswerRead(NamedTuple):
    """An accepted answer event; `decision` is the record it answered."""

    answer: str
    reason: str | None
    decision: bytes


# The answer names its decision, or else it answered what was in force for the course when it became known.
_ANSWERS = """
SELECT e.body, d.body AS decision
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
    SELECT d.body FROM decisions AS d WHERE d.tenant = e.tenant AND d.course = own.course AND d.seq < own.seq
    ORDER BY (d.id::text = convert_from(e.body, 'UTF8')::json -> 'data' ->> 'decision') DESC NULLS LAST, d.seq DESC LIMIT 1
) AS d
WHERE e.tenant = $1 AND e.type = 'milepost.recommendation.answered' AND o.status = 'accepted'
    AND ($2::timestamptz IS NULL OR e.time >= $2) AND ($3::timestamptz IS NULL OR e.time < $3)
ORDER BY e.time
"""


async def answers(connection: Connection, tenant: str, since: datetime | None, until: datetime | None) -> list[AnswerRead]:
    """The tenant's answers dated in [since, until), oldest first."""
    found = []
    for row in await connection.fetch(_ANSWERS, tenant, since, until):
        data = orjson.loads(row["body"])["data"]
        found.append(AnswerRead(data["answer"], data.get("reason"), row["decision"]))
    return found

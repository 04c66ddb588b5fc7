"""History as it stood at another moment: the decision in force then, by when it was true (`as_of`) and when it was known (`as_at`)."""

from datetime import datetime
from typing import NamedTuple

import orjson

from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection
from services.decision.store.reads import ENDED, UNFOLDED, CourseRead, DecisionRead


class When(NamedTuple):
    """True until `as_of`, known until `as_at`; None: now."""

    as_of: datetime | None = None
    as_at: datetime | None = None

    @property
    def is_now(self) -> bool:
        return self.as_of is None and self.as_at is None


NOW = When()

# A course has ended for a reader at a moment when the newest `course.ended` that made a decision until then was made.
_THEN = """
SELECT c.course, c.athlete, c.protocol AS latest_protocol, d.seq, d.event_seq, d.as_of, d.as_at, d.body, EXISTS (
    SELECT 1 FROM decisions AS e JOIN events AS v ON v.tenant = e.tenant AND v.source = e.cause_source AND v.id = e.cause_id
    WHERE e.tenant = d.tenant AND e.course = d.course AND e.seq <= d.seq AND v.type = 'milepost.course.ended'
) AS ended
FROM courses AS c JOIN LATERAL (
    SELECT * FROM decisions AS d WHERE d.tenant = c.tenant AND d.course = c.course
        AND ($2::timestamptz IS NULL OR d.as_of <= $2) AND ($3::timestamptz IS NULL OR d.as_at <= $3)
    ORDER BY d.seq DESC LIMIT 1
) AS d ON true
WHERE c.tenant = $1
"""

_RANK = {"stop_and_refer": 0, "review": 1}


async def _then(connection: Connection, tenant: str, when: When, condition: str, *values: str) -> list[tuple[CourseRead, DecisionRead]]:
    """Courses with the decision in force then; what a course's row says now is read out of that decision."""
    rows = await connection.fetch(_THEN + condition, tenant, when.as_of, when.as_at, *values)
    sealed = await envelopes(connection, ((tenant, row["athlete"]) for row in rows))
    found = []
    for row in rows:
        body = sealed.body(tenant, row["athlete"], row["body"])
        told = orjson.loads(body)
        course = CourseRead(
            course=row["course"],
            athlete=row["athlete"],
            protocol=f"{told['protocol']['id']}@{told['protocol']['version']}",
            status=ENDED if row["ended"] else "open",
            seq=row["seq"],
            urgency=told["urgency"],
            answered=told.get("answer") is not None,
            as_of=row["as_of"],
            as_at=row["as_at"],
            state=UNFOLDED,
            decision=body,
        )
        found.append((course, DecisionRead(row["seq"], row["event_seq"], body)))
    return found


async def course(connection: Connection, tenant: str, course: str, when: When) -> tuple[CourseRead, DecisionRead] | None:
    """The course with the decision in force then; None when there was none. Its `state` is for the fold to find."""
    found = await _then(connection, tenant, when, " AND c.course = $4", course)
    return found[0] if found else None


async def courses_of(connection: Connection, tenant: str, athlete: str, when: When) -> list[tuple[CourseRead, DecisionRead]]:
    """All courses that the athlete had then, by id."""
    return await _then(connection, tenant, when, " AND c.athlete = $4 ORDER BY c.course", athlete)


async def worklist(
    connection: Connection,
    tenant: str,
    when: When,
    urgency: str | None,
    unanswered: bool,
    after: tuple[int, datetime, str] | None,
    limit: int,
) -> list[CourseRead]:
    """As `reads.worklist`, then."""
    found = [
        (_RANK.get(one.urgency, 2), one.as_at, one.course, one)
        for one, _ in await _then(connection, tenant, when, "")
        if one.status != ENDED and urgency in (None, one.urgency) and not (unanswered and one.answered)
    ]
    behind = [one for one in found if after is None or one[:3] > after]
    return [one[3] for one in sorted(behind, key=lambda one: one[:3])[:limit]]


async def outcome(connection: Connection, tenant: str, source: str, id: str, when: When) -> tuple[str, str | None, str | None] | None:
    """What had become of the event by then: (status, path, reason); None when it was not known."""
    row = await connection.fetchrow(
        "SELECT o.status, o.path, o.reason, e.athlete FROM event_outcomes AS o"
        " JOIN events AS brought ON brought.partition = o.partition AND brought.seq = o.seq"
        " JOIN events AS e ON e.tenant = o.tenant AND e.source = o.source AND e.id = o.id"
        " WHERE o.tenant = $1 AND o.source = $2 AND o.id = $3 AND ($4::timestamptz IS NULL OR e.time <= $4)"
        " AND ($5::timestamptz IS NULL OR brought.recorded_at <= $5) ORDER BY o.seq DESC, o.n DESC LIMIT 1",
        tenant,
        source,
        id,
        when.as_of,
        when.as_at,
    )
    if row is None:
        return None
    sealed = await envelopes(connection, [(tenant, row["athlete"])])
    return (row["status"], row["path"], sealed.text(tenant, row["athlete"], row["reason"]))

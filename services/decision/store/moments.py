"""History as it stood at another moment: the decision in force then, by when it was true (`as_of`) and when it was known (`as_at`)."""

from datetime import datetime
from typing import NamedTuple

from services.decision.store.connection import Connection
from services.decision.store.reads import CourseRead, DecisionRead


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
) AS ended, convert_from(d.body, 'UTF8')::json AS told
FROM courses AS c JOIN LATERAL (
    SELECT * FROM decisions AS d WHERE d.tenant = c.tenant AND d.course = c.course
        AND ($2::timestamptz IS NULL OR d.as_of <= $2) AND ($3::timestamptz IS NULL OR d.as_at <= $3)
    ORDER BY d.seq DESC LIMIT 1
) AS d ON true
WHERE c.tenant = $1
"""

_FIELDS = """
SELECT t.course, t.athlete, (t.told -> 'protocol' ->> 'id') || '@' || (t.told -> 'protocol' ->> 'version') AS protocol,
    CASE WHEN t.ended THEN 'ended' ELSE 'open' END AS status, t.seq, t.told ->> 'urgency' AS urgency,
    t.told ->> 'answer' IS NOT NULL AS answered, t.as_of, t.as_at, 'null' AS state, t.body AS decision, t.event_seq,
    CASE t.told ->> 'urgency' WHEN 'stop_and_refer' THEN 0 WHEN 'review' THEN 1 ELSE 2 END AS rank
FROM ({then}) AS t
"""


async def course(connection: Connection, tenant: str, course: str, when: When) -> tuple[CourseRead, DecisionRead] | None:
    """The course with the decision in force then; None when there was none. Its `state` is for the fold to find."""
    row = await connection.fetchrow(_FIELDS.format(then=_THEN + " AND c.course = $4"), tenant, when.as_of, when.as_at, course)
    return None if row is None else (CourseRead(*row[:11]), DecisionRead(row["seq"], row["event_seq"], row["decision"]))


async def courses_of(connection: Connection, tenant: str, athlete: str, when: When) -> list[tuple[CourseRead, DecisionRead]]:
    """All courses that the athlete had then, by id."""
    query = _FIELDS.format(then=_THEN + " AND c.athlete = $4") + " ORDER BY t.course"
    rows = await connection.fetch(query, tenant, when.as_of, when.as_at, athlete)
    return [(CourseRead(*row[:11]), DecisionRead(row["seq"], row["event_seq"], row["decision"])) for row in rows]


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
    rank, as_at, name = after or (-1, None, None)
    rows = await connection.fetch(
        f"SELECT * FROM ({_FIELDS.format(then=_THEN)}) AS w WHERE status <> 'ended' AND ($4::text IS NULL OR urgency = $4)"
        " AND (NOT $5 OR NOT answered) AND ($6 < 0 OR (rank, as_at, course) > ($6, $7::timestamptz, $8::text))"
        " ORDER BY rank, as_at, course LIMIT $9",
        tenant,
        when.as_of,
        when.as_at,
        urgency,
        unanswered,
        rank,
        as_at,
        name,
        limit,
    )
    return [CourseRead(*row[:11]) for row in rows]


async def outcome(connection: Connection, tenant: str, source: str, id: str, when: When) -> tuple[str, str | None, str | None] | None:
    """What had become of the event by then: (status, path, reason); None when it was not known."""
    row = await connection.fetchrow(
        "SELECT o.status, o.path, o.reason FROM event_outcomes AS o"
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
    return None if row is None else (row["status"], row["path"], row["reason"])

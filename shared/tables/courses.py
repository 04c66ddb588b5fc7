"""What follows from history and may be rebuilt from it: courses, timers, messages to be published."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text

from shared.tables.base import instant, metadata

# Projection: one row per course, its latest decision and what the worklist sorts by. `state` is JSON under the athlete's key; null: folded
# when it is asked for.
courses = Table(
    "courses",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("urgency", Text, nullable=False),
    Column("answered", Boolean, nullable=False),
    instant("as_of"),
    instant("as_at"),
    Column("state", LargeBinary, nullable=True),
    PrimaryKeyConstraint("tenant", "course"),
    Index("courses_athlete", "tenant", "athlete"),
    Index("courses_worklist", "tenant", "urgency", "as_at", "course"),
)

# When time itself will matter to a course: valid_until, eligible_from, report_due.
timers = Table(
    "timers",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    instant("due"),
    PrimaryKeyConstraint("tenant", "course", "kind"),
    Index("timers_due", "due"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("outbox", BigInteger, primary_key=True, autoincrement=True),
    Column("partition", Integer, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("outbox_partition", "partition", "outbox"),
)

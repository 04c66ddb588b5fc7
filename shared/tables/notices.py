"""Notices: endpoints, what they were told, every attempt, policies, escalations and answers."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.tables.base import instant, metadata

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("types", ARRAY(Text), nullable=False),
    Column("payload", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    instant("created_at"),
    instant("disabled_at", nullable=True),
    Column("disabled_because", Text, nullable=True),
    instant("deleted_at", nullable=True),
    Column("signatures", ARRAY(Text), nullable=False, server_default="{v1}"),
    Column("public_key", Text, nullable=True),
    Column("retired_secret", LargeBinary, nullable=True),
    instant("retired_until", nullable=True),
    instant("verified_at", nullable=True),
    Column("escalates", Boolean, nullable=False, server_default="false"),
    Column("third_party", Boolean, nullable=False, server_default="false"),
    Column("quiet_hours", JSONB, nullable=True),
    Column("answers_by", Text, nullable=True),
    instant("failing_since", nullable=True),
    instant("rests_until", nullable=True),
    Index("endpoints_tenant", "tenant"),
)

# What is told, once per outbox row and type; `id` is the webhook-id, `position` the order in which notices became visible, `planned` how
# many endpoints it concerned: 0 says that nobody was subscribed.
notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("outbox", BigInteger, nullable=True),
    Column("tenant", Text, nullable=False),
    Column("athlete", Text, nullable=True),
    Column("course", Text, nullable=True),
    Column("seq", BigInteger, nullable=True),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    instant("created_at"),
    # bigserial
    Column("position", BigInteger, nullable=False),
    Column("planned", Integer, nullable=False, server_default="0"),
    UniqueConstraint("outbox", "type"),
    Index("notices_course", "tenant", "course", "seq"),
    Index("notices_position", "position", unique=True),
    Index("notices_tenant", "tenant", "position"),
)

# Up to which stream sequence of DECISIONS everything is told: one row.
notice_reading = Table(
    "notice_reading",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("stream_seq", BigInteger, nullable=False),
)

# What the course was last told, and what waits for the coalescing window to end.
course_notices = Table(
    "course_notices",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("told", JSONB, nullable=True),
    Column("told_seq", BigInteger, nullable=True),
    instant("told_at", nullable=True),
    Column("waiting", JSONB, nullable=True),
    Column("waiting_outbox", BigInteger, nullable=True),
    instant("waiting_until", nullable=True),
    PrimaryKeyConstraint("tenant", "course"),
    Index("course_notices_waiting", "waiting_until"),
)

# state: pending | delivered | cancelled | exhausted | blocked
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("course", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("because", Text, nullable=True),
    Column("tries", Integer, nullable=False),
    instant("next_at", nullable=True),
    instant("created_at"),
    instant("done_at", nullable=True),
    UniqueConstraint("notice", "endpoint"),
    Index("deliveries_pending", "endpoint", "next_at", postgresql_where=text("state = 'pending'")),
    Index("deliveries_course", "endpoint", "course", postgresql_where=text("state = 'pending'")),
    Index("deliveries_endpoint", "tenant", "endpoint", "created_at"),
)

# Every attempt with the exact bytes that left.
attempts = Table(
    "attempts",
    metadata,
    Column("delivery", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("tenant", Text, nullable=False),
    instant("started_at"),
    Column("duration_ms", Integer, nullable=False),
    Column("status", Integer, nullable=True),
    Column("error", Text, nullable=True),
    Column("request_headers", JSONB, nullable=False),
    Column("request_body", LargeBinary, nullable=False),
    Column("response_body", LargeBinary, nullable=True),
    PrimaryKeyConstraint("delivery", "n"),
)

# How a tenant has notices released and escalated; the greatest version counts.
notice_policies = Table(
    "notice_policies",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("coach_release", Text, nullable=False),
    Column("acknowledge_within_s", Integer, nullable=False),
    Column("answer_within_s", Integer, nullable=False),
    instant("changed_at"),
    Column("changed_by", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "version"),
)

# What somebody has to take up: kind `referral` or `unanswered`. `notice` is the first that said it, `said` its stored form, `step` how
# often it was said again, `due` when it is said next (null: closed, `closed_because` says why).
escalations = Table(
    "escalations",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("said", LargeBinary, nullable=False),
    Column("step", Integer, nullable=False),
    instant("due", nullable=True),
    instant("opened_at"),
    Column("closed_because", Text, nullable=True),
    PrimaryKeyConstraint("tenant", "course", "kind"),
    Index("escalations_due", "due"),
    Index("escalations_notice", "tenant", "notice"),
)

# A person took a referral up: which notice, whose key, when.
acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("by_key", Text, nullable=False),
    instant("at"),
    PrimaryKeyConstraint("tenant", "notice"),
)

# One-time answer links that were used.
answer_links = Table(
    "answer_links",
    metadata,
    Column("id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("decision", Text, nullable=False),
    instant("used_at"),
    PrimaryKeyConstraint("tenant", "id"),
)

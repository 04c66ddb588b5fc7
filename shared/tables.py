"""Every table, as SQLAlchemy Core. `migrations/` builds the same schema; a test compares the two.

History (`APPEND_ONLY`, at the end) is append-only: the role the services use cannot update or delete it. The keys of athletes stand in a
schema of their own (`key_metadata`), apart from the data. Everything else is a projection, a schedule or a lease, and may be rebuilt from
history. A `commitment` stands for the columns before it (docs/proof.md).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

metadata = MetaData()
key_metadata = MetaData(schema="keys")


def _instant(name: str, nullable: bool = False) -> Column:  # type: ignore[type-arg]
    return Column(name, DateTime(timezone=True), nullable=nullable)


api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    _instant("created_at"),
    _instant("expires_at", nullable=True),
    _instant("revoked_at", nullable=True),
    _instant("last_used_at", nullable=True),
    Index("api_keys_tenant", "tenant"),
)

# One row per partition: who may write it (owner, epoch, lease_until), how far the bus was read (stream_seq), how long history is (seq), how
# many conflicts were kept, and up to which seq there are no commitments, because rows are older than those.
partition_heads = Table(
    "partition_heads",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("owner", Text, nullable=True),
    _instant("lease_until", nullable=True),
    Column("stream_seq", BigInteger, nullable=False, server_default="0"),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("conflicts", BigInteger, nullable=False, server_default="0"),
    Column("unproven", BigInteger, nullable=False, server_default="0"),
)

# Every event history holds, in the order it was received; `seq` is gapless within its partition. `body` is canonical JSON, as received
# from the bus with `tenant` and `recordedtime`. `stream_seq` is null for events that decision itself appends.
events = Table(
    "events",
    metadata,
    Column("partition", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    _instant("time"),
    _instant("recorded_at"),
    Column("stream_seq", BigInteger, nullable=True),
    Column("digest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=True),
    Column("leaf", LargeBinary, nullable=True),
    PrimaryKeyConstraint("partition", "seq"),
    UniqueConstraint("tenant", "source", "id"),
    Index("events_athlete", "tenant", "athlete", "partition", "seq"),
    Index("events_answers", "tenant", "time", postgresql_where=text("type = 'milepost.recommendation.answered'")),
)

# What became of an event: accepted, refused or parked; the row with the greatest (seq, n) counts. `seq` is the partition sequence of the
# event whose arrival brought this outcome.
event_outcomes = Table(
    "event_outcomes",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("path", Text, nullable=True),
    Column("reason", Text, nullable=True),
    Column("partition", Integer, nullable=False),
    Column("commitment", LargeBinary, nullable=True),
    PrimaryKeyConstraint("tenant", "source", "id", "seq", "n"),
)

# The same key with other content: refused, and kept; `n` counts them from 1 in their partition.
event_conflicts = Table(
    "event_conflicts",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _instant("recorded_at"),
    Column("body", LargeBinary, nullable=False),
    Column("athlete", Text, nullable=True),
    Column("partition", Integer, nullable=True),
    Column("n", BigInteger, nullable=True),
    Column("commitment", LargeBinary, nullable=True),
    PrimaryKeyConstraint("tenant", "source", "id", "digest"),
    UniqueConstraint("partition", "n"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", UUID(as_uuid=True), nullable=False),
    Column("athlete", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
    Column("cause_source", Text, nullable=False),
    Column("cause_id", Text, nullable=False),
    _instant("as_of"),
    _instant("as_at"),
    Column("body", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=True),
    PrimaryKeyConstraint("tenant", "course", "seq"),
    # Ids are made of course, seq, source and event id: two tenants may have the same.
    UniqueConstraint("tenant", "id"),
    Index("decisions_cause", "tenant", "cause_source", "cause_id"),
    Index("decisions_history", "partition", "event_seq"),
)

# Signed notes: the first `size` leaves of this tree have the root that the note says. A tree is named for its table; partition 0 where the
# table has none.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tree", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    _instant("created_at"),
    PrimaryKeyConstraint("tree", "partition", "size"),
)

# Commitments to rows of append-only tables that stand in no partition's history, in the order they were sealed; `row` names the row.
seals = Table(
    "seals",
    metadata,
    Column("tree", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("row", Text, nullable=False),
    Column("commitment", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tree", "n"),
    UniqueConstraint("tree", "row"),
)

# Projection: roots of whole blocks of 256 leaves, so that a proof reads a few hundred hashes.
tree_blocks = Table(
    "tree_blocks",
    metadata,
    Column("tree", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tree", "partition", "block"),
)

# One key per athlete, wrapped with the installation's secret key; null once it was destroyed.
athlete_keys = Table(
    "athlete_keys",
    key_metadata,
    Column("tenant", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=True),
    _instant("created_at"),
    _instant("erased_at", nullable=True),
    PrimaryKeyConstraint("tenant", "athlete"),
)

# Up to which stream sequence bus and history were compared, and what each window of reception held. A window that was compared in parts
# has a row for each.
reconciled = Table(
    "reconciled",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("stream_seq", BigInteger, nullable=False),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    _instant("begin"),
    Column("bus", BigInteger, nullable=False),
    Column("bus_digest", LargeBinary, nullable=False),
    Column("history", BigInteger, nullable=False),
    Column("history_digest", LargeBinary, nullable=False),
    Column("missing", BigInteger, nullable=False),
    _instant("compared_at"),
    Index("reconciliations_begin", "begin"),
)

# Replays of history. `tenant` null: of all. Everything up to (after_tenant, after_athlete) is done. state: running | done | failed
replays = Table(
    "replays",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=True),
    Column("actor", Text, nullable=False),
    Column("asked", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("because", Text, nullable=True),
    _instant("started_at"),
    _instant("seen_at"),
    _instant("ended_at", nullable=True),
    *(Column(name, BigInteger, nullable=False) for name in ("athletes", "done", "erased", "decisions", "differences")),
    Column("after_tenant", Text, nullable=True),
    Column("after_athlete", Text, nullable=True),
    Index("replays_tenant", "tenant", "started_at"),
)

# What a replay made otherwise than history has it, numbered from 1: both records side by side.
replay_differences = Table(
    "replay_differences",
    metadata,
    Column("replay", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("course", Text, nullable=True),
    Column("seq", BigInteger, nullable=True),
    Column("what", Text, nullable=False),
    Column("fields", ARRAY(Text), nullable=False),
    Column("stored", LargeBinary, nullable=True),
    Column("again", LargeBinary, nullable=True),
    PrimaryKeyConstraint("replay", "n"),
)

# Projection: one row per course, its latest decision and what the worklist sorts by.
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
    _instant("as_of"),
    _instant("as_at"),
    Column("state", JSONB, nullable=False),
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
    _instant("due"),
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
    _instant("created_at"),
    _instant("disabled_at", nullable=True),
    Column("disabled_because", Text, nullable=True),
    _instant("deleted_at", nullable=True),
    Column("signatures", ARRAY(Text), nullable=False, server_default="{v1}"),
    Column("public_key", Text, nullable=True),
    Column("retired_secret", LargeBinary, nullable=True),
    _instant("retired_until", nullable=True),
    _instant("verified_at", nullable=True),
    Column("escalates", Boolean, nullable=False, server_default="false"),
    Column("third_party", Boolean, nullable=False, server_default="false"),
    Column("quiet_hours", JSONB, nullable=True),
    Column("answers_by", Text, nullable=True),
    _instant("failing_since", nullable=True),
    _instant("rests_until", nullable=True),
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
    _instant("created_at"),
    # bigserial
    Column("position", BigInteger, nullable=False),
    Column("planned", Integer, nullable=False, server_default="0"),
    UniqueConstraint("outbox", "type"),
    Index("notices_course", "tenant", "course", "seq"),
    Index("notices_position", "position", unique=True),
    Index("notices_tenant", "tenant", "position"),
)

# What the course was last told, and what waits for the coalescing window to end.
course_notices = Table(
    "course_notices",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("told", JSONB, nullable=True),
    Column("told_seq", BigInteger, nullable=True),
    _instant("told_at", nullable=True),
    Column("waiting", JSONB, nullable=True),
    Column("waiting_outbox", BigInteger, nullable=True),
    _instant("waiting_until", nullable=True),
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
    _instant("next_at", nullable=True),
    _instant("created_at"),
    _instant("done_at", nullable=True),
    UniqueConstraint("endpoint", "notice"),
    Index("deliveries_pending", "endpoint", "next_at", postgresql_where=text("state = 'pending'")),
    Index("deliveries_endpoint", "tenant", "endpoint", "created_at"),
)

# Every attempt with the exact bytes that left.
attempts = Table(
    "attempts",
    metadata,
    Column("delivery", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("tenant", Text, nullable=False),
    _instant("started_at"),
    Column("duration_ms", Integer, nullable=False),
    Column("status", Integer, nullable=True),
    Column("error", Text, nullable=True),
    Column("request_headers", JSONB, nullable=False),
    Column("request_body", LargeBinary, nullable=False),
    Column("response_body", LargeBinary, nullable=True),
    PrimaryKeyConstraint("delivery", "n"),
)

# What happened to rule packs, per scope (a tenant, or empty for the packs everybody has); `source` and `floors`: the YAML of a draft.
pack_events = Table(
    "pack_events",
    metadata,
    Column("scope", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("hash", Text, nullable=False),
    _instant("at"),
    Column("body", LargeBinary, nullable=False),
    Column("source", LargeBinary, nullable=True),
    Column("floors", ARRAY(LargeBinary), nullable=True),
    PrimaryKeyConstraint("scope", "pack", "seq"),
)

# Runs of drafts over stored history; `seen_at` is when somebody last worked on the run. state: running | done | cancelled | failed
backtests = Table(
    "backtests",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("over", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("because", Text, nullable=True),
    _instant("started_at"),
    _instant("seen_at"),
    _instant("ended_at", nullable=True),
    Column("athletes", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("counts", JSONB, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("backtests_pack", "tenant", "pack", "started_at"),
)

# Decisions that a draft would have made otherwise; `after` is null where it could not decide, and `because` says why.
backtest_differences = Table(
    "backtest_differences",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("backtest", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("before", LargeBinary, nullable=False),
    Column("after", LargeBinary, nullable=True),
    Column("because", Text, nullable=True),
    PrimaryKeyConstraint("tenant", "backtest", "n"),
)

# What a pack in shadow would have decided beside each live decision; told to nobody. `body` is null where it decides the same or could not.
shadow_decisions = Table(
    "shadow_decisions",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("pack", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("course", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("direction", Text, nullable=False),
    _instant("as_of"),
    _instant("recorded_at"),
    Column("body", LargeBinary, nullable=True),
    Column("because", Text, nullable=True),
    PrimaryKeyConstraint("tenant", "pack", "hash", "course", "seq"),
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
    _instant("changed_at"),
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
    _instant("due", nullable=True),
    _instant("opened_at"),
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
    _instant("at"),
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
    _instant("used_at"),
    PrimaryKeyConstraint("tenant", "id"),
)

# Events whose source attached terms (`no_coach`, `no_third_party`); few have any.
event_terms = Table(
    "event_terms",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("terms", ARRAY(Text), nullable=False),
    PrimaryKeyConstraint("tenant", "source", "id"),
    Index("event_terms_athlete", "tenant", "athlete"),
)

APPEND_ONLY = (
    *("events", "event_outcomes", "event_conflicts", "decisions", "notices", "attempts", "checkpoints", "seals", "pack_events"),
    *("notice_policies", "acknowledgements", "answer_links", "event_terms"),
)

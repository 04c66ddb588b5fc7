"""History and who may write it: events, what became of them, decisions, terms of their sources."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from shared.tables.base import instant, metadata

# One row per partition: who may write it (owner, epoch, lease_until), how far the bus was read (stream_seq), how long history is (seq), how
# many conflicts were kept, up to which seq there are no commitments, because rows are older than those, and how many erasures were carried
# out in it, as `keys.erasures` had them then.
partition_heads = Table(
    "partition_heads",
    metadata,
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("owner", Text, nullable=True),
    instant("lease_until", nullable=True),
    Column("stream_seq", BigInteger, nullable=False, server_default="0"),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("conflicts", BigInteger, nullable=False, server_default="0"),
    Column("unproven", BigInteger, nullable=False, server_default="0"),
    Column("erasures", BigInteger, nullable=False, server_default="0"),
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
    instant("time"),
    instant("recorded_at"),
    Column("stream_seq", BigInteger, nullable=True),
    Column("digest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=True),
    Column("leaf", LargeBinary, nullable=True),
    PrimaryKeyConstraint("partition", "seq"),
    UniqueConstraint("tenant", "source", "id"),
    Index("events_athlete", "tenant", "athlete", "partition", "seq"),
    # Those that came of athletes who were erased before (source: remains.LATE).
    Index("events_late", "partition", "seq", postgresql_where=text("source = 'urn:milepost:erased'")),
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
    Index("event_outcomes_history", "partition", "seq"),
)

# The same key with other content: refused, and kept; `n` counts them from 1 in their partition.
event_conflicts = Table(
    "event_conflicts",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    instant("recorded_at"),
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
    instant("as_of"),
    instant("as_at"),
    Column("body", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=True),
    PrimaryKeyConstraint("tenant", "course", "seq"),
    # Ids are made of course, seq, source and event id: two tenants may have the same.
    UniqueConstraint("tenant", "id"),
    Index("decisions_cause", "tenant", "cause_source", "cause_id"),
    Index("decisions_history", "partition", "event_seq"),
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

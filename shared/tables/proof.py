"""What stands for history: checkpoints, seals, the athletes' keys (a schema of their own), and the records of its checks."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.tables.base import instant, key_metadata, metadata

# Signed notes: the first `size` leaves of this tree have the root that the note says. A tree is named for its table; partition 0 where the
# table has none.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tree", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    instant("created_at"),
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

# Projection: stretches of a tree that were checked row by row once. `root` is that of the stretch's own leaves, `erased` how many of its
# rows were erased, `mac` stands for every stored byte of it, under a key that the database does not have. Wrong or missing, it costs time.
proven = Table(
    "proven",
    metadata,
    Column("tree", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("leaves", Integer, nullable=False),
    Column("erased", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tree", "partition", "number"),
)

# One key per athlete, wrapped with the installation's secret key; null once it was destroyed.
athlete_keys = Table(
    "athlete_keys",
    key_metadata,
    Column("tenant", Text, nullable=False),
    Column("athlete", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=True),
    instant("created_at"),
    instant("erased_at", nullable=True),
    PrimaryKeyConstraint("tenant", "athlete"),
)

# Whom history was asked to forget, by pseudonym alone. `event` is the event that asks for it, `bus_seq` up to where the bus was cleared of
# them. It is kept with the keys: a backup of the data does not bring anybody back.
erasures = Table(
    "erasures",
    key_metadata,
    Column("tenant", Text, nullable=False),
    Column("pseudonym", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("event", LargeBinary, nullable=False),
    instant("requested_at"),
    instant("erased_at", nullable=True),
    instant("scrubbed_at", nullable=True),
    Column("bus_seq", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("tenant", "pseudonym"),
    Index("erasures_newest", "requested_at"),
    Index("erasures_waiting", "requested_at", postgresql_where=text("erased_at IS NULL")),
    Index("erasures_unscrubbed", "erased_at", postgresql_where=text("scrubbed_at IS NULL")),
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
    instant("begin"),
    Column("bus", BigInteger, nullable=False),
    Column("bus_digest", LargeBinary, nullable=False),
    Column("history", BigInteger, nullable=False),
    Column("history_digest", LargeBinary, nullable=False),
    Column("missing", BigInteger, nullable=False),
    instant("compared_at"),
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
    instant("started_at"),
    instant("seen_at"),
    instant("ended_at", nullable=True),
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

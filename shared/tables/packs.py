"""The lives of rule packs, backtests and shadow decisions."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.tables.base import instant, metadata

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
    instant("at"),
    Column("body", LargeBinary, nullable=False),
    Column("source", LargeBinary, nullable=True),
    Column("floors", ARRAY(LargeBinary), nullable=True),
    PrimaryKeyConstraint("scope", "pack", "seq"),
)

# Runs of drafts, kind: backtest (over stored history; athletes, done: how many of them) | test (its tests; mutants).
# Of both, `seen_at` is when somebody last worked on the run. state: running | done | cancelled | failed
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
    instant("started_at"),
    instant("seen_at"),
    instant("ended_at", nullable=True),
    Column("athletes", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("counts", JSONB, nullable=False),
    Column("kind", Text, nullable=False, server_default="backtest"),
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
    instant("as_of"),
    instant("recorded_at"),
    Column("body", LargeBinary, nullable=True),
    Column("because", Text, nullable=True),
    PrimaryKeyConstraint("tenant", "pack", "hash", "course", "seq"),
)

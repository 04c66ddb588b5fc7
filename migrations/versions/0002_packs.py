"""The life of rule packs, and what drafts and shadows would have decided."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    """CREATE TABLE pack_events (
        scope text NOT NULL,
        pack text NOT NULL,
        seq bigint NOT NULL,
        kind text NOT NULL,
        actor text NOT NULL,
        role text NOT NULL,
        hash text NOT NULL,
        at timestamptz NOT NULL,
        body bytea NOT NULL,
        source bytea,
        floors bytea[],
        PRIMARY KEY (scope, pack, seq)
    )""",
    """CREATE TABLE backtests (
        tenant text NOT NULL,
        id text NOT NULL,
        pack text NOT NULL,
        hash text NOT NULL,
        over text NOT NULL,
        actor text NOT NULL,
        state text NOT NULL,
        because text,
        started_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        ended_at timestamptz,
        athletes bigint NOT NULL,
        done bigint NOT NULL,
        counts jsonb NOT NULL,
        PRIMARY KEY (tenant, id)
    )""",
    "CREATE INDEX backtests_pack ON backtests (tenant, pack, started_at)",
    """CREATE TABLE backtest_differences (
        tenant text NOT NULL,
        backtest text NOT NULL,
        n bigint NOT NULL,
        direction text NOT NULL,
        athlete text NOT NULL,
        course text NOT NULL,
        seq bigint NOT NULL,
        before bytea NOT NULL,
        after bytea,
        because text,
        PRIMARY KEY (tenant, backtest, n)
    )""",
    """CREATE TABLE shadow_decisions (
        tenant text NOT NULL,
        pack text NOT NULL,
        hash text NOT NULL,
        course text NOT NULL,
        seq bigint NOT NULL,
        athlete text NOT NULL,
        direction text NOT NULL,
        as_of timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        body bytea,
        because text,
        PRIMARY KEY (tenant, pack, hash, course, seq)
    )""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)

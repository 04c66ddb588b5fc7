"""Replays of history, their progress, and what they found to differ."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """CREATE TABLE replays (
            id text PRIMARY KEY,
            tenant text,
            actor text NOT NULL,
            asked jsonb NOT NULL,
            state text NOT NULL,
            because text,
            started_at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            ended_at timestamptz,
            athletes bigint NOT NULL,
            done bigint NOT NULL,
            erased bigint NOT NULL,
            decisions bigint NOT NULL,
            differences bigint NOT NULL,
            after_tenant text,
            after_athlete text
        )"""
    )
    op.execute("CREATE INDEX replays_tenant ON replays (tenant, started_at)")
    op.execute(
        """CREATE TABLE replay_differences (
            replay text NOT NULL,
            n bigint NOT NULL,
            tenant text NOT NULL,
            athlete text NOT NULL,
            course text,
            seq bigint,
            what text NOT NULL,
            fields text[] NOT NULL,
            stored bytea,
            again bytea,
            PRIMARY KEY (replay, n)
        )"""
    )

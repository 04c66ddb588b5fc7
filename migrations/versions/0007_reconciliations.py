"""What was compared between bus and history."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE reconciled (one integer PRIMARY KEY, stream_seq bigint NOT NULL)")
    op.execute(
        """CREATE TABLE reconciliations (
            id bigserial PRIMARY KEY,
            begin timestamptz NOT NULL,
            bus bigint NOT NULL,
            bus_digest bytea NOT NULL,
            history bigint NOT NULL,
            history_digest bytea NOT NULL,
            missing bigint NOT NULL,
            compared_at timestamptz NOT NULL
        )"""
    )
    op.execute("CREATE INDEX reconciliations_begin ON reconciliations (begin)")

"""Runs of a draft are of two kinds now: over stored history, and through its own tests."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE backtests ADD COLUMN kind text NOT NULL DEFAULT 'backtest'")

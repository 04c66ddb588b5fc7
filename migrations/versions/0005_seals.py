"""Commitments to the rows of append-only tables that have no place in a partition's history."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """CREATE TABLE seals (
            tree text NOT NULL,
            n bigint NOT NULL,
            row text NOT NULL,
            commitment bytea NOT NULL,
            PRIMARY KEY (tree, n),
            UNIQUE (tree, row)
        )"""
    )

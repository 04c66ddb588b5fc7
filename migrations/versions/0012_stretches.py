"""Proofs of whole stretches of a tree, so that they are verified as fast as they are read; outcomes found by their place in history."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX event_outcomes_history ON event_outcomes (partition, seq)")
    op.execute(
        """CREATE TABLE proven (
            tree text NOT NULL,
            partition integer NOT NULL,
            number bigint NOT NULL,
            leaves integer NOT NULL,
            erased bigint NOT NULL,
            root bytea NOT NULL,
            mac bytea NOT NULL,
            PRIMARY KEY (tree, partition, number)
        )"""
    )

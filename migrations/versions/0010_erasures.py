"""Whom history was asked to forget: kept with the keys, apart from the data, so that a restored backup forgets them again."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """CREATE TABLE keys.erasures (
            tenant text NOT NULL,
            pseudonym text NOT NULL,
            partition integer NOT NULL,
            event bytea NOT NULL,
            requested_at timestamptz NOT NULL,
            erased_at timestamptz,
            scrubbed_at timestamptz,
            bus_seq bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (tenant, pseudonym)
        )"""
    )

"""How far notify has told the bus, and what makes looking for erasures cost nothing for those long carried out."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE notice_reading (one integer PRIMARY KEY, stream_seq bigint NOT NULL)")
    op.execute("CREATE INDEX events_late ON events (partition, seq) WHERE source = 'urn:milepost:erased'")
    op.execute("CREATE INDEX erasures_newest ON keys.erasures (requested_at)")
    op.execute("CREATE INDEX erasures_waiting ON keys.erasures (requested_at) WHERE erased_at IS NULL")
    op.execute("CREATE INDEX erasures_unscrubbed ON keys.erasures (erased_at) WHERE scrubbed_at IS NULL")

"""Conflicts from before they were numbered say whose they are, so that an erasure finds them."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Stored in the clear, as canonical JSON: each was read as an event before it was found to conflict.
WHOSE = "UPDATE event_conflicts SET athlete = convert_from(body, 'UTF8')::json ->> 'subject' WHERE athlete IS NULL"


def upgrade() -> None:
    op.execute(WHOSE)

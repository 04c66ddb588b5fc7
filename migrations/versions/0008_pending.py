"""One index less on deliveries: what is pending is found by the partial one, and each delivery wrote this one twice."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX deliveries_due")

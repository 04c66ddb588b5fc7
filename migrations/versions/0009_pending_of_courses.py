"""What is pending of a course at an endpoint is found at once, however much waits there; and what became of a notice, by the notice.

Without the first, each new notice was compared with everything that waited for its endpoint.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX deliveries_course ON deliveries (endpoint, course) WHERE state = 'pending'")
    op.execute("ALTER TABLE deliveries DROP CONSTRAINT deliveries_endpoint_notice_key, ADD UNIQUE (notice, endpoint)")

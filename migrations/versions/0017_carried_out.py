"""How many erasures the data itself knows to be carried out: restored data that knows of fewer than the keys do is older than one."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE partition_heads ADD COLUMN erasures bigint NOT NULL DEFAULT 0")
    # This data may have been restored a moment ago: only what erasing left in it counts.
    op.execute(
        "UPDATE partition_heads AS h SET erasures = n.erasures FROM (SELECT e.partition, count(*) AS erasures FROM keys.erasures AS e"
        " WHERE e.erased_at IS NOT NULL AND EXISTS (SELECT 1 FROM events AS v WHERE v.tenant = e.tenant"
        " AND v.athlete = 'erased-' || e.pseudonym) GROUP BY e.partition) AS n WHERE n.partition = h.partition"
    )

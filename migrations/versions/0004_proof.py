"""Commitments beside every row of history, the trees over them, signed checkpoints, and the keys of athletes in a schema of their own."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A schema of its own, so that a backup of the data (`pg_dump --exclude-schema=keys`) holds no key.
    "CREATE SCHEMA IF NOT EXISTS keys",
    """CREATE TABLE keys.athlete_keys (
        tenant text NOT NULL,
        athlete text NOT NULL,
        wrapped bytea,
        created_at timestamptz NOT NULL,
        erased_at timestamptz,
        PRIMARY KEY (tenant, athlete)
    )""",
    # Rows from before stay without: what was never committed to cannot be proven. `unproven` says how far that goes.
    "ALTER TABLE events ADD COLUMN commitment bytea, ADD COLUMN leaf bytea",
    "ALTER TABLE decisions ADD COLUMN commitment bytea",
    "ALTER TABLE event_outcomes ADD COLUMN partition integer, ADD COLUMN commitment bytea",
    """UPDATE event_outcomes AS o SET partition = e.partition FROM events AS e
        WHERE e.tenant = o.tenant AND e.source = o.source AND e.id = o.id""",
    "ALTER TABLE event_outcomes ALTER COLUMN partition SET NOT NULL",
    """ALTER TABLE event_conflicts ADD COLUMN athlete text, ADD COLUMN partition integer, ADD COLUMN n bigint,
        ADD COLUMN commitment bytea, ADD UNIQUE (partition, n)""",
    """ALTER TABLE partition_heads ADD COLUMN conflicts bigint NOT NULL DEFAULT 0,
        ADD COLUMN unproven bigint NOT NULL DEFAULT 0""",
    "UPDATE partition_heads SET unproven = seq",
    """CREATE TABLE checkpoints (
        tree text NOT NULL,
        partition integer NOT NULL,
        size bigint NOT NULL,
        note text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (tree, partition, size)
    )""",
    """CREATE TABLE tree_blocks (
        tree text NOT NULL,
        partition integer NOT NULL,
        block bigint NOT NULL,
        root bytea NOT NULL,
        PRIMARY KEY (tree, partition, block)
    )""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

"""History, what is derived from it, keys and webhooks."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITIONS = 64

TABLES = (
    """CREATE TABLE api_keys (
        id text PRIMARY KEY,
        tenant text NOT NULL,
        name text NOT NULL,
        role text NOT NULL,
        scopes text[] NOT NULL,
        secret_hash bytea NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz
    )""",
    "CREATE INDEX api_keys_tenant ON api_keys (tenant)",
    # Updated with every batch, as `courses` and `timers` are: half-empty pages let an update stay on its page (HOT), without new
    # index entries.
    """CREATE TABLE partition_heads (
        partition integer PRIMARY KEY,
        epoch bigint NOT NULL DEFAULT 0,
        owner text,
        lease_until timestamptz,
        stream_seq bigint NOT NULL DEFAULT 0,
        seq bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE events (
        partition integer NOT NULL,
        seq bigint NOT NULL,
        tenant text NOT NULL,
        athlete text NOT NULL,
        source text NOT NULL,
        id text NOT NULL,
        type text NOT NULL,
        time timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        stream_seq bigint,
        digest bytea NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (partition, seq),
        UNIQUE (tenant, source, id)
    )""",
    "CREATE INDEX events_athlete ON events (tenant, athlete, partition, seq)",
    """CREATE TABLE event_outcomes (
        tenant text NOT NULL,
        source text NOT NULL,
        id text NOT NULL,
        seq bigint NOT NULL,
        n integer NOT NULL,
        status text NOT NULL,
        path text,
        reason text,
        PRIMARY KEY (tenant, source, id, seq, n)
    )""",
    """CREATE TABLE event_conflicts (
        tenant text NOT NULL,
        source text NOT NULL,
        id text NOT NULL,
        digest bytea NOT NULL,
        recorded_at timestamptz NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (tenant, source, id, digest)
    )""",
    """CREATE TABLE decisions (
        tenant text NOT NULL,
        course text NOT NULL,
        seq bigint NOT NULL,
        id uuid NOT NULL,
        athlete text NOT NULL,
        partition integer NOT NULL,
        event_seq bigint NOT NULL,
        cause_source text NOT NULL,
        cause_id text NOT NULL,
        as_of timestamptz NOT NULL,
        as_at timestamptz NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (tenant, course, seq),
        UNIQUE (tenant, id)
    )""",
    "CREATE INDEX decisions_cause ON decisions (tenant, cause_source, cause_id)",
    "CREATE INDEX decisions_history ON decisions (partition, event_seq)",
    """CREATE TABLE courses (
        tenant text NOT NULL,
        course text NOT NULL,
        athlete text NOT NULL,
        partition integer NOT NULL,
        protocol text NOT NULL,
        status text NOT NULL,
        seq bigint NOT NULL,
        action text NOT NULL,
        urgency text NOT NULL,
        answered boolean NOT NULL,
        as_of timestamptz NOT NULL,
        as_at timestamptz NOT NULL,
        state jsonb NOT NULL,
        PRIMARY KEY (tenant, course)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX courses_athlete ON courses (tenant, athlete)",
    "CREATE INDEX courses_worklist ON courses (tenant, urgency, as_at, course)",
    """CREATE TABLE timers (
        tenant text NOT NULL,
        course text NOT NULL,
        kind text NOT NULL,
        athlete text NOT NULL,
        partition integer NOT NULL,
        due timestamptz NOT NULL,
        PRIMARY KEY (tenant, course, kind)
    ) WITH (fillfactor = 50)""",
    "CREATE INDEX timers_due ON timers (due)",
    """CREATE TABLE outbox (
        outbox bigserial PRIMARY KEY,
        partition integer NOT NULL,
        tenant text NOT NULL,
        athlete text NOT NULL,
        body bytea NOT NULL
    )""",
    "CREATE INDEX outbox_partition ON outbox (partition, outbox)",
    """CREATE TABLE endpoints (
        id text PRIMARY KEY,
        tenant text NOT NULL,
        url text NOT NULL,
        description text NOT NULL,
        types text[] NOT NULL,
        payload text NOT NULL,
        role text NOT NULL,
        secret bytea NOT NULL,
        created_at timestamptz NOT NULL,
        disabled_at timestamptz,
        disabled_because text,
        deleted_at timestamptz
    )""",
    "CREATE INDEX endpoints_tenant ON endpoints (tenant)",
    """CREATE TABLE notices (
        id text PRIMARY KEY,
        outbox bigint,
        tenant text NOT NULL,
        athlete text,
        course text,
        seq bigint,
        type text NOT NULL,
        body bytea NOT NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (outbox, type)
    )""",
    "CREATE INDEX notices_course ON notices (tenant, course, seq)",
    """CREATE TABLE course_notices (
        tenant text NOT NULL,
        course text NOT NULL,
        told jsonb,
        told_seq bigint,
        told_at timestamptz,
        waiting jsonb,
        waiting_outbox bigint,
        waiting_until timestamptz,
        PRIMARY KEY (tenant, course)
    )""",
    "CREATE INDEX course_notices_waiting ON course_notices (waiting_until)",
    """CREATE TABLE deliveries (
        id text PRIMARY KEY,
        tenant text NOT NULL,
        endpoint text NOT NULL,
        notice text NOT NULL,
        course text,
        state text NOT NULL,
        because text,
        tries integer NOT NULL,
        next_at timestamptz,
        created_at timestamptz NOT NULL,
        done_at timestamptz,
        UNIQUE (endpoint, notice)
    )""",
    "CREATE INDEX deliveries_due ON deliveries (state, next_at)",
    "CREATE INDEX deliveries_pending ON deliveries (endpoint, next_at) WHERE state = 'pending'",
    "CREATE INDEX deliveries_endpoint ON deliveries (tenant, endpoint, created_at)",
    """CREATE TABLE attempts (
        delivery text NOT NULL,
        n integer NOT NULL,
        tenant text NOT NULL,
        started_at timestamptz NOT NULL,
        duration_ms integer NOT NULL,
        status integer,
        error text,
        request_headers jsonb NOT NULL,
        request_body bytea NOT NULL,
        response_body bytea,
        PRIMARY KEY (delivery, n)
    )""",
)


# The server's own compression of the bodies cost about a third of a commit: they are stored as they are.
PLAIN_BODIES = ("events", "decisions")


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in PLAIN_BODIES:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN body SET STORAGE EXTERNAL")
    op.execute(f"INSERT INTO partition_heads (partition) SELECT generate_series(0, {PARTITIONS - 1})")

"""Rotation, proof of ownership, circuit breakers, release policies, acknowledgements, answer links and terms of sources."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """ALTER TABLE endpoints
        ADD COLUMN signatures text[] NOT NULL DEFAULT '{v1}',
        ADD COLUMN public_key text,
        ADD COLUMN retired_secret bytea,
        ADD COLUMN retired_until timestamptz,
        ADD COLUMN verified_at timestamptz,
        ADD COLUMN escalates boolean NOT NULL DEFAULT false,
        ADD COLUMN third_party boolean NOT NULL DEFAULT false,
        ADD COLUMN quiet_hours jsonb,
        ADD COLUMN answers_by text,
        ADD COLUMN failing_since timestamptz,
        ADD COLUMN rests_until timestamptz""",
    # The order in which notices became visible: the live stream is read by it.
    "ALTER TABLE notices ADD COLUMN position bigserial NOT NULL, ADD COLUMN planned integer NOT NULL DEFAULT 0",
    "CREATE UNIQUE INDEX notices_position ON notices (position)",
    "CREATE INDEX notices_tenant ON notices (tenant, position)",
    """CREATE TABLE notice_policies (
        tenant text NOT NULL,
        version integer NOT NULL,
        coach_release text NOT NULL,
        acknowledge_within_s integer NOT NULL,
        answer_within_s integer NOT NULL,
        changed_at timestamptz NOT NULL,
        changed_by text NOT NULL,
        PRIMARY KEY (tenant, version)
    )""",
    """CREATE TABLE escalations (
        tenant text NOT NULL,
        course text NOT NULL,
        kind text NOT NULL,
        athlete text NOT NULL,
        notice text NOT NULL,
        said bytea NOT NULL,
        step integer NOT NULL,
        due timestamptz,
        opened_at timestamptz NOT NULL,
        closed_because text,
        PRIMARY KEY (tenant, course, kind)
    )""",
    "CREATE INDEX escalations_due ON escalations (due)",
    "CREATE INDEX escalations_notice ON escalations (tenant, notice)",
    """CREATE TABLE acknowledgements (
        tenant text NOT NULL,
        notice text NOT NULL,
        course text NOT NULL,
        by_key text NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (tenant, notice)
    )""",
    """CREATE TABLE answer_links (
        id text NOT NULL,
        tenant text NOT NULL,
        course text NOT NULL,
        decision text NOT NULL,
        used_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, id)
    )""",
    """CREATE TABLE event_terms (
        tenant text NOT NULL,
        source text NOT NULL,
        id text NOT NULL,
        athlete text NOT NULL,
        terms text[] NOT NULL,
        PRIMARY KEY (tenant, source, id)
    )""",
    "CREATE INDEX event_terms_athlete ON event_terms (tenant, athlete)",
    "CREATE INDEX events_answers ON events (tenant, time) WHERE type = 'milepost.recommendation.answered'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

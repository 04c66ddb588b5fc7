"""Row-level security on every table with rows of tenants; its policies name roles of an installation: `migrations/walls.py` has them."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = (
    *("api_keys", "events", "event_outcomes", "event_conflicts", "event_terms", "decisions", "courses", "timers", "outbox"),
    *("endpoints", "notices", "course_notices", "notice_policies", "deliveries", "attempts", "escalations", "acknowledgements"),
    *("answer_links", "pack_events", "backtests", "backtest_differences", "shadow_decisions", "replays", "replay_differences"),
    *("keys.athlete_keys", "keys.erasures"),
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")

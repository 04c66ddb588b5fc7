"""Every table, as SQLAlchemy Core, by what it is about. `migrations/` builds the same schema; a test compares the two.

History (`APPEND_ONLY`, at the end) is append-only: the role the services use cannot update or delete it. The keys of athletes stand in a
schema of their own (`key_metadata`), apart from the data. Everything else is a projection, a schedule or a lease, and may be rebuilt from
history. A `commitment` stands for the columns before it (docs/proof.md).
"""

from shared.tables.base import key_metadata, metadata
from shared.tables.courses import courses, outbox, timers
from shared.tables.history import decisions, event_conflicts, event_outcomes, event_terms, events, partition_heads
from shared.tables.installation import api_keys
from shared.tables.notices import (
    acknowledgements,
    answer_links,
    attempts,
    course_notices,
    deliveries,
    endpoints,
    escalations,
    notice_policies,
    notice_reading,
    notices,
)
from shared.tables.packs import backtest_differences, backtests, pack_events, shadow_decisions
from shared.tables.proof import (
    athlete_keys,
    checkpoints,
    erasures,
    proven,
    reconciled,
    reconciliations,
    replay_differences,
    replays,
    seals,
    tree_blocks,
)

__all__ = [
    "APPEND_ONLY",
    "acknowledgements",
    "answer_links",
    "api_keys",
    "athlete_keys",
    "attempts",
    "backtest_differences",
    "backtests",
    "checkpoints",
    "course_notices",
    "courses",
    "decisions",
    "deliveries",
    "endpoints",
    "erasures",
    "escalations",
    "event_conflicts",
    "event_outcomes",
    "event_terms",
    "events",
    "key_metadata",
    "metadata",
    "notice_policies",
    "notice_reading",
    "notices",
    "outbox",
    "pack_events",
    "partition_heads",
    "proven",
    "reconciled",
    "reconciliations",
    "replay_differences",
    "replays",
    "seals",
    "shadow_decisions",
    "timers",
    "tree_blocks",
]

APPEND_ONLY = (
    *("events", "event_outcomes", "event_conflicts", "decisions", "notices", "attempts", "checkpoints", "seals", "pack_events"),
    *("notice_policies", "acknowledgements", "answer_links", "event_terms"),
)

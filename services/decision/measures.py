"""What the decision service counts and times; labels are closed sets."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from shared.settings import SettingsFault
from shared.telemetry import REGISTRY

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

EVENTS: Final = Counter("milepost_decision_events", "Events settled, by what became of them", ["status"], registry=REGISTRY)
DECISIONS: Final = Counter("milepost_decision_decisions", "Decisions stored, by action", ["action"], registry=REGISTRY)
ENGINE_FAULTS: Final = Counter("milepost_decision_engine_faults", "Second engine: faults and disagreements", ["kind"], registry=REGISTRY)
BATCH: Final = Histogram(
    "milepost_decision_batch_events", "Events in one transaction", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000), registry=REGISTRY
)
SETTLE_SECONDS: Final = Histogram("milepost_decision_settle_seconds", "Time to judge one batch", buckets=_FAST, registry=REGISTRY)
SECOND_ENGINE_SECONDS: Final = Histogram(
    "milepost_decision_second_engine_seconds", "Time of the second engine for one batch", buckets=_FAST, registry=REGISTRY
)
COMMIT_SECONDS: Final = Histogram("milepost_decision_commit_seconds", "Time of one transaction", buckets=_FAST, registry=REGISTRY)
LAG: Final = Gauge("milepost_decision_lag_messages", "Messages on the bus that history does not have yet", registry=REGISTRY)
OUTBOX: Final = Gauge("milepost_decision_outbox_rows", "Outbox rows that the bus does not have yet", registry=REGISTRY)
OUTBOX_AGE: Final = Gauge("milepost_decision_outbox_age_seconds", "How long the oldest outbox row has waited", registry=REGISTRY)
EXPIRED_PACKS: Final = Gauge("milepost_decision_packs_expired", "Live packs past their last date; their courses hold", registry=REGISTRY)
UNREAD_PACKS: Final = Gauge(
    "milepost_decision_packs_unread", "Recorded packs that this release cannot run; their courses hold", registry=REGISTRY
)
TAKEOVERS: Final = Counter("milepost_decision_takeovers", "Times that leases were taken, by why", ["why"], registry=REGISTRY)
ATHLETES: Final = Gauge("milepost_decision_athletes_in_memory", "Folded athletes at hand", registry=REGISTRY)
RECONCILED: Final = Gauge(
    "milepost_decision_reconciled_stream_seq", "Stream sequence up to which history was held against the bus", registry=REGISTRY
)
STRETCHES: Final = Counter(
    "milepost_decision_stretches", "Stretches of history that were checked row by row, by what came of it", ["result"], registry=REGISTRY
)
MISSING: Final = Counter(
    "milepost_decision_missing_events", "Events that the bus had and history lacked; put on the bus again", registry=REGISTRY
)

ERASURES_WAIT_ON: Final = ("outbox", "bus", "notify", "locks", "fault")
"""The worker to publish, every node of the bus to delete, notify to end with what it read, locks that somebody holds, a fault."""
ERASURES_WAITING: Final = Gauge(
    "milepost_erasures_waiting",
    "Erasures that could not be carried out at the last look, by what they wait for",
    ["for"],
    registry=REGISTRY,
)
UNSCRUBBED: Final = Gauge(
    "milepost_erasures_unscrubbed", "Erasures whose old bytes may still be in the database's files", registry=REGISTRY
)
UNSCRUBBED_AGE: Final = Gauge(
    "milepost_erasures_unscrubbed_age_seconds", "How long ago the first of them was carried out; 0 when there is none", registry=REGISTRY
)


def serve(host: str, port: int) -> None:
    """Shows everything there, for a process that has no routes. Raises `SettingsFault` when the port cannot be taken."""
    try:
        start_http_server(port, host, REGISTRY)
    except OSError as fault:
        raise SettingsFault(f"--metrics-port {port}: expected a free port of {host} ({fault.strerror}); name another") from None

"""What notify counts and measures; labels are closed sets, never a tenant, an endpoint or a course."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from shared.telemetry import REGISTRY

ATTEMPTS: Final = Counter("milepost_notify_attempts", "Delivery attempts by outcome", ["outcome"], registry=REGISTRY)
ATTEMPT_SECONDS: Final = Histogram(
    "milepost_notify_attempt_seconds",
    "Time of one attempt, from connecting to the receiver's answer",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
    registry=REGISTRY,
)
DELIVERIES: Final = Counter("milepost_notify_deliveries", "Deliveries that ended, by state", ["state"], registry=REGISTRY)
PENDING: Final = Gauge("milepost_notify_pending", "Deliveries that have not ended: untried, or retrying", ["state"], registry=REGISTRY)
OLDEST_SECONDS: Final = Gauge(
    "milepost_notify_oldest_undelivered_seconds", "How long ago the oldest pending delivery was made", registry=REGISTRY
)
BREAKERS: Final = Gauge(
    "milepost_notify_breakers", "Circuit breakers of endpoints that are not closed, by state", ["state"], registry=REGISTRY
)
BLOCKED: Final = Counter("milepost_notify_blocked", "Deliveries blocked by release policy or terms of a source", registry=REGISTRY)
UNSUBSCRIBED: Final = Counter("milepost_notify_unsubscribed", "Notices kept that concerned no endpoint", registry=REGISTRY)
ESCALATED: Final = Counter(
    "milepost_notify_escalated", "Notices said again because nobody took them up, by kind", ["kind"], registry=REGISTRY
)
STREAMS: Final = Gauge("milepost_notify_streams", "Live streams that are open", registry=REGISTRY)
NOTICES: Final = Counter("milepost_notify_notices", "Notices kept, by type", ["type"], registry=REGISTRY)
UNREADABLE: Final = Counter(
    "milepost_notify_unreadable", "Messages on the bus that could not be read and were passed over", registry=REGISTRY
)
RESTARTS: Final = Counter("milepost_notify_restarts", "Restarts of a task that ended by a fault", ["task"], registry=REGISTRY)
LEADING: Final = Gauge("milepost_notify_leading", "1 while this process is the one that tells and delivers", registry=REGISTRY)

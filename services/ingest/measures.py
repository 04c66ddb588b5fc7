"""What ingest counts and times."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from shared.telemetry import REGISTRY

EVENTS: Final = Counter("milepost_ingest_events", "Events by what became of them", ["outcome"], registry=REGISTRY)
BATCH_EVENTS: Final = Histogram(
    "milepost_ingest_batch_events",
    "Events in one atomic batch on the bus",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 350, 500, 1000),
    registry=REGISTRY,
)
PUBLISH_SECONDS: Final = Histogram(
    "milepost_ingest_publish_seconds",
    "Time from handing messages to the bus until they are on disk there",
    ["way"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
QUEUE_EVENTS: Final = Gauge("milepost_ingest_queue_events", "Events that wait for the bus", registry=REGISTRY)
FILES: Final = Counter(
    "milepost_ingest_files", "Training files by decoder and what became of them", ["decoder", "outcome"], registry=REGISTRY
)

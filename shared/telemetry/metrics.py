"""The process's metrics registry and the measures every service has."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector

REGISTRY: Final = CollectorRegistry()
"""Everything `/metrics` shows; services add their own measures here. Labels are closed sets: never an athlete, a course or a path."""

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

REQUESTS: Final = Counter("milepost_http_requests", "Answered requests", ["service", "route", "method", "status"], registry=REGISTRY)
REQUEST_SECONDS: Final = Histogram(
    "milepost_http_request_seconds",
    "Time from the request's first byte to the answer's last",
    ["service", "route", "method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)

"""What the services tell about themselves: logs without personal data, metrics, health.

Knows no service and no database; whoever composes an app hands in the checks of its readiness.
"""

from shared.telemetry.health import Check, NotReady, health_router
from shared.telemetry.logs import configure_logs
from shared.telemetry.metrics import REGISTRY
from shared.telemetry.requests import install

__all__ = ["REGISTRY", "Check", "NotReady", "configure_logs", "health_router", "install"]

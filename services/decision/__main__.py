"""`python -m services.decision`: the HTTP application of decision. The workers are processes of their own: `services.decision.worker`."""

import asyncio
import sys

import uvloop

from services.decision.app import create_app
from shared.bus import BusError
from shared.db import DatabaseRefused
from shared.serving import serve
from shared.settings import SettingsFault, load, require
from shared.telemetry import configure_logs


def main() -> int:
    """Serves until told to stop. Exit 1 when the settings are at fault or a server is refused."""
    try:
        settings = load()
        require(settings, "database_url", "nats_url", "nats_monitor_url", "pseudonym_key", "secret_key")
    except SettingsFault as fault:
        print(fault, file=sys.stderr)
        return 1
    configure_logs("decision", settings.log_level)
    try:
        return 0 if uvloop.run(serve(create_app(settings), settings.host, settings.decision_port)) else 1
    except asyncio.CancelledError:
        return 0
    except (DatabaseRefused, BusError) as fault:
        print(f"decision does not start: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.ingest`: serves until told to stop, with its own logs instead of uvicorn's access log."""

import asyncio
import gc
import sys

import uvloop

from services.ingest.app import create_app
from shared.bus import BusError
from shared.db import DatabaseRefused
from shared.serving import serve
from shared.settings import SettingsFault, load, require
from shared.telemetry import configure_logs

# How long requests that are under way may take to end once the service is told to stop.
DRAIN_S = 20


def main() -> int:
    """Exit 0 when told to stop, 1 when settings are at fault, a server is refused, or the port is taken."""
    try:
        settings = load()
        require(settings, "database_url", "nats_url", "nats_monitor_url", "pseudonym_key")
    except SettingsFault as fault:
        print(fault, file=sys.stderr)
        return 1
    configure_logs("ingest", settings.log_level)
    # What is loaded by now stays for good; without this, each large batch would make the collector walk all of it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    app = create_app(settings)
    serving = serve(app, settings.host, settings.ingest_port, access_log=False, timeout_graceful_shutdown=DRAIN_S, server_header=False)
    try:
        return 0 if uvloop.run(serving) else 1
    except asyncio.CancelledError:
        return 0
    except (DatabaseRefused, BusError) as fault:
        print(f"ingest does not start: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

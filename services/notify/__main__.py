"""`python -m services.notify`: the HTTP application of notify with its tasks."""

import asyncio
import gc
import sys

import uvloop

from services.notify.app import create_app
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
    configure_logs("notify", settings.log_level)
    app = create_app(settings)
    # What is loaded lives as long as the process, and a delivery leaves no cycles behind: looking for them found nothing, often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        return 0 if uvloop.run(serve(app, settings.host, settings.notify_port)) else 1
    except asyncio.CancelledError:
        return 0
    except (DatabaseRefused, BusError) as fault:
        print(f"notify does not start: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

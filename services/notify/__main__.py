"""`python -m services.notify`: the HTTP application of notify with its tasks."""

import asyncio
import gc
import sys

import uvicorn

from services.notify.app import create_app
from shared import db
from shared.bus import Bus, BusError
from shared.settings import Settings, SettingsFault, load, require
from shared.telemetry import configure_logs


async def check_servers(settings: Settings) -> None:
    """Raises, in one sentence, why the service must not run on these servers. uvicorn would show a traceback of it."""
    engine = db.engine(settings, pool_size=1)
    try:
        await db.verify(engine)
        bus = await Bus.connect(settings, "milepost-notify-check")
        try:
            await bus.verify()
        finally:
            await bus.close()
    finally:
        await engine.dispose()


def main() -> int:
    """Serves until told to stop. Exit 1 when the settings are at fault or a server is refused."""
    try:
        settings = load()
        require(settings, "database_url", "nats_url", "nats_monitor_url", "pseudonym_key", "secret_key")
    except SettingsFault as fault:
        print(fault, file=sys.stderr)
        return 1
    configure_logs("notify", settings.log_level)
    try:
        asyncio.run(check_servers(settings))
    except (db.DatabaseRefused, BusError) as fault:
        print(fault, file=sys.stderr)
        return 1
    app = create_app(settings)
    # What is loaded lives as long as the process, and a delivery leaves no cycles behind: looking for them found nothing, often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    server = uvicorn.Server(uvicorn.Config(app, host=settings.host, port=settings.notify_port, log_config=None))
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.ingest`: serves until told to stop, with its own logs instead of uvicorn's access log."""

import asyncio
import gc
import signal
import sys

import uvicorn

from services.ingest.app import create_app
from shared.bus import BusError
from shared.db import DatabaseRefused
from shared.settings import Settings, SettingsFault, load, require
from shared.telemetry import configure_logs

# How long requests that are under way may take to end once the service is told to stop.
DRAIN_S = 20


async def serve(settings: Settings) -> bool:
    """Connect, serve, publish what waits, disconnect. False when the port could not be had."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.ingest_port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_S,
        server_header=False,
    )
    # uvicorn raises the signal again after serving; what is still to be published would be lost to the default handler.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: None)
    # Not through uvicorn's lifespan: it would show a traceback where one sentence says why a server is refused.
    async with app.router.lifespan_context(app):
        server = uvicorn.Server(config)
        await server.serve()
        return server.started


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
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return 0 if runner.run(serve(settings)) else 1
    except (DatabaseRefused, BusError) as fault:
        print(f"ingest does not start: {fault}", file=sys.stderr)
        return 1


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())

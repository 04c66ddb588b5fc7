"""The eraser process: carries out what athletes asked for, under credentials that no service has. `python -m services.decision.eraser`."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack, suppress

from services.decision.erasing import Eraser
from shared import db
from shared.bus import Bus, BusError
from shared.proof import Keyring
from shared.settings import Settings, SettingsFault, load, require
from shared.telemetry import configure_logs


async def opened(stack: AsyncExitStack, settings: Settings) -> Eraser:
    """An eraser with connections of its own, closed with `stack`. Raises `SettingsFault`, `DatabaseRefused` and `BusError`."""
    require(settings, "eraser_database_url", "eraser_nats_url", "pseudonym_key", "secret_key")
    own = settings.model_copy(update={"database_url": settings.eraser_database_url, "nats_url": settings.eraser_nats_url})
    engine = db.engine(own, pool_size=1)
    stack.push_async_callback(engine.dispose)
    bus = await Bus.connect(own, "milepost-eraser")
    stack.push_async_callback(bus.close)
    return Eraser(engine, bus, Keyring(settings.secret_key_bytes), settings.pseudonym_key_bytes)


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        eraser = await opened(stack, settings)
        running = asyncio.create_task(eraser.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        with suppress(asyncio.CancelledError):
            await running


def main() -> int:
    """The process. Exit 0 when told to stop, 1 when it cannot start."""
    try:
        settings = load()
        configure_logs("eraser", settings.log_level)
        asyncio.run(serve(settings))
    except (SettingsFault, db.DatabaseRefused, BusError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The eraser process: carries out what athletes asked for, under credentials that no service has.

`python -m services.decision.eraser [--metrics-port P]`
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from services.decision import measures
from services.decision.erasing import Eraser
from shared import db, starting
from shared.bus import BusError
from shared.durability import Durability
from shared.proof import Keyring
from shared.settings import Settings, SettingsFault, load, require
from shared.stopping import told_ends
from shared.telemetry import configure_logs


async def opened(stack: AsyncExitStack, settings: Settings, is_current: bool = True, wait_s: float = 0) -> tuple[Eraser, Durability]:
    """An eraser with connections of its own, closed with `stack`, and what holds its servers to the durability contract while it runs.

    Raises `SettingsFault`, and `DatabaseRefused` and `BusError` on servers that break the contract now, or do not answer within `wait_s`
    seconds. With `is_current` false, data that is older than an erasure is taken too: that is what erasing after a restore is for.
    """
    require(settings, "eraser_database_url", "eraser_nats_url", "nats_monitor_url", "pseudonym_key", "secret_key")
    own = settings.model_copy(update={"database_url": settings.eraser_database_url, "nats_url": settings.eraser_nats_url})
    # One connection erases, one looks at the server.
    engine = db.engine(own, pool_size=2)
    stack.push_async_callback(engine.dispose)
    bus = await starting.connected(stack, own, engine, "milepost-eraser", partial(db.verify_eraser, is_current=is_current), wait_s)
    eraser = Eraser(engine, bus, Keyring(settings.secret_key_bytes), settings.pseudonym_key_bytes)
    return eraser, Durability(engine, bus, verify=db.verify_eraser)


@asynccontextmanager
async def at_work(settings: Settings) -> "AsyncIterator[tuple[asyncio.Task[None], Durability]]":
    """Erases inside, and the task that does. While a server breaks the contract nobody is erased: it may forget what they are told of."""
    async with AsyncExitStack() as stack:
        eraser, durability = await opened(stack, settings, wait_s=settings.start_wait_s)
        await stack.enter_async_context(durability.held())
        running = asyncio.create_task(durability.while_kept(eraser.run))
        try:
            yield running, durability
        finally:
            running.cancel()
            await asyncio.wait([running])


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    told_ends(asyncio.current_task())
    async with at_work(settings) as (running, _):
        told_ends(running)
        with suppress(asyncio.CancelledError):
            await running


def main(arguments: Sequence[str] | None = None) -> int:
    """The process. Exit 0 when told to stop, 1 when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m services.decision.eraser", description="Erases athletes.")
    parser.add_argument("--metrics-port", type=int, default=0, help="serve Prometheus metrics there; 0 serves none")
    options = parser.parse_args(arguments)
    try:
        settings = load()
        configure_logs("eraser", settings.log_level)
        if options.metrics_port:
            measures.serve(settings.host, options.metrics_port)
        asyncio.run(serve(settings))
    except asyncio.CancelledError:
        # Told to stop before it had started.
        return 0
    except (SettingsFault, db.DatabaseRefused, BusError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

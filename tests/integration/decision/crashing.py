"""A worker in a process of its own, without the second engine's: it starts fast, and is ended or stopped at a numbered point."""

import asyncio
import signal

from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import SHIPPED, PackLibrary
from services.decision.worker import Worker
from shared import db
from shared.bus import Bus
from shared.settings import load
from shared.telemetry import configure_logs
from tests.integration.decision.feeding import Agreeing


async def serve() -> None:
    settings = load()
    configure_logs("decision-worker", "error")
    engine = db.engine(settings, pool_size=5, abandoned_after_s=settings.lease_s)
    bus = await Bus.connect(settings, "milepost-crashing")
    packs = PackLibrary(ReferenceEngine(), [SHIPPED / "mil-knee-overuse.yaml"])
    task = asyncio.create_task(Worker(settings, engine, bus, packs, Agreeing()).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    await bus.close()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(serve())

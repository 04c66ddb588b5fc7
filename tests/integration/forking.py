"""Processes of the services that are there at once: one that has imported everything forks a child for each line it reads.

A child is armed to be ended or stopped at a numbered point (`shared.crash`), does its work, and leaves with 0 when told to stop.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from services.decision.audit import replay as replaying
from services.decision.engines.reference import ReferenceEngine
from services.decision.eraser import opened
from services.decision.lifecycle.pool import Pool
from services.decision.reconciler import Reconciler
from services.decision.rules.library import SHIPPED, PackLibrary
from services.decision.store import erasures
from services.decision.store.connection import Database, borrowed
from services.decision.worker import Worker
from services.notify.app import create_app
from shared import crash, db
from shared.bus import Bus
from shared.settings import Settings, load
from shared.telemetry import configure_logs
from tests.integration.decision.feeding import Agreeing


@dataclass
class Child:
    """A forked process; `wait` gives its exit code, or minus the signal that ended it."""

    pid: int
    _parent: Process

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def wait(self) -> int:
        assert self._parent.stdout is not None
        return int(await self._parent.stdout.readline())


class Forks:
    """`async with forks() as parent`: children, one at a time."""

    def __init__(self, parent: Process) -> None:
        self._parent = parent

    async def child(self, work: str, settings: Settings, end: int = 0, stop: int = 0) -> Child:
        """A process that does `work` (a name of `WORKS`), to be ended or stopped where it first passes a point; 0: nowhere."""
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write(orjson.dumps({"work": work, "settings": settings.environment(), "end": end, "stop": stop}) + b"\n")
        return Child(int(await self._parent.stdout.readline()), self._parent)


@asynccontextmanager
async def forks() -> AsyncIterator[Forks]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.forking", env=environment, stdin=pipe, stdout=pipe, process_group=0
    )
    try:
        yield Forks(parent)
    finally:
        # The group: a child that stands still is part of it.
        os.killpg(parent.pid, signal.SIGKILL)
        await parent.wait()


@cache
def packs() -> PackLibrary:
    return PackLibrary(ReferenceEngine(), [SHIPPED / "mil-knee-overuse.yaml"])


async def worker(settings: Settings) -> None:
    """A worker without the second engine's process."""
    engine = db.engine(settings, pool_size=5, abandoned_after_s=settings.lease_s)
    bus = await Bus.connect(settings, "milepost-forked")
    await until_told(Worker(settings, engine, bus, packs(), Agreeing()).run())
    await bus.close()
    await engine.dispose()


async def notify(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await until_told(asyncio.Event().wait())


async def reconciler(settings: Settings) -> None:
    engine = db.engine(settings, pool_size=1)
    await Reconciler(engine, await Bus.connect(settings, "milepost-forked")).reconcile()


class Here(Pool):
    """A pool of one thread, so that a test need not start processes."""

    async def run(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(work, *args, **kwargs)


async def replay(settings: Settings) -> None:
    """The replay that is under way, on from where it is."""
    engine = db.engine(settings, pool_size=1)
    async with borrowed(engine) as connection:
        id = await connection.fetchval("SELECT id FROM replays WHERE state = 'running'")
    await replaying.run(engine, Database.of(settings), Here(1), id)


async def eraser(settings: Settings) -> None:
    """Every erasure that waits, until none does: one look waits only moments for a relay that is slow."""
    async with AsyncExitStack() as stack:
        eraser, _ = await opened(stack, settings)
        while True:
            await eraser.carry_out()
            async with borrowed(eraser._engine) as connection:
                if not await erasures.waiting(connection):
                    return
            await asyncio.sleep(0.1)


async def until_told(work: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])


WORKS: dict[str, Callable[[Settings], Coroutine[Any, Any, None]]] = {
    "worker": worker,
    "notify": notify,
    "reconciler": reconciler,
    "replay": replay,
    "eraser": eraser,
}


READ: dict[str, Callable[[], Any]] = {"worker": packs, "replay": replaying._published}
"""What a work reads once, before the first child of its kind: packs are compiled for seconds."""


def main() -> None:
    for line in sys.stdin:
        asked = orjson.loads(line)
        READ.get(asked["work"], lambda: None)()
        pid = os.fork()
        if pid == 0:
            os.environ.update(asked["settings"])
            crash.arm(asked["end"], asked["stop"])
            configure_logs("forked", "error")
            asyncio.run(WORKS[asked["work"]](load()))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()

"""Does to a running product what a schedule says: kills, pauses past the lease, and further workers that come and go meanwhile."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import psutil

from services.cli.stack import Stack
from services.embedded import EmbeddedServers
from shared.bus import EVENTS, Bus, BusError
from tests.e2e.load import Load
from tests.e2e.schedule import Step
from tests.integration.test_bus_cluster import Node

STARTING: Final = ("nats", "postgres", "worker", "ingest", "decision", "notify", "eraser")
PROGRESS_S: Final = 180
SERVERS: Final = ("nats", "postgres", "backend")


class Faults:
    """`nodes` is the cluster that takes the place of the embedded NATS, empty when there is none. `pause_s` is longer than a lease."""

    def __init__(
        self, stack: Stack, servers: EmbeddedServers, nodes: list[Node], load: Load, pause_s: float, tell: Callable[[str], None]
    ) -> None:
        self._stack = stack
        self._servers = servers
        self._nodes = nodes
        self._load = load
        self._pause_s = pause_s
        self._tell = tell

    async def do(self, steps: Iterable[Step]) -> None:
        """Each step once the load flows again after the one before. Raises TimeoutError where it does not."""
        for step in steps:
            await self._load.acknowledged_more(step.flow, PROGRESS_S)
            self._tell(f"{step}; {len(self._load.acknowledged)} acknowledged so far")
            if step.kind == "pause":
                await self._pause(step.parts)
            else:
                await self._kill(step.parts)
        await self._load.acknowledged_more(20, PROGRESS_S)

    async def _kill(self, parts: tuple[str, ...]) -> None:
        leader = await self._leader() if "nats" in parts and self._nodes else None
        for part in parts:
            if part == "nats" and leader is not None:
                leader.kill()
            else:
                await self._stack_or_server(part, "kill")
        # Each is ready before the next is started: nothing without the servers, and decision not without a worker.
        for part in sorted(parts, key=STARTING.index):
            if part == "nats" and leader is not None:
                leader.start()
            else:
                await self._stack_or_server(part, "restart")

    async def _stack_or_server(self, part: str, what: str) -> None:
        if part in SERVERS:
            await getattr(getattr(self._servers, part), what)()
        else:
            await getattr(self._stack, what)(part)

    async def _pause(self, parts: tuple[str, ...]) -> None:
        """Stands still for longer than a lease. Where a worker does, another takes over, and is still there when the first wakes."""
        further = self._stack.add_worker() if "worker" in parts else None
        leader = await self._leader() if "nats" in parts and self._nodes else None
        pids = [pid for part in parts for pid in self._pids(part, leader)]
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._pause_s)
            if further is not None and not set(parts) & set(SERVERS):
                await self._stack.ready(further)
        finally:
            for pid in pids:
                _send(pid, signal.SIGCONT)
        if further is not None:
            await self._load.acknowledged_more(10, PROGRESS_S)
            await self._stack.remove(further)

    def _pids(self, part: str, leader: Node | None) -> list[int]:
        if part == "nats":
            return [leader.process.pid if leader is not None and leader.process is not None else _there(self._servers.nats.pid)]
        if part == "engine":
            return [child.pid for child in psutil.Process(_there(self._stack.pid("worker"))).children()]
        if part == "postgres":
            return [_there(self._servers.postgres.pid)]
        if part == "backend":
            backends = psutil.Process(_there(self._servers.postgres.pid)).children()
            # What a backend's title says of whom it serves.
            return [one.pid for one in backends if " milepost_service " in " ".join(one.cmdline())][:1]
        return [_there(self._stack.pid(part))]

    async def _leader(self) -> Node:
        while True:
            with suppress(BusError):
                bus = await Bus.connect(self._stack.settings, "milepost-test")
                try:
                    name = (await bus.api(f"STREAM.INFO.{EVENTS}"))["cluster"].get("leader")
                finally:
                    await bus.close()
                for node in self._nodes:
                    if node.name == name:
                        return node
            await asyncio.sleep(0.2)


def _there(pid: int | None) -> int:
    # 0 would be everybody of our own process group.
    assert pid, "what is to stand still has ended by itself"
    return pid


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

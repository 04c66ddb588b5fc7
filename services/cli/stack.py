"""The whole product as one thing: servers, schema and the services, each of which can be killed and started again.

`milepost up`, the demo, the bench and the end-to-end tests all stand on it.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import psutil

from services.cli.migrate import bring_up_to_date
from services.cli.readiness import Alive, HttpProbe, LeaseProbe, Probe
from services.cli.watching import Pauses, watch_servers, watch_services
from services.decision.lease import partitions_of
from services.embedded import EmbeddedServers, ServerFault
from services.embedded.files import own_port, publish_runtime, sole_use, withdraw_runtime
from services.embedded.process import POLL_S, Process, leash, stop_remains
from shared.db import engine
from shared.settings import Settings, load, require

READY_WITHIN_S = 300
STOP_WITHIN_S = 20

WITH_PORT = ("ingest", "decision", "notify")
# By stages, so that nothing new comes in while the rest finishes what it has.
_STOPPING = ("services.ingest", "services.decision.eraser", "services.decision.worker", "services.decision", "services.notify")


class _Service:
    """One process of the stack. `wanted` is false while somebody keeps it down on purpose."""

    def __init__(self, name: str, words: list[str], log: Path, is_ready: Probe) -> None:
        self.name = name
        self.module = words[words.index("-m") + 1]
        self.process = Process(name, log)
        self.wanted = True
        self.due: float | None = None
        self._words = words
        self.probe = is_ready
        self._started = 0.0
        self._pauses = Pauses()

    def launch(self, environment: Mapping[str, str]) -> None:
        if self.module != "services.decision.eraser":
            # What may delete is for the eraser alone.
            environment = {name: value for name, value in environment.items() if not name.startswith("MILEPOST_ERASER_")}
        # What owns schema and streams is for migrations alone.
        environment = {name: value for name, value in environment.items() if not name.startswith("MILEPOST_OWNER_")}
        self.process.start(leash("run", [sys.executable, *self._words], None), environment)
        self._started = time.monotonic()
        self.due = None

    def next_pause(self) -> float:
        return self._pauses.next(time.monotonic() - self._started)

    async def ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while self.process.alive():
            why_not = await self.probe(self.process.pid or 0)
            if not why_not:
                return
            if time.monotonic() > deadline:
                raise ServerFault(f"{self.name} was not ready within {READY_WITHIN_S} s: {why_not}; its log is {self.process.log}")
            await asyncio.sleep(2 * POLL_S)
        raise self.process.ended()


class Stack:
    """`async with Stack(overrides, data_dir) as stack`: everything runs and is ready inside, and has stopped after.

    `overrides` are fields of `Settings` and beat the environment; a port of 0 takes a free one and keeps it. Without a database and
    a bus in the settings, both are embedded in the data directory. Raises `ServerFault`, `SettingsFault` or `DatabaseRefused`, one
    sentence each. With `watch`, what dies is started again; `tell` hears what happens, one line each.

    The parts are named `ingest`, `decision`, `worker` (with several lanes also `worker-1`, …), `eraser`, `notify`, `nats` and `postgres`.
    """

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        data_dir: Path | None = None,
        *,
        watch: bool = False,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._overrides = dict(overrides or {}) | ({"data_dir": data_dir} if data_dir else {})
        self._watching = watch
        self._tell = tell
        self._held = AsyncExitStack()
        self._services: dict[str, _Service] = {}
        self.settings: Settings
        self.env: dict[str, str] = {}
        self.servers: EmbeddedServers | None = None

    @property
    def ingest_url(self) -> str:
        return _url(self.settings, "ingest")

    @property
    def decision_url(self) -> str:
        return _url(self.settings, "decision")

    @property
    def notify_url(self) -> str:
        return _url(self.settings, "notify")

    @property
    def logs(self) -> Path:
        """Where every part writes its log, `<part>.log`."""
        return self.settings.data_dir / "logs"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        await self._stop()

    async def ready(self, *names: str) -> None:
        """Waits until the named services, or all, are ready. Raises `ServerFault` when one ends or takes longer than five minutes."""
        await asyncio.gather(*(self._services[name].ready() for name in names or self._services))

    async def kill(self, name: str) -> None:
        """SIGKILL to the named part, which stays down until `restart`."""
        if name in self._services:
            self._services[name].wanted = False
            await self._services[name].process.kill()
        else:
            await self._server(name).kill()

    async def restart(self, name: str) -> None:
        """Starts what was killed, or stops and starts what runs, on the same port; returns when it is ready."""
        if name not in self._services:
            await self._server(name).restart()
            return
        service = self._services[name]
        service.wanted = False
        await service.process.stop(signal.SIGTERM, STOP_WITHIN_S)
        service.launch(self.env)
        service.wanted = True
        await service.ready()

    def add_worker(self, lane: int = 0) -> str:
        """A further worker of a lane, by the name that is returned. It stands by, and serves from when the lane is free."""
        name = f"worker-{lane}-further"
        words = ["-m", "services.decision.worker", "--lane", str(lane)]
        worker = _Service(name, words, self.logs / f"{name}.log", self._services["worker"].probe)
        self._services[name] = worker
        worker.launch(self.env)
        return name

    async def remove(self, name: str) -> None:
        """Stops a service in order, for good: it gives back what it owns."""
        service = self._services.pop(name)
        await service.process.stop(signal.SIGTERM, STOP_WITHIN_S)

    def pid(self, name: str) -> int | None:
        """The process id of the named part."""
        return self._services[name].process.pid if name in self._services else self._server(name).pid

    async def _start(self) -> None:
        asked = load(**self._overrides)
        data_dir = asked.data_dir.resolve()
        found: dict[str, Any] = {"data_dir": data_dir}
        if asked.names_servers:
            require(asked, "database_url", "nats_url", "nats_monitor_url", "pseudonym_key", "secret_key")
            self._held.enter_context(sole_use(data_dir))
        else:
            self._tell("starting PostgreSQL and NATS")
            self.servers = await self._held.enter_async_context(EmbeddedServers(data_dir))
            chosen = {name for name in ("pseudonym_key", "secret_key") if getattr(asked, name)}
            found |= {name: value for name, value in self.servers.fields().items() if name not in chosen}
        await stop_remains(lambda process: _is_service_of(process, data_dir), signal.SIGTERM, STOP_WITHIN_S)
        found |= {f"{name}_port": _port(asked, data_dir, name) for name in WITH_PORT}
        self.settings = load(**self._overrides | found)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")} | self.settings.environment()
        self._tell("bringing the schema and the streams up to date")
        await bring_up_to_date(self.settings)
        self._tell("starting the services")
        await self._provide()
        for service in self._services.values():
            service.launch(self.env)
        await self.ready()
        publish_runtime(data_dir, self.settings.environment())
        if self._watching:
            watching = [asyncio.create_task(watch_services(self._services, self.env, self._tell))]
            if self.servers is not None:
                watching.append(asyncio.create_task(watch_servers(self.servers, self._tell)))
            for task in watching:
                self._held.push_async_callback(_ended, task)

    async def _provide(self) -> None:
        session = await self._held.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)))
        database = engine(self.settings, pool_size=1)
        self._held.push_async_callback(database.dispose)
        probes: list[tuple[str, list[str], Probe]] = []
        for lane in range(self.settings.lanes):
            words = ["-m", "services.decision.worker", "--lane", str(lane)]
            probes.append((f"worker-{lane}" if lane else "worker", words, LeaseProbe(database, partitions_of(lane, self.settings.lanes))))
        if self.settings.eraser_database_url and self.settings.eraser_nats_url:
            probes.append(("eraser", ["-m", "services.decision.eraser"], Alive()))
        for name in WITH_PORT:
            probes.append((name, ["-m", f"services.{name}"], HttpProbe(session, _url(self.settings, name))))
        self._services = {name: _Service(name, words, self.logs / f"{name}.log", probe) for name, words, probe in probes}

    async def _stop(self) -> None:
        try:
            for module in _STOPPING:
                services = [service for service in self._services.values() if service.module == module]
                for service in services:
                    service.wanted = False
                await asyncio.gather(*(service.process.stop(signal.SIGTERM, STOP_WITHIN_S) for service in services))
            if self._services:
                withdraw_runtime(self.settings.data_dir)
        finally:
            await self._held.aclose()

    def _server(self, name: str) -> Any:
        if self.servers is None or name not in ("nats", "postgres"):
            raise ServerFault(f"{name}: not a part of this stack")
        return getattr(self.servers, name)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


def _port(settings: Settings, data_dir: Path, name: str) -> int:
    port: int = getattr(settings, f"{name}_port")
    if port == 0:
        return own_port(data_dir, name)
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, port))
        except OSError as fault:
            variable = f"MILEPOST_{name.upper()}_PORT"
            raise ServerFault(f"{settings.host}:{port} cannot be used for {name} ({fault.strerror}); set {variable} (0: any)") from None
    return port


def _url(settings: Settings, name: str) -> str:
    # A service that listens everywhere is reached from here by loopback.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return f"http://{host}:{getattr(settings, f'{name}_port')}"


def _is_service_of(process: psutil.Process, data_dir: Path) -> bool:
    words = process.cmdline()
    ours = "-m" in words and any(module in words for module in _STOPPING)
    return ours and process.environ().get("MILEPOST_DATA_DIR") == str(data_dir)

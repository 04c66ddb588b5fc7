"""Starts again what died or cannot go on, by itself: services, and the embedded servers, each looked after apart from the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from services.embedded import EmbeddedServers, ServerFault
from services.embedded.process import Process

LOOK_EVERY_S: Final = 0.25
WRITES_EVERY_S: Final = 1.0
STEADY_AFTER_S: Final = 30
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0

Tell = Callable[[str], None]


class Pauses:
    """How long to wait before starting something again: doubles up to 10 s while it keeps failing, and forgets after 30 s of life."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE_S

    def next(self, lived_s: float) -> float:
        if lived_s > STEADY_AFTER_S:
            self._pause = FIRST_PAUSE_S
        pause, self._pause = self._pause, min(LONGEST_PAUSE_S, 2 * self._pause)
        return pause


class Watched(Protocol):
    """A service of the stack. `wanted` is false while somebody keeps it down on purpose, `due` when it is to be started again."""

    name: str
    process: Process
    wanted: bool
    due: float | None

    def launch(self, environment: Mapping[str, str]) -> None: ...

    def next_pause(self) -> float: ...


class Server(Protocol):
    """An embedded server."""

    def alive(self) -> bool: ...

    async def start(self) -> None: ...


async def watch_services(services: Mapping[str, Watched], environment: Mapping[str, str], tell: Tell) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for service in services.values():
            if not service.wanted or service.process.alive():
                continue
            now = time.monotonic()
            if service.due is None:
                pause = service.next_pause()
                service.due = now + pause
                tell(f"{service.name} ended; starting it again in {pause:g} s (its log is {service.process.log})")
            elif now >= service.due:
                service.launch(environment)


async def watch_servers(servers: EmbeddedServers, tell: Tell) -> None:
    """Until cancelled: a server that ended is started again, and NATS also when it cannot write any more."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_alive("PostgreSQL", servers.postgres, tell))
        tasks.create_task(_keep_alive("NATS", servers.nats, tell, lambda: _keep_writing(servers, tell)))


async def _keep_alive(name: str, server: Server, tell: Tell, further: Callable[[], Awaitable[None]] | None = None) -> None:
    pauses, begun, told = Pauses(), time.monotonic(), ""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if server.alive():
            if further is not None:
                await further()
            continue
        if not told:
            tell(f"{name} ended; starting it again")
        await asyncio.sleep(pauses.next(time.monotonic() - begun))
        begun = time.monotonic()
        try:
            await server.start()
            told = ""
        except (ServerFault, OSError) as fault:
            # A disk without room says the same at every try; it is told once.
            if (why := str(fault).partition("\n")[0]) != told:
                told = why
                tell(f"{fault}\n{name} is tried again until it starts")


async def _keep_writing(servers: EmbeddedServers, tell: Tell) -> None:
    """After a write that failed, as on a full disk, NATS stores nothing more until it is started again; it is, once there is room."""
    await asyncio.sleep(WRITES_EVERY_S - LOOK_EVERY_S)
    nats = servers.nats
    if not await nats.cannot_write():
        return
    tell("NATS cannot write any more (its disk is full?) and confirms nothing; starting it again once there is room")
    pauses, begun = Pauses(), float("-inf")
    while nats.alive() and await nats.cannot_write():
        await asyncio.sleep(pauses.next(time.monotonic() - begun))
        if nats.has_room():
            begun = time.monotonic()
            try:
                await nats.restart()
            except (ServerFault, OSError) as fault:
                tell(str(fault))
                return
            await asyncio.sleep(WRITES_EVERY_S)
    tell("NATS writes again")

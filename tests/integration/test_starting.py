"""Every service is started before its servers: it waits for them, says so, and then serves; told to stop meanwhile, it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import EmbeddedServers
from shared.settings import Settings
from tests.integration.every_service import MAINS
from tests.integration.ports import free_ports

# Five processes read all of the product, and packs are compiled.
pytestmark = pytest.mark.timeout(900)
WITH_PORT = ("ingest", "decision", "notify")
ASKED = (
    "INSERT INTO events (partition, seq, tenant, athlete, source, id, type, time, recorded_at, digest, body) VALUES"
    " (0, 1000000, 'early', 'p', 'urn:milepost:erasures', 'erasure-p', 'milepost.athlete.erased', now(), now(), '', '{}')",
    "INSERT INTO keys.erasures (tenant, pseudonym, partition, event, requested_at) VALUES ('early', 'p', 0, '', now())",
)
"""An erasure of somebody of whom nothing is known, and the event that asks for it."""


@dataclass
class Services:
    """One process of each."""

    home: Path
    ports: dict[str, int]
    pids: dict[str, int]
    told: asyncio.StreamReader

    def log(self, name: str) -> list[dict[str, Any]]:
        whole, _, _ = (self.home / name).read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]

    def waiting(self) -> dict[str, list[str]]:
        """What each says that it waits for."""
        return {name: [line["event"] for line in self.log(name) if line["event"].startswith("waiting for")] for name in MAINS}

    async def ready(self) -> set[str]:
        """Which of those with a port serve."""
        found = set()
        async with httpx.AsyncClient() as client:
            for name in WITH_PORT:
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.ports[name]}/readyz")
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    found.add(name)
        return found

    async def ended(self) -> dict[str, str]:
        """The exit code of each, once all were told to stop and have ended."""
        for pid in self.pids.values():
            os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(180):
            return dict([(await self.told.readline()).decode().split() for _ in self.pids])


@asynccontextmanager
async def services(servers: EmbeddedServers, home: Path, **changes: str) -> AsyncIterator[Services]:
    ports = dict(zip(WITH_PORT, free_ports(len(WITH_PORT)), strict=True))
    named = {f"MILEPOST_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.every_service", str(home)),
        env=os.environ | servers.settings() | named | {"MILEPOST_START_WAIT_S": "300"} | changes,
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        assert process.stdout is not None
        begun = dict([(await process.stdout.readline()).decode().split() for _ in MAINS])
        yield Services(home, ports, {name: int(pid) for name, pid in begun.items()}, process.stdout)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.fixture
async def away(settings: Settings, servers: EmbeddedServers, owner: AsyncEngine) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Both servers are killed; what is given starts them again."""

    async def back() -> None:
        for server in (servers.postgres, servers.nats):
            if not server.alive():
                await server.start()

    await owner.dispose()
    await servers.nats.kill()
    await servers.postgres.kill()
    try:
        yield back
    finally:
        await back()


async def until(holds: Callable[[], Any], within_s: float = 180) -> None:
    deadline = monotonic() + within_s
    while not (await found if asyncio.iscoroutine(found := holds()) else found):
        assert monotonic() < deadline, "the condition did not come to hold in time"
        await asyncio.sleep(0.05)


@pytest.mark.law("nothing-lost")
async def test_every_service_that_is_started_before_its_servers_serves_once_they_answer(
    away: Callable[[], Awaitable[None]], servers: EmbeddedServers, owner: AsyncEngine, tmp_path: Path
):
    async with services(servers, tmp_path) as started:
        await until(lambda: all(started.waiting().values()))
        assert await started.ready() == set()
        await servers.postgres.start()
        await until(lambda: all(len(said) == 2 for said in started.waiting().values()))
        assert await started.ready() == set()
        await away()
        # Decision is ready once the worker serves every partition.
        await until(lambda: ready_are(started, set(WITH_PORT)))
        async with owner.begin() as conn:
            for statement in ASKED:
                await conn.execute(text(statement))
        await until(lambda: any(line["event"] == "an athlete was erased" for line in started.log("eraser")))
        assert started.waiting() == {name: ["waiting for the database to answer", "waiting for the bus to answer"] for name in MAINS}
        assert await started.ended() == dict.fromkeys(MAINS, "0")


async def ready_are(started: Services, wanted: set[str]) -> bool:
    return await started.ready() == wanted


async def test_a_service_that_is_told_to_stop_while_it_waits_ends_at_once(settings: Settings, servers: EmbeddedServers, tmp_path: Path):
    nowhere = f"nats://127.0.0.1:{free_ports(1)[0]}"
    async with services(servers, tmp_path, MILEPOST_NATS_URL=nowhere, MILEPOST_ERASER_NATS_URL=nowhere) as started:
        await until(lambda: all(started.waiting().values()))
        assert await started.ended() == dict.fromkeys(MAINS, "0")
        assert {name: [line["event"] for line in started.log(name)] for name in MAINS} == started.waiting()

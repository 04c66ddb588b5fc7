"""`python -m services.ingest` as a process: how it starts, why it does not, how it ends, and what schemathesis makes of its document."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import nats
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import EmbeddedServers
from services.ingest.formats.cloudevents import BATCH
from services.ingest.formats.fit_write import write_run_walk
from shared import auth
from shared.bus import EVENTS, Bus
from shared.settings import Settings
from tests.integration.ports import free_ports


@pytest.fixture(scope="module")
async def key(engine: AsyncEngine) -> dict[str, str]:
    async with engine.begin() as conn:
        _, text = await auth.create_key(conn, "clinic-a", "integrator", "test")
    return {"Authorization": f"Bearer {text}"}


@asynccontextmanager
async def ingest(servers: EmbeddedServers, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ingest",
        env={**os.environ, **servers.settings(), **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(180):
        while process.returncode is None:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    raise AssertionError("ingest ended while starting")


def batch(count: int, name: str) -> list[dict[str, Any]]:
    return [
        {
            "specversion": "1.0",
            "id": f"{name}-{number}",
            "source": "urn:test",
            "type": "milepost.wellness.reported",
            "subject": f"athlete-{number % 17}",
            "time": "2026-03-02T07:00:00Z",
            "data": {"sleep_h": 7.5},
        }
        for number in range(count)
    ]


async def test_it_serves_reads_files_and_ends_when_told(settings: Settings, servers: EmbeddedServers, key):
    port = free_ports(1)[0]
    async with (
        ingest(servers, MILEPOST_INGEST_PORT=str(port)) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        await ready(client, process)
        answer = await client.post("/v1/events", json=batch(50, "served"), headers={**key, "content-type": BATCH})
        assert answer.json()["accepted"] == 50
        file = write_run_walk(datetime(2026, 3, 3, 17, tzinfo=UTC), [(60, 60)] * 3)
        answer = await client.post("/v1/athletes/a/files", content=file, headers={**key, "content-type": "application/vnd.ant.fit"})
        assert answer.status_code == 202, answer.text
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, log.decode()
        assert b"athlete-" not in log
        assert b"Traceback" not in log


@pytest.mark.law("nothing-lost")
async def test_everything_it_confirmed_before_a_kill_is_on_the_bus(settings: Settings, servers: EmbeddedServers, key):
    port = free_ports(1)[0]
    confirmed: set[str] = set()

    async def send(client: httpx.AsyncClient, name: str) -> None:
        for number in range(10_000):
            events = batch(20, f"{name}-{number}")
            try:
                answer = await client.post("/v1/events", json=events, headers={**key, "content-type": BATCH})
            except httpx.TransportError:
                return
            if answer.status_code == 202:
                confirmed.update(event["id"] for event in events)

    async with (
        ingest(servers, MILEPOST_INGEST_PORT=str(port)) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        await ready(client, process)
        senders = [asyncio.create_task(send(client, f"kill-{number}")) for number in range(8)]
        async with asyncio.timeout(60):
            while len(confirmed) < 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        process.kill()
        await asyncio.gather(*senders)
    stored = {message["id"] for message in await everything(settings)}
    assert confirmed <= stored


async def everything(settings: Settings) -> list[dict[str, Any]]:
    bus = await Bus.connect(settings)
    try:
        last = await bus.last_seq(EVENTS)
        consumer = await bus.pull_consumer(EVENTS, "test-reader", ["ev.>"], 1, 1000)
        found: list[dict[str, Any]] = []
        position = 0
        while position < last:
            if fetched := await consumer.fetch(1000, 1):
                found += [json.loads(message.data) for message in fetched]
                position = fetched[-1].stream_seq
                await consumer.ack_all(fetched[-1])
        await bus.delete_consumer(EVENTS, "test-reader")
        return found
    finally:
        await bus.close()


async def test_generated_requests_never_meet_a_fault_of_the_server_or_an_undocumented_answer(
    settings: Settings, servers: EmbeddedServers, key, tmp_path
):
    port = free_ports(1)[0]
    async with (
        ingest(servers, MILEPOST_INGEST_PORT=str(port)) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        await ready(client, process)
        generated = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"http://127.0.0.1:{port}/openapi.json",
            "--header",
            f"Authorization: {key['Authorization']}",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection",
            "--phases=examples,fuzzing",
            "--max-examples=40",
            "--seed=1",
            "--generation-database=none",
            "--suppress-health-check=all",
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        report, _ = await asyncio.wait_for(generated.communicate(), 150)
        assert generated.returncode == 0, report.decode()


async def refusal(servers: EmbeddedServers, **settings: str) -> list[str]:
    """What it says before it ends because it may not start."""
    async with ingest(servers, **{"MILEPOST_INGEST_PORT": "0", "MILEPOST_START_WAIT_S": "0"} | settings) as process:
        _, log = await asyncio.wait_for(process.communicate(), 180)
        assert process.returncode == 1
        return log.decode().strip().splitlines()


async def test_it_says_in_one_line_which_setting_is_missing(settings: Settings, servers: EmbeddedServers):
    (line,) = await refusal(servers, MILEPOST_PSEUDONYM_KEY="")
    assert line.startswith("MILEPOST_PSEUDONYM_KEY: not set")


async def test_it_says_in_one_line_which_server_it_cannot_reach(settings: Settings, servers: EmbeddedServers):
    (line,) = await refusal(servers, MILEPOST_NATS_URL=f"nats://127.0.0.1:{free_ports(1)[0]}")
    assert line.startswith("ingest does not start: ")
    unreachable = f"postgresql+asyncpg://x:y@127.0.0.1:{free_ports(1)[0]}/x"
    (line,) = await refusal(servers, MILEPOST_DATABASE_URL=unreachable)
    assert line.startswith("ingest does not start: PostgreSQL cannot be used")


async def test_it_refuses_a_stream_that_is_not_as_declared(settings: Settings, servers: EmbeddedServers):
    connection = await nats.connect(servers.nats.owner_url)
    try:
        answer = await connection.request(f"$JS.API.STREAM.INFO.{EVENTS}", timeout=60)
        declared = json.loads(answer.data)["config"]
        changed = json.dumps(declared | {"max_age": 3_600_000_000_000}).encode()
        assert "error" not in json.loads((await connection.request(f"$JS.API.STREAM.UPDATE.{EVENTS}", changed, timeout=60)).data)
        try:
            # A server that stands still for a moment is waited for.
            assert "stream EVENTS: max_age is" in (await refusal(servers, MILEPOST_START_WAIT_S="60"))[-1]
        finally:
            await connection.request(f"$JS.API.STREAM.UPDATE.{EVENTS}", json.dumps(declared).encode(), timeout=60)
    finally:
        await connection.close()

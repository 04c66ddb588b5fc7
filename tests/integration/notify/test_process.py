"""`python -m services.notify` as a process: that it ends when told to, and what it says when it will not start."""

import asyncio
import signal
from typing import Any

import httpx
import pytest


async def test_the_process_serves_until_it_is_told_to_stop(process: Any, until: Any, unused_tcp_port: int) -> None:
    async with process(unused_tcp_port) as running, httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}") as client:
        await until(lambda: _answers(client), within=60)
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 60) in (0, -signal.SIGTERM)


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MILEPOST_SECRET_KEY": ""}, "MILEPOST_SECRET_KEY"),
        ({"MILEPOST_DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/none"}, "PostgreSQL cannot be used"),
        ({"MILEPOST_NATS_URL": "nats://127.0.0.1:9"}, "bus"),
    ],
    ids=["no secret key", "no database", "no bus"],
)
async def test_a_start_that_is_refused_says_why_in_one_line(process: Any, changes: dict[str, str], words: str) -> None:
    async with process(0, MILEPOST_START_WAIT_S="0", **changes) as refused:
        _, said = await asyncio.wait_for(refused.communicate(), 60)
        assert refused.returncode == 1
        lines = [line for line in said.decode().splitlines() if not line.startswith("{")]
        assert len(lines) == 1 and words in lines[0]

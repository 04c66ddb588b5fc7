"""`python -m services.notify` as a process: what schemathesis makes of its document, and what it says when it will not start."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection"


async def test_no_generated_request_meets_a_fault_or_an_undocumented_answer(
    notify: Any, process: Any, until: Any, unused_tcp_port: int, tmp_path: Path
) -> None:
    async with notify() as site:
        clinic = await site.clinic()
        await clinic.endpoint("http://127.0.0.1:9/")
    address = f"http://127.0.0.1:{unused_tcp_port}"
    async with process(unused_tcp_port) as running, httpx.AsyncClient(base_url=address) as client:
        await until(lambda: _answers(client), within=30)
        generated = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--checks", CHECKS),
            *("--header", f"Authorization: Bearer {clinic.keys['integrator']}", "--phases=examples,coverage,fuzzing", "--max-examples=25"),
            *("--seed=1", "--generation-database=none", "--suppress-health-check=all", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        report, _ = await asyncio.wait_for(generated.communicate(), 150)
        assert generated.returncode == 0, report.decode()
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 20) in (0, -signal.SIGTERM)


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
    async with process(0, **changes) as refused:
        _, said = await asyncio.wait_for(refused.communicate(), 60)
        assert refused.returncode == 1
        lines = [line for line in said.decode().splitlines() if not line.startswith("{")]
        assert len(lines) == 1 and words in lines[0]

"""The live stream: what endpoints are told, as it happens; resumed without gap or repeat; to the tenant and the role alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest


@pytest.fixture
async def served(site: Any, process: Any, until: Any, unused_tcp_port: int) -> AsyncIterator[str]:
    """Another process: it streams what the one here tells. The client of these tests does not stream from an application in memory."""
    base = f"http://127.0.0.1:{unused_tcp_port}"
    async with process(unused_tcp_port), httpx.AsyncClient(base_url=base) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(ready, within=60)
        yield base


@asynccontextmanager
async def listening(base: str, key: str, last: str | None = None) -> AsyncIterator[Any]:
    """`await heard()` yields the next event as (id, type, data)."""
    headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last} if last else {})
    async with httpx.AsyncClient(base_url=base, timeout=30) as client, client.stream("GET", "/v1/stream", headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"

        async def heard() -> tuple[str, str, Any]:
            fields: dict[str, str] = {}
            async with asyncio.timeout(60):
                async for line in lines:
                    name, _, value = line.partition(": ")
                    if name in ("id", "event", "data"):
                        fields[name] = value
                    elif not line and fields:
                        return fields["id"], fields["event"], orjson.loads(fields["data"])["data"]
            raise AssertionError("the stream ended")

        yield heard


async def test_a_stream_tells_as_it_happens_and_resumes_behind_the_last_event_without_gap_or_repeat(
    served: str, clinic: Any, site: Any, publish: Any, made: Any
) -> None:
    other = await site.clinic()
    async with listening(served, clinic.keys["clinician"]) as heard:
        await publish(other.tenant, made(1, course="theirs"))
        await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.started")
        await publish(clinic.tenant, made(1))
        first, second = await heard(), await heard()
    assert [(kind, data["course"]) for _, kind, data in (first, second)] == [("course.started", "c-1"), ("recommendation.changed", "c-1")]
    for seq in (2, 3, 4):
        await publish(clinic.tenant, made(seq))
    async with listening(served, clinic.keys["clinician"], last=second[0]) as heard:
        resumed = [await heard() for _ in range(3)]
        await publish(clinic.tenant, made(5))
        resumed.append(await heard())
    assert [data["seq"] for _, _, data in resumed] == [2, 3, 4, 5]
    assert len({event for event, _, _ in (first, second, *resumed)}) == 6
    async with httpx.AsyncClient(base_url=served) as client:
        for key, last, status in (("clinician", "msg_none", 400), ("clinician", "%00", 400), ("integrator", None, 401)):
            good = clinic.keys[key] if status != 401 else "mp_live_nobody"
            headers = {"Authorization": f"Bearer {good}"} | ({"Last-Event-ID": last} if last else {})
            assert (await client.get("/v1/stream", headers=headers)).status_code == status
        stolen = {"Authorization": f"Bearer {other.keys['clinician']}", "Last-Event-ID": second[0]}
        assert (await client.get("/v1/stream", headers=stolen)).status_code == 400


@pytest.mark.law("no-unreleased-advance")
async def test_a_coachs_stream_holds_released_recommendations_and_nothing_else(served: str, clinic: Any, publish: Any, made: Any) -> None:
    async with listening(served, clinic.keys["coach"]) as heard:
        await publish(clinic.tenant, made(1, urgency="stop_and_refer", summary="SYMPTOM", running="withheld"))
        refused = {"source": "app", "id": "e1", "type": "milepost.session.completed", "path": "data.step", "reason": "SYMPTOM"}
        await publish(clinic.tenant, refused, kind="event.refused")
        await publish(clinic.tenant, made(2, action="advance", summary="SYMPTOM"))
        await publish(clinic.tenant, made(3, action="advance", to_step="W2", answer={"state": "accepted"}))
        told = [await heard() for _ in range(2)]
    assert [(kind, data["seq"]) for _, kind, data in told] == [("recommendation.changed", 1), ("recommendation.changed", 3)]
    assert "SYMPTOM" not in repr(told) and not any("urgency" in data for _, _, data in told)

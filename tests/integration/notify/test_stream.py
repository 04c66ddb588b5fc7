"""The live stream: what endpoints are told, as it happens; resumed without gap or repeat; to the tenant and the role alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from shared.placing import partition, pseudonym
from shared.settings import Settings


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
    async with httpx.AsyncClient(base_url=base, timeout=90) as client, client.stream("GET", "/v1/stream", headers=headers) as answer:
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
    async with httpx.AsyncClient(base_url=served, timeout=60) as client:
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


async def asked(rows: Any, settings: Settings, tenant: str, athlete: str, carried_out: bool = False) -> None:
    """As the lane stores that the athlete is to be erased."""
    name, now = pseudonym(settings.pseudonym_key_bytes, tenant, athlete), datetime.now(UTC)
    values = {"tenant": tenant, "name": name, "partition": partition(tenant, athlete), "at": now, "done": now if carried_out else None}
    if carried_out:
        # It stands in history, or a service that looks at the database finds it older than its erasures and refuses it.
        await rows(
            "INSERT INTO events (partition, seq, tenant, athlete, source, id, type, time, recorded_at, digest, body)"
            " VALUES (:partition, 1, :tenant, :name, 'urn:milepost:erasures', 'erasure-' || :name, 'milepost.athlete.erased', :at, :at,"
            " '', '') RETURNING 1",
            **{key: value for key, value in values.items() if key != "done"},
        )
    await rows(
        "INSERT INTO keys.erasures (tenant, pseudonym, partition, event, requested_at, erased_at)"
        " VALUES (:tenant, :name, :partition, '{}', :at, :done) RETURNING 1",
        **values,
    )


async def test_from_the_request_on_no_list_and_no_stream_tells_of_an_athlete_who_is_to_be_erased(
    served: str, clinic: Any, site: Any, receiver: Any, publish: Any, made: Any, until: Any, asking: Any, settings: Settings
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    who = {"stays": "athlete-1", "goes": "athlete-2"}
    async with listening(served, clinic.keys["clinician"]) as heard:
        await publish(clinic.tenant, {"course": "c-0", "protocol": "p@1"}, kind="course.started")
        last, _, _ = await heard()
        for seq in (1, 2, 3):
            for name, athlete in who.items():
                body = made(seq, course=name, subject=athlete, urgency="stop_and_refer" if seq == 3 else "routine")
                await publish(clinic.tenant, body, athlete=athlete)
        both = [(await heard())[2]["course"] for _ in range(8)]
    assert sorted(both) == ["goes"] * 4 + ["stays"] * 4

    async def arrived() -> bool:
        made = await clinic.deliveries(endpoint)
        return len(made) == 9 and all(one["state"] != "pending" for one in made)

    await until(arrived)
    of_them = [one for one in await clinic.deliveries(endpoint) if one["course"] == "goes"]
    assert len(of_them) == 4 and all("athlete" not in one for one in of_them)
    referral = next(one["notice"] for one in of_them if one["type"] == "course.referred")
    began = of_them[-1]["created_at"]

    async def listed(path: str, limit: int) -> list[str]:
        found, query = [], {"limit": limit}
        while True:
            page = (await clinic.ask("GET", path, params=query)).json()
            found += [one["course"] for one in page["items"]]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    lists = ("/v1/notices", f"/v1/endpoints/{endpoint['id']}/deliveries")
    for path in lists:
        assert (await listed(path, 100)).count("goes") == 4
    theirs = await site.clinic()
    await asked(asking, settings, theirs.tenant, "athlete-2")
    await asked(asking, settings, clinic.tenant, "athlete-3", carried_out=True)
    assert (await listed(lists[0], 100)).count("goes") == 4, "another tenant's athlete of that name asked"
    await asked(asking, settings, clinic.tenant, "athlete-2")
    for path in lists:
        for limit in (1, 2, 100):
            assert sorted(await listed(path, limit)) == ["c-0", *["stays"] * 4], f"{path} in pages of {limit}"
        assert (await clinic.ask("GET", path, params={"course": "goes"})).json() == {"items": [], "next": None}
    refused = [
        await clinic.ask("POST", f"/v1/deliveries/{of_them[0]['id']}/resend"),
        await clinic.ask("POST", f"/v1/notices/{referral}/acknowledge", "clinician"),
    ]
    assert [(one.status_code, one.json()["type"]) for one in refused] == [(410, "urn:milepost:problem:erased")] * 2
    await asking("UPDATE deliveries SET state = 'exhausted' WHERE endpoint = :id RETURNING 1", id=endpoint["id"])
    done = await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/recover", json={"since": began})
    recovered = await clinic.deliveries(endpoint, state="pending") + await clinic.deliveries(endpoint, state="delivered")
    assert done.json()["again"] > 0 and done.json()["missed"] == 0 and {one["course"] for one in recovered} <= {"c-0", "stays"}
    still = await asking("SELECT d.state FROM deliveries d JOIN notices n ON n.id = d.notice WHERE n.course = 'goes'")
    assert [row.state for row in still] == ["exhausted"] * 4
    async with listening(served, clinic.keys["clinician"], last=last) as heard:
        assert [(await heard())[2]["course"] for _ in range(4)] == ["stays"] * 4

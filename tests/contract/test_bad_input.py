"""What the running product answers to what it cannot take, and while a server is away."""

import asyncio
from functools import partial
from time import monotonic
from typing import Any

import httpx
import pytest

from shared import auth, db
from shared.auth.guard import REMEMBERED_S
from tests.contract.conftest import Clinic, until

SLEPT = {"sleep_h": 7}


def wellness(clinic: Clinic, id: str, **data: Any) -> dict[str, Any]:
    return clinic.event(id, "wellness.reported", "2025-03-05T07:00:00Z", SLEPT | data)


async def test_a_wrong_key_is_401_and_a_missing_scope_is_403_by_its_name(north: Clinic) -> None:
    url = f"{north.stack.ingest_url}/v1/events"
    key = north.keys["author"]
    mistyped = key[:-1] + ("0" if key[-1] != "0" else "1")
    unknown = await north.client.post(url, json=wellness(north, "w"), headers={"Authorization": f"Bearer {mistyped}"})
    assert (unknown.status_code, unknown.json()["type"]) == (401, "urn:milepost:problem:key-not-accepted")
    missing = await north.send(wellness(north, "w"), role="author")
    assert (missing.status_code, missing.json()["type"]) == (403, "urn:milepost:problem:scope-missing")
    assert "events:write" in missing.json()["detail"]


async def test_a_faulty_event_is_refused_by_path_and_its_neighbours_are_accepted(north: Clinic) -> None:
    faulty = wellness(north, "bad", fatigue=11, mood="fine", colour="red")
    sent = await north.send(wellness(north, "left"), faulty, wellness(north, "right"))
    assert sent.status_code == 202
    answer = sent.json()
    assert [outcome["outcome"] for outcome in answer["outcomes"]] == ["accepted", "rejected", "accepted"]
    faults = {fault["path"]: fault for fault in answer["outcomes"][1]["faults"]}
    assert set(faults) == {"data.fatigue", "data.mood", "data.colour"}
    assert "10" in faults["data.fatigue"]["expected"] and all(fault["expected"] and fault["do"] for fault in faults.values())
    for id in ("north-left", "north-right"):
        assert (await until(partial(north.became, id)))["status"] == "accepted"
    assert await north.became("north-bad") is None


async def test_what_only_the_course_can_judge_is_refused_after_the_202_and_blocks_nobody(north: Clinic) -> None:
    strange = north.event("z9", "session.skipped", "2025-03-06T07:00:00Z", {"reason": "time", "step": "Z9"})
    assert (await north.send(strange, wellness(north, "after-z9"))).json()["accepted"] == 2
    refused = await until(lambda: north.became("north-z9"))
    assert (refused["status"], refused["path"], refused["decisions"]) == ("refused", "data.step", [])
    assert (await until(lambda: north.became("north-after-z9")))["status"] == "accepted"


@pytest.mark.law("nothing-lost")
async def test_while_the_bus_is_away_events_get_503_and_arrive_once_sent_again(north: Clinic) -> None:
    await north.stack.kill("nats")
    refused = await north.send(wellness(north, "no-bus"))
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert int(refused.headers["retry-after"]) > 0
    await north.stack.restart("nats")

    async def taken() -> bool:
        again = await north.send(wellness(north, "no-bus"))
        assert again.status_code in (202, 503), again.text
        return again.status_code == 202

    await until(taken)
    assert (await until(lambda: north.became("north-no-bus")))["status"] == "accepted"
    await north.stack.ready()


@pytest.mark.law("nothing-lost")
async def test_while_the_database_is_away_known_keys_still_send_and_other_requests_get_503(north: Clinic) -> None:
    stack = north.stack
    database = db.engine(stack.settings, pool_size=1)

    async def send(key: str, id: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return await north.client.post(f"{stack.ingest_url}/v1/events", json=wellness(north, id), headers=headers)

    while True:
        async with database.begin() as conn:
            known, fresh = [(await auth.create_key(conn, "north", "integrator", "not used yet"))[1] for _ in range(2)]
        begin = monotonic()
        assert (await send(known, "before-outage")).status_code == 202
        await stack.kill("postgres")
        # A key that was good less than five seconds ago is not looked up again, and the bus is there: the event is on disk.
        kept, unknown, read, listed = await asyncio.gather(
            send(known, "no-database"),
            send(fresh, "w"),
            north.ask("GET", f"{stack.decision_url}/v1/courses/north-course", "auditor"),
            north.ask("GET", f"{stack.notify_url}/v1/endpoints", "auditor"),
        )
        if kept.status_code == 202 or monotonic() - begin < REMEMBERED_S:
            break
        # The machine stood still for longer than a key is remembered.
        await stack.restart("postgres")
        await stack.ready()
    await database.dispose()
    assert kept.status_code == 202, kept.text
    for refused in (unknown, read, listed):
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json"), refused.text
        assert int(refused.headers["retry-after"]) > 0
    await stack.restart("postgres")
    assert (await until(lambda: north.became("north-no-database")))["status"] == "accepted"
    await stack.ready()

"""Endpoints as their owners run them: changed, paused, recovered, watched."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


def quiet_now() -> dict[str, str]:
    """Quiet hours that now lies in, and will for an hour or more."""
    now = datetime.now(UTC)
    return {"begin": f"{now - timedelta(hours=1):%H:%M}", "until": f"{now + timedelta(hours=2):%H:%M}", "timezone": "UTC"}


async def test_what_is_changed_holds_for_what_is_still_to_leave(notify: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    async with notify(retry_schedule_s=(0.0, *(0.5,) * 120)) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/old", description="before")
        receiver.always["/old"] = 500
        await publish(clinic.tenant, made(1))
        await until(lambda: receiver.at("/old"))
        asked = {"url": f"{receiver.url}/new", "payload": "full", "role": "clinician", "description": "after"}
        changed = await clinic.ask("PATCH", f"/v1/endpoints/{endpoint['id']}", json=asked)
        assert changed.status_code == 200 and {**changed.json(), **asked} == changed.json()
        (heard,) = await until(lambda: receiver.at("/new"))
        assert "dose" in heard.json["data"] and heard.id == receiver.at("/old")[0].id


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"role": "coach", "types": ["course.referred"]}, "types"),
        ({"quiet_hours": {"begin": "22:00", "until": "25:00"}}, "quiet_hours"),
        ({"quiet_hours": {"begin": "22:00", "until": "07:00", "timezone": "Moon/Sea"}}, "quiet_hours.timezone"),
        ({"secret": "whsec_AAAA"}, "secret"),
    ],
)
async def test_a_faulty_change_changes_nothing(clinic: Any, receiver: Any, body: Any, path: str) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    answer = await clinic.ask("PATCH", f"/v1/endpoints/{endpoint['id']}", json=body)
    assert answer.status_code == 422 and any(path in fault["path"] for fault in answer.json()["faults"])
    assert (await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}")).json()["url"] == endpoint["url"]


@pytest.mark.law("nothing-lost")
async def test_recovery_brings_what_was_missed_once_the_endpoint_is_back_and_old_advice_never_last(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    since = datetime.now(UTC).isoformat()
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    receiver.always["/in"] = 410
    await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.started")
    await until(lambda: _is_disabled(clinic, endpoint))
    for seq in (1, 2):
        await publish(clinic.tenant, made(seq))
    await publish(clinic.tenant, made(1, course="c-2"))
    await until(lambda: _notices(clinic, 5))
    path = f"/v1/endpoints/{endpoint['id']}"
    assert (await clinic.ask("POST", f"{path}/recover", json={"since": since})).status_code == 409
    receiver.always["/in"] = 204
    receiver.heard.clear()
    assert (await clinic.ask("PATCH", path, json={"enabled": True})).json()["disabled_at"] is None
    done = (await clinic.ask("POST", f"{path}/recover", json={"since": since})).json()
    assert done == {"again": 1, "missed": 3, "replaced": 1}
    await until(lambda: len(receiver.heard) == 4)
    # Asked again, everything has arrived: nothing is sent twice.
    await until(lambda: _delivered(clinic, endpoint, 4))
    assert (await clinic.ask("POST", f"{path}/recover", json={"since": since})).json() == {"again": 0, "missed": 0, "replaced": 1}
    first = [heard.json for heard in receiver.heard if heard.json["data"].get("course") == "c-1"]
    assert [(one["type"], one["data"].get("seq")) for one in first] == [("course.started", None), ("recommendation.changed", 2)]


async def _is_disabled(clinic: Any, endpoint: Any) -> bool:
    return (await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}")).json()["disabled_at"] is not None


async def _notices(clinic: Any, count: int) -> bool:
    return len((await clinic.ask("GET", "/v1/notices", params={"limit": 100})).json()["items"]) >= count


async def _delivered(clinic: Any, endpoint: Any, count: int) -> bool:
    return len(await clinic.deliveries(endpoint, state="delivered")) == count


async def test_the_circuit_breaker_opens_is_shown_and_announced_and_closes_again(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify(retry_schedule_s=(0.0, *(0.3,) * 30)) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        await clinic.endpoint(f"{receiver.url}/operations", types=["endpoint.failing", "endpoint.recovered"])
        await clinic.endpoint(f"{receiver.url}/others", types=["course.started"])
        receiver.always["/in"] = 503
        for number in range(5):
            await publish(clinic.tenant, made(1, course=f"c-{number}"))

        async def breaker() -> str:
            return str((await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}")).json()["breaker"])

        async def is_open() -> bool:
            return await breaker() in ("open", "half_open")

        await until(is_open)
        assert 'milepost_notify_breakers{state="open"}' in (await site.client.get("/metrics")).text
        receiver.always["/in"] = 204

        async def is_closed() -> bool:
            return await breaker() == "closed"

        await until(is_closed)
        await until(lambda: len(receiver.at("/operations")) == 2)
        told = [(heard.json["type"], heard.json["data"]["endpoint"]) for heard in receiver.at("/operations")]
        assert told == [("endpoint.failing", endpoint["id"]), ("endpoint.recovered", endpoint["id"])]
        assert receiver.at("/others") == []


async def test_an_endpoint_that_only_fails_for_long_is_disabled_and_that_is_announced(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify(retry_schedule_s=(0.0, *(0.1,) * 50), disable_endpoint_after_s=0.5) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        await clinic.endpoint(f"{receiver.url}/other")
        receiver.always["/in"] = 500
        await publish(clinic.tenant, made(1))
        (told,) = await until(lambda: [one for one in receiver.at("/other") if one.json["type"] == "endpoint.disabled"])
        assert told.json["data"]["endpoint"] == endpoint["id"] and "nothing but failures" in told.json["data"]["because"]
        assert await clinic.states(endpoint) == [("recommendation.changed", "exhausted")]


async def test_deliveries_given_up_are_announced_to_who_asked_for_it(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    await clinic.endpoint(f"{receiver.url}/operations", types=["delivery.exhausted"])
    receiver.always["/in"] = 404
    await publish(clinic.tenant, made(1))
    (told,) = await until(lambda: receiver.at("/operations"))
    assert told.json["data"] == {"endpoint": endpoint["id"], "deliveries": 1}


async def test_that_nobody_was_subscribed_can_be_read(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    await clinic.endpoint(f"{receiver.url}/in", types=["course.ended"])
    await publish(clinic.tenant, made(1))
    await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.ended")
    await until(lambda: receiver.heard)
    (alone,) = (await clinic.ask("GET", "/v1/notices", params={"unsubscribed": True})).json()["items"]
    assert (alone["type"], alone["endpoints"], alone["deliveries"]) == ("recommendation.changed", 0, {})
    (told,) = (await clinic.ask("GET", "/v1/notices", params={"type": "course.ended"})).json()["items"]
    assert told["endpoints"] == 1


async def test_deliveries_are_filtered_by_type_course_and_time(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.started")
    await publish(clinic.tenant, made(1))
    await publish(clinic.tenant, made(1, course="c-2"))
    await until(lambda: len(receiver.heard) == 3)
    assert len(await clinic.deliveries(endpoint, type="recommendation.changed")) == 2
    assert [one["course"] for one in await clinic.deliveries(endpoint, course="c-2")] == ["c-2"]
    assert await clinic.deliveries(endpoint, since="2100-01-01T00:00:00Z") == []
    assert (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")).status_code == 202
    assert [one["type"] for one in await clinic.deliveries(endpoint, type="test")] == ["test"]
    faulty = await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}/deliveries", params={"since": "2026-01-01"})
    assert faulty.status_code == 422


async def test_quiet_hours_hold_back_what_can_wait_and_never_a_referral(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in", quiet_hours=quiet_now())
    await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.started")
    await publish(clinic.tenant, made(1))
    await publish(clinic.tenant, made(1, course="c-2"))
    waiting = await until(lambda: _pending(clinic, endpoint, 3))
    assert all(datetime.fromisoformat(one["next_at"]) - datetime.now(UTC) > timedelta(hours=1) for one in waiting)
    assert receiver.heard == []
    await publish(clinic.tenant, made(2, urgency="stop_and_refer", running="withheld"))
    # What was held back of that course goes before it: the order stays.
    await until(lambda: len(receiver.heard) == 3)
    told = [heard.json["type"] for heard in receiver.heard]
    assert sorted(told) == ["course.referred", "course.started", "recommendation.changed"]
    assert told.index("course.started") < told.index("recommendation.changed")
    (left,) = await until(lambda: _pending(clinic, endpoint, 1))
    assert left["course"] == "c-2"


async def test_taking_back_an_advance_that_was_not_run_ignores_quiet_hours(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    await publish(clinic.tenant, made(1, action="advance", to_step="W2"))
    await until(lambda: len(receiver.heard) == 1)
    await clinic.ask("PATCH", f"/v1/endpoints/{endpoint['id']}", json={"quiet_hours": quiet_now()})
    await publish(clinic.tenant, made(2, to_step="W1", supersedes="c-1-d1"))
    await until(lambda: len(receiver.heard) == 2)
    assert receiver.heard[1].json["type"] == "recommendation.superseded"


async def _pending(clinic: Any, endpoint: Any, count: int) -> list[Any] | None:
    found: list[Any] = await clinic.deliveries(endpoint, state="pending")
    return found if len(found) == count else None

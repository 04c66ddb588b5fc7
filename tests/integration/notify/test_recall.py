"""A stricter policy takes back from coaches the advances that they were told of under a looser one."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.auth import create_key

ADVANCE = {"action": "advance", "from_step": "W1", "to_step": "W2"}


@pytest.fixture
async def site(notify: Any) -> AsyncIterator[Any]:
    """Attempts go on for as long as a change of the policy or of a role may take."""
    async with notify(retry_schedule_s=(0.0, *(0.2,) * 300)) as running:
        yield running


@pytest.fixture
async def direct(clinic: Any, engine: AsyncEngine) -> Any:
    """The clinic with an administrator, its policy `direct`."""
    async with engine.begin() as conn:
        clinic.keys["admin"] = (await create_key(conn, clinic.tenant, "admin", "admin"))[1]
    await put(clinic, "direct")
    return clinic


async def put(clinic: Any, release: str) -> None:
    answer = await clinic.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": release})
    assert answer.status_code == 200, answer.text


@pytest.mark.law("no-unreleased-advance")
async def test_a_coach_who_was_told_an_advance_hears_that_it_awaits_a_clinician_quiet_hours_or_not(
    direct: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    coach = await direct.endpoint(f"{receiver.url}/coach", role="coach")
    clinic = await direct.endpoint(f"{receiver.url}/clinic", role="clinician")
    await publish(direct.tenant, made(1, **ADVANCE))
    await publish(direct.tenant, made(1, course="c-2"))
    await publish(direct.tenant, made(1, course="c-3", **ADVANCE, answer={"state": "accepted"}))
    await until(lambda: len(receiver.at("/coach")) == 3 and len(receiver.at("/clinic")) == 3)
    now = datetime.now(UTC)
    quiet = {"begin": f"{now - timedelta(hours=1):%H:%M}", "until": f"{now + timedelta(hours=2):%H:%M}", "timezone": "UTC"}
    await direct.ask("PATCH", f"/v1/endpoints/{coach['id']}", json={"quiet_hours": quiet})
    await put(direct, "after_clinician")
    await put(direct, "after_clinician")
    heard = await until(lambda: receiver.at("/coach")[3:])
    assert [(one.json["type"], one.json["data"]["course"]) for one in heard] == [("recommendation.superseded", "c-1")]
    data = heard[0].json["data"]
    assert (data["status"], data["step"]) == ("awaiting_clinician", "W1") and not {"action", "to_step", "dose"} & data.keys()
    await publish(direct.tenant, made(2, **ADVANCE, answer={"state": "accepted"}))

    async def waits() -> bool:
        kinds = ["recommendation.changed"] * 3 + ["recommendation.superseded", "recommendation.changed"]
        return await direct.states(coach) == list(zip(kinds, ["delivered"] * 4 + ["pending"], strict=True))

    await until(waits)
    assert len(await direct.deliveries(clinic)) == 3


async def test_what_is_taken_back_comes_after_an_attempt_under_way_and_what_waits_is_blocked(
    direct: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    coach = await direct.endpoint(f"{receiver.url}/coach", role="coach")
    receiver.answers["/coach"].append("hang")
    await publish(direct.tenant, made(1, **ADVANCE))
    await until(lambda: receiver.at("/coach"))
    await put(direct, "status_only")
    assert len(receiver.at("/coach")) == 1
    receiver.release.set()
    heard = await until(lambda: receiver.at("/coach")[1:])
    assert heard[0].json["type"] == "recommendation.superseded" and heard[0].json["data"]["status"] == "awaiting_clinician"
    assert "step" not in heard[0].json["data"]
    await until(lambda: arrived(direct, coach))


async def arrived(clinic: Any, endpoint: Any) -> bool:
    states = await clinic.states(endpoint)
    return bool(states) and all(state == "delivered" for _, state in states)


async def test_each_time_it_is_told_again_it_is_taken_back_again(direct: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    coach = await direct.endpoint(f"{receiver.url}/coach", role="coach")
    await publish(direct.tenant, made(1, **ADVANCE))
    await until(lambda: arrived(direct, coach))
    for times in (1, 2, 3):
        await put(direct, "after_clinician")
        heard = await until(lambda times=times: receiver.at("/coach")[times:])
        assert [one.json["data"]["status"] for one in heard] == ["awaiting_clinician"]
        await put(direct, "direct")


async def test_a_policy_that_is_not_stricter_takes_nothing_back(direct: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    await put(direct, "status_only")
    coach = await direct.endpoint(f"{receiver.url}/coach", role="coach")
    await publish(direct.tenant, made(1, **ADVANCE))
    await until(lambda: receiver.at("/coach"))
    for release in ("after_clinician", "direct", "direct"):
        await put(direct, release)
    assert len(await direct.deliveries(coach)) == 1


@pytest.mark.law("no-unreleased-advance")
async def test_an_endpoint_that_became_a_coachs_is_not_sent_what_was_kept_for_a_clinician(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in", role="clinician")
    receiver.always["/in"] = 500
    refused = {
        "source": "urn:s",
        "id": "e-1",
        "type": "milepost.symptom.reported",
        "path": "data.pain_nrs",
        "reason": "SYMPTOM",
        "course": "c-1",
    }
    await publish(clinic.tenant, refused, "event.refused")
    await until(lambda: receiver.heard)
    await clinic.ask("PATCH", f"/v1/endpoints/{endpoint['id']}", json={"role": "coach"})
    (kept,) = await until(lambda: clinic.deliveries(endpoint, state="blocked"))
    assert kept["because"] == "not for the role that the endpoint has now"

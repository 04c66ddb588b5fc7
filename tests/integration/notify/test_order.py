"""Each course in its order, each endpoint for itself, each window its one notice."""

from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from aiohttp import web

from services.notify.store import sending

SLOW = (0.0, 60.0, 60.0)


async def test_newer_advice_cancels_older_advice_that_has_not_arrived(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify(retry_schedule_s=SLOW) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        receiver.answers["/in"] += [500]
        await publish(clinic.tenant, made(1))
        await until(lambda: receiver.heard)
        await publish(clinic.tenant, made(2))
        await until(lambda: len(receiver.heard) == 2)
        newer, older = await until(lambda: _both_ended(clinic, endpoint))
        assert (older["state"], older["because"]) == ("cancelled", f"newer notice {newer['notice']}")
        assert [attempt["status"] for attempt in older["attempts"]] == [500]
        assert [heard.json["data"]["seq"] for heard in receiver.heard] == [1, 2]


async def _both_ended(clinic: Any, endpoint: Any) -> list[Any] | None:
    deliveries: list[Any] = await clinic.deliveries(endpoint)
    return deliveries if all(one["done_at"] for one in deliveries) else None


async def test_what_was_cancelled_under_way_is_not_overtaken_and_counts_as_delivered_if_it_arrives(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify() as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        receiver.answers["/in"] += ["hang"]
        await publish(clinic.tenant, made(1))
        await until(lambda: receiver.heard)
        await publish(clinic.tenant, made(2))
        await until(lambda: _is_cancelled(clinic, endpoint))
        assert len(receiver.heard) == 1
        receiver.release.set()
        await until(lambda: len(receiver.heard) == 2)
        await until(lambda: _both_ended(clinic, endpoint))
        assert await clinic.states(endpoint) == [("recommendation.changed", "delivered")] * 2


async def _is_cancelled(clinic: Any, endpoint: Any) -> bool:
    return any(one["state"] == "cancelled" for one in await clinic.deliveries(endpoint))


async def test_a_course_waits_for_its_older_notice_and_no_other_course_does(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    def told() -> list[tuple[str, str]]:
        return [(heard.json["type"], heard.json["data"]["course"]) for heard in receiver.heard]

    async with notify(retry_schedule_s=(0.0, *(0.3,) * 300)) as site:
        clinic = await site.clinic()
        await clinic.endpoint(f"{receiver.url}/in")
        # The older notice arrives only once the other course was told.
        receiver.always["/in"] = lambda heard: web.Response(status=204 if ("recommendation.changed", "c-2") in told() else 404)
        await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.started")
        await until(lambda: receiver.heard)
        await publish(clinic.tenant, made(1))
        await publish(clinic.tenant, made(1, course="c-2"))
        await until(lambda: ("recommendation.changed", "c-1") in told())
        in_vain = told().index(("recommendation.changed", "c-2"))
        assert in_vain and told() == [
            *[("course.started", "c-1")] * in_vain,
            ("recommendation.changed", "c-2"),
            ("course.started", "c-1"),
            ("recommendation.changed", "c-1"),
        ]


async def test_notices_that_wait_for_an_older_one_stand_in_nobodys_way(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A window of a few stands for 256: more courses wait at the head of the line than are looked at together.
    for name in ("_DUE", "_PARK"):
        monkeypatch.setattr(sending, name, getattr(sending, name).replace(f"LIMIT {sending.WINDOW}", "LIMIT 4"))
    async with notify(retry_schedule_s=SLOW) as site:
        clinic = await site.clinic()
        await clinic.endpoint(f"{receiver.url}/in")
        receiver.always["/in"] = lambda heard: web.Response(status=400 if heard.json["type"] == "course.started" else 204)
        for number in range(12):
            await publish(clinic.tenant, {"course": f"c-{number}", "protocol": "p@1"}, kind="course.started")
            await publish(clinic.tenant, made(1, course=f"c-{number}"))
        await publish(clinic.tenant, made(1, course="free"))
        await until(lambda: any(heard.json["data"]["course"] == "free" for heard in receiver.heard))
        assert {heard.json["type"] for heard in receiver.heard if heard.json["data"]["course"] != "free"} == {"course.started"}


async def test_a_referral_that_has_not_arrived_outlives_newer_advice_that_still_refers(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify() as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        receiver.answers["/in"] += [500, 500]
        await publish(clinic.tenant, made(1, urgency="stop_and_refer"))
        await until(lambda: len(receiver.heard) >= 2)
        await publish(clinic.tenant, made(2, urgency="stop_and_refer"))
        await until(lambda: receiver.heard[-1].json["data"]["seq"] == 2)
        await until(lambda: _ended_all(clinic, endpoint))
        states = await clinic.states(endpoint)
        assert ("course.referred", "delivered") in states


async def _ended_all(clinic: Any, endpoint: Any) -> bool:
    return all(one["done_at"] for one in await clinic.deliveries(endpoint))


async def test_a_burst_is_told_by_its_first_and_its_last_decision_even_across_a_restart(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, rows: Any, asking: Any
) -> None:
    # However long the burst takes, the window is longer; then it is brought near.
    async with notify(notice_coalesce_s=600.0) as site:
        clinic = await site.clinic()
        await clinic.endpoint(f"{receiver.url}/in")
        await publish(clinic.tenant, made(1))
        # Heard before anything newer is told: newer advice takes the place of what has not left yet.
        await until(lambda: len(receiver.heard) == 1)
        for seq in range(2, 21):
            last = await publish(clinic.tenant, made(seq))
        waiting = "SELECT 1 FROM course_notices WHERE tenant = :tenant AND waiting_outbox = :outbox"
        await until(lambda: rows(waiting, tenant=clinic.tenant, outbox=last))
        assert [heard.json["data"]["seq"] for heard in receiver.heard] == [1]
    begin = monotonic()
    near = "UPDATE course_notices SET waiting_until = now() + interval '1 s' WHERE tenant = :tenant AND waiting_until = told_at + :window"
    assert await asking(f"{near} RETURNING 1", tenant=clinic.tenant, window=timedelta(seconds=600))
    async with notify(notice_coalesce_s=600.0):
        await until(lambda: len(receiver.heard) == 2)
        assert [heard.json["data"]["seq"] for heard in receiver.heard] == [1, 20]
        assert receiver.heard[1].at - begin >= 1.0


async def test_a_rising_urgency_does_not_wait_for_the_window(notify: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    async with notify(notice_coalesce_s=600.0) as site:
        clinic = await site.clinic()
        await clinic.endpoint(f"{receiver.url}/in", types=["recommendation.changed", "course.referred"])
        await publish(clinic.tenant, made(1))
        # Heard before anything newer is told: newer advice takes the place of what has not left yet.
        await until(lambda: len(receiver.heard) == 1)
        await publish(clinic.tenant, made(2))
        await publish(clinic.tenant, made(3, urgency="stop_and_refer"))
        await until(lambda: len(receiver.heard) == 3)
        assert {(heard.json["type"], heard.json["data"]["seq"]) for heard in receiver.heard} == {
            ("recommendation.changed", 1),
            ("course.referred", 3),
            ("recommendation.changed", 3),
        }


async def test_hanging_endpoints_make_no_other_endpoint_wait(notify: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    async with notify(delivery_timeout_s=600.0) as site:
        clinic = await site.clinic()
        for number in range(5):
            await clinic.endpoint(f"{receiver.url}/dead/{number}")
            receiver.always[f"/dead/{number}"] = "hang"
        await clinic.endpoint(f"{receiver.url}/alive")
        for number in range(100):
            await publish(clinic.tenant, made(1, course=f"c-{number}"))
        # Within less than the time limit: nothing that hangs has ended.
        await until(lambda: len(receiver.at("/alive")) == 100)
        assert all(len(receiver.at(f"/dead/{number}")) <= 64 for number in range(5))
        receiver.release.set()


@pytest.mark.law("nothing-lost")
async def test_everything_that_waits_for_a_dead_endpoint_arrives_once_it_lives(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify(retry_schedule_s=(0.0, *(0.5,) * 20)) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        receiver.always["/in"] = 503
        for number in range(60):
            await publish(clinic.tenant, made(1, course=f"c-{number}"))
        await until(lambda: len(receiver.heard) >= 12)
        receiver.always["/in"] = 204
        await until(lambda: _count(clinic, endpoint, "delivered", 60))
        heard = [heard.json["data"]["course"] for heard in receiver.heard]
        assert set(heard) == {f"c-{number}" for number in range(60)}


async def _count(clinic: Any, endpoint: Any, state: str, count: int) -> bool:
    return len(await clinic.deliveries(endpoint, state=state)) == count

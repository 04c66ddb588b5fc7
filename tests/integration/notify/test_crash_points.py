"""Laws nothing-lost and once at every numbered point of notify: each notice arrives, under one id and with one content, in order."""

import asyncio
import signal
from collections import defaultdict
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.auth import create_key
from shared.crash import EXIT, POINTS
from shared.settings import Settings
from tests.integration.forking import forks
from tests.seeds import chance

NOTIFY_POINTS = (6, 7, *range(18, 41))
TOLD = ("recommendation.changed", "recommendation.superseded", "course.referred")
REFERS = {"urgency": "stop_and_refer", "running": "withheld", "referral": {"to": "a physician", "within_h": 24}}


@pytest.mark.law("nothing-lost")
@pytest.mark.law("once")
@pytest.mark.timeout(600)
async def test_ended_at_any_point_every_notice_arrives_under_one_id_with_one_content_and_in_order(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, rows: Any, trial: Settings, engine: AsyncEngine
) -> None:
    receiver.always["/bad"] = 503
    async with notify() as site:
        clinic = await site.clinic()
        async with engine.begin() as conn:
            clinic.keys["admin"] = (await create_key(conn, clinic.tenant, "admin", "admin"))[1]
        policy = await clinic.ask("PUT", "/v1/notice-policy", "admin", json={"acknowledge_within_s": 1, "answer_within_s": 1})
        assert policy.status_code == 200, policy.text
        await clinic.endpoint(f"{receiver.url}/bad", role="clinician")
        good = (await clinic.endpoint(f"{receiver.url}/good", role="clinician"))["id"]
    quick = trial.model_copy(update={"notice_coalesce_s": 0.2, "retry_schedule_s": (0.0, 0.05, 0.05, 0.05)})
    points = list(NOTIFY_POINTS)
    chance("crash points of notify").shuffle(points)
    async with forks() as parent:
        for number in points:
            child = await parent.child("notify", quick, end=number)
            # The first is told, the second waits for its window, and what refers is said again until somebody takes it up.
            for seq in (1, 2):
                await publish(clinic.tenant, made(seq, course=f"c-{number}"))
            await publish(clinic.tenant, made(1, course=f"r-{number}", **REFERS))
            if number in (37, 38):
                await until(lambda number=number: heard_of(receiver, f"r-{number}"), within=120)
                child.send_signal(signal.SIGTERM)
            ended = await asyncio.wait_for(child.wait(), 120)
            assert ended == EXIT, f"point {number} was not passed: {POINTS[number]}"

    async def at_rest() -> bool:
        query = "SELECT count(*) FROM course_notices WHERE tenant = :tenant AND waiting IS NOT NULL"
        pending = (
            "SELECT count(*) FROM deliveries AS d JOIN notices AS n ON n.id = d.notice"
            " WHERE d.tenant = :tenant AND d.state = 'pending' AND n.outbox IS NOT NULL AND d.endpoint = :good"
        )
        told = {one.json["data"]["course"] for one in receiver.at("/good") if one.json["type"] in TOLD}
        waiting = (await rows(query, tenant=clinic.tenant))[0][0] + (await rows(pending, tenant=clinic.tenant, good=good))[0][0]
        return waiting == 0 and len(told) == 2 * len(NOTIFY_POINTS)

    async with notify(notice_coalesce_s=0.2, retry_schedule_s=quick.retry_schedule_s):
        await until(at_rest, within=180)
    await judge(receiver, rows, clinic.tenant, good)


def heard_of(receiver: Any, course: str) -> bool:
    return any(one.json["data"].get("course") == course for one in receiver.at("/good"))


async def judge(receiver: Any, rows: Any, tenant: str, good: str) -> None:
    contents: dict[str, set[bytes]] = defaultdict(set)
    courses: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for one in receiver.at("/good"):
        contents[one.id].add(one.body)
        data = one.json["data"]
        if one.json["type"] == "recommendation.changed" and (data["seq"], one.id) not in courses[data["course"]]:
            courses[data["course"]].append((data["seq"], one.id))
    assert all(len(same) == 1 for same in contents.values()), "one id came with two contents"
    for number in NOTIFY_POINTS:
        seqs = [seq for seq, _ in courses[f"c-{number}"]]
        assert seqs in ([1, 2], [2]), f"after point {number} the course was told {seqs}"
    query = (
        "SELECT n.type, n.course, d.state, d.because, d.endpoint, (SELECT array_agg(a.n ORDER BY a.n) FROM attempts AS a"
        " WHERE a.delivery = d.id) AS made FROM deliveries AS d JOIN notices AS n ON n.id = d.notice"
        " WHERE d.tenant = :tenant AND n.outbox IS NOT NULL"
    )
    for row in await rows(query, tenant=tenant):
        if row.endpoint == good:
            assert row.state == "delivered" or (row.state == "cancelled" and row.because.startswith("newer notice ")), row
        assert row.made is None or list(row.made) == list(range(1, len(row.made) + 1)), row

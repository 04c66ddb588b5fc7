"""What time itself brings goes from the timers of decision to the endpoints that may have it, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import PackLibrary
from services.decision.worker import Worker
from shared.placing import partition
from tests.integration.decision.feeding import Agreeing, event, send, settled, started

KINDS = ("report_due", "valid_until", "nothing_heard")
TYPES = {"report.due", "recommendation.expired", "course.stalled"}
INSERT = """
INSERT INTO timers (tenant, course, kind, athlete, partition, due)
SELECT :t, :c, kind, 'a', :p, :due FROM unnest(CAST(:k AS text[])) AS kind
ON CONFLICT (tenant, course, kind) DO UPDATE SET due = excluded.due
"""
RUN = {"session": "s1", "kind": "run_walk", "completed": True, "rpe": 3}


def told(receiver: Any, path: str) -> list[dict[str, Any]]:
    return [heard.json for heard in receiver.at(path) if heard.json["type"] in TYPES]


async def test_dates_that_pass_are_told_to_whom_they_concern_and_once(
    clinic: Any, receiver: Any, until: Any, engine: AsyncEngine, owner: AsyncEngine, bus: Any, settings: Any, rows: Any
) -> None:
    async with owner.begin() as conn:
        # Rows that are published by hand count from 1.
        await conn.execute(text("ALTER SEQUENCE outbox_outbox_seq RESTART 1000000"))
    for role in ("clinician", "coach", "athlete", "integrator"):
        await clinic.endpoint(f"{receiver.url}/{role}", role=role)
    worker = Worker(settings.model_copy(update={"lease_s": 2.0}), engine, bus, PackLibrary(ReferenceEngine()), Agreeing())
    working = asyncio.create_task(worker.run())
    try:
        events = [
            started("a", "c-1"),
            event("a", "run", "milepost.session.completed", 1, RUN),
            started("a", "c-2", protocol="udel-acl-run"),
        ]
        events[2]["data"] |= {"start_step": "L2", "injury": {"tissue": "ligament", "site": "knee", "side": "left"}}
        # At any time of day the morning after this run is still to come: no date of its own passes beside those set below.
        begun = datetime.now(UTC) - timedelta(hours=3)
        for hours, one in enumerate(events):
            one["time"] = (begun + timedelta(hours=hours)).isoformat()
        await send(bus, settings, clinic.tenant, events)
        await settled(engine, clinic.tenant, events)
        due = datetime.now(UTC) - timedelta(milliseconds=1)
        async with engine.begin() as conn:
            where = {"t": clinic.tenant, "p": partition(clinic.tenant, "a"), "due": due}
            await conn.execute(text(INSERT), {**where, "c": "c-1", "k": list(KINDS)})
            await conn.execute(text(INSERT), {**where, "c": "c-2", "k": ["report_due"]})
        await until(lambda: len(told(receiver, "/clinician")) >= 3 and len(told(receiver, "/athlete")) >= 3, within=60)
        # One that comes after everything: what was told until then is all that is told.
        last = [event("a", f"end-{one}", "milepost.course.ended", 0, {"course": one}) for one in ("c-1", "c-2")]
        await send(bus, settings, clinic.tenant, [one | {"time": due.isoformat()} for one in last])
        for role in ("clinician", "coach", "athlete", "integrator"):
            await until(lambda role=role: sum(one.json["type"] == "course.ended" for one in receiver.at(f"/{role}")) == 2)
    finally:
        working.cancel()
        await asyncio.wait([working])
    for role in ("clinician", "athlete", "integrator"):
        assert sorted(one["type"] for one in told(receiver, f"/{role}")) == sorted(TYPES), role
    (coach,) = told(receiver, "/coach")
    assert coach["type"] == "recommendation.expired" and coach["data"]["status"] == "expired"
    assert not {"step", "dose", "action", "to_step", "urgency", "summary"} & coach["data"].keys()
    athlete = {one["type"]: one["data"]["words"]["summary"] for one in told(receiver, "/athlete")}
    assert athlete["report.due"] == "Your report on the morning after your run has not come."
    expired = next(one["data"] for one in told(receiver, "/clinician") if one["type"] == "recommendation.expired")
    ((seq,),) = await rows("SELECT seq FROM decisions WHERE tenant = :t AND id = CAST(:id AS uuid)", t=clinic.tenant, id=expired["id"])
    assert seq == expired["seq"] and expired["valid_until"] > expired["as_of"][:10]


async def test_a_reminder_waits_for_quiet_hours_and_holds_nothing_up(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    now = datetime.now(UTC)
    quiet = {"begin": f"{now - timedelta(hours=1):%H:%M}", "until": f"{now + timedelta(hours=2):%H:%M}", "timezone": "UTC"}
    endpoint = await clinic.endpoint(f"{receiver.url}/in", role="clinician", quiet_hours=quiet)
    due = {"course": "c-1", "at": "2026-03-02T13:00:00Z", "report": "next_morning"}
    await publish(clinic.tenant, due, "report.due")
    await publish(clinic.tenant, made(1, urgency="stop_and_refer", running="withheld", referral={"to": "a physician", "within_h": 24}))
    await until(lambda: len(receiver.at("/in")) == 2)

    async def others_arrived() -> bool:
        kinds = ["report.due", "course.referred", "recommendation.changed"]
        return await clinic.states(endpoint) == list(zip(kinds, ["pending", "delivered", "delivered"], strict=True))

    await until(others_arrived)


@pytest.mark.law("no-unreleased-advance")
async def test_that_an_advance_nobody_released_has_run_out_is_not_told_to_a_coach(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    coach = await clinic.endpoint(f"{receiver.url}/coach", role="coach")
    await clinic.endpoint(f"{receiver.url}/clinic", role="clinician")
    body = made(1, action="advance", to_step="W2", valid_until="2026-03-08")
    await publish(clinic.tenant, body, "recommendation.expired", at="2026-03-08T23:00:00Z")
    await until(lambda: told(receiver, "/clinic"))
    ((kind, state),) = await clinic.states(coach)
    assert (kind, state) == ("recommendation.expired", "blocked")

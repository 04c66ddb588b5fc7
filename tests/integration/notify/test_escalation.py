"""What a person has to take up is said until a person does; what a source's terms forbid is blocked and says why."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify.consume import Consumer
from services.notify.deliver import utc_now
from services.notify.messages import DECISION, Message
from shared.answer_links import AnswerLink
from shared.auth import create_key
from tests.integration.notify.conftest import OUTBOX, TENANTS

REFERS = {"urgency": "stop_and_refer", "running": "withheld", "referral": {"to": "a physician", "within_h": 24}}
QUICK = {"acknowledge_within_s": 1, "answer_within_s": 1}


@pytest.fixture
async def site(notify: Any) -> AsyncIterator[Any]:
    """Attempts go on for as long as a change of the policy may take."""
    async with notify(retry_schedule_s=(0.0, *(0.2,) * 300)) as running:
        yield running


@pytest.fixture
async def quick(clinic: Any, engine: AsyncEngine) -> Any:
    """The clinic with an administrator and waits of a second."""
    async with engine.begin() as conn:
        clinic.keys["admin"] = (await create_key(conn, clinic.tenant, "admin", "admin"))[1]
    answer = await clinic.ask("PUT", "/v1/notice-policy", "admin", json=QUICK)
    assert answer.status_code == 200, answer.text
    return clinic


async def test_a_referral_that_nobody_takes_up_goes_to_a_second_endpoint_and_keeps_going_until_a_person_does(
    quick: Any, receiver: Any, publish: Any, until: Any, made: Any, rows: Any
) -> None:
    await quick.endpoint(f"{receiver.url}/first", role="clinician")
    # The second hears nothing but what was not taken up.
    await quick.endpoint(f"{receiver.url}/second", types=["endpoint.disabled"], escalates=True, role="clinician")
    await publish(quick.tenant, made(1, **REFERS))
    # What is said again waits for nothing, so the second time may arrive before the first.
    await until(lambda: {1, 2} <= {one.json["data"]["escalation"] for one in receiver.at("/second")})
    heard = [one.json for one in receiver.at("/second")]
    assert {one["type"] for one in heard} == {"course.referred"}
    assert heard[0]["data"]["referral"] == REFERS["referral"] and "within 24 h" in heard[0]["data"]["words"]["reasons"][0]
    first = next(one for one in receiver.at("/first") if one.json["type"] == "course.referred")
    path = f"/v1/notices/{first.id}/acknowledge"
    assert (await quick.ask("POST", path, "integrator")).status_code == 403
    taken = await quick.ask("POST", path, "clinician")
    assert taken.status_code == 200 and taken.json()["course"] == "c-1"
    assert (await quick.ask("POST", path, "clinician")).json() == taken.json()
    query = "SELECT due, closed_because FROM escalations WHERE tenant = :tenant AND kind = 'referral'"
    ((due, because),) = await rows(query, tenant=quick.tenant)
    assert due is None and because == f"acknowledged by {taken.json()['by']}"
    unknown = await quick.ask("POST", "/v1/notices/msg_none/acknowledge", "clinician")
    assert unknown.status_code == 404


async def test_a_recommendation_that_nobody_answers_is_said_again_and_an_answer_ends_it(
    quick: Any, receiver: Any, publish: Any, until: Any, made: Any, rows: Any
) -> None:
    await quick.endpoint(f"{receiver.url}/in", role="clinician")
    await publish(quick.tenant, made(1, action="advance", to_step="W2"))
    told = await until(lambda: [one.json["data"] for one in receiver.heard if one.json["data"].get("escalation") == 1])
    assert told[0]["id"] == "c-1-d1"
    assert {one.json["type"] for one in receiver.heard} == {"recommendation.changed", "recommendation.unanswered"}
    await publish(quick.tenant, made(2, action="advance", to_step="W2", answer={"state": "accepted"}))
    query = "SELECT closed_because FROM escalations WHERE tenant = :tenant AND due IS NULL"
    ((because,),) = await until(lambda: rows(query, tenant=quick.tenant))
    assert because == "answered by a clinician"


@pytest.fixture
async def consumer(engine: AsyncEngine, bus: Any, trial: Any) -> AsyncIterator[Consumer]:
    """Takes what it is given, with nothing else at work."""
    reader = Consumer(engine, bus, trial, utc_now, lambda _: None, lambda: None)
    yield reader
    await reader.close()


def messages(tenant: str, *bodies: dict[str, Any]) -> list[Message]:
    return [Message(next(OUTBOX), DECISION, tenant, "athlete-1", body["course"], body) for body in bodies]


@pytest.mark.parametrize(
    "later, because",
    [
        ({"to_step": "W1"}, "a newer decision does not ask for it"),
        ({"action": "advance", "to_step": "W2", "answer": {"state": "accepted"}}, "answered by a clinician"),
    ],
)
async def test_what_a_later_decision_of_the_same_batch_ends_is_kept_as_closed(
    consumer: Consumer, made: Any, rows: Any, later: dict[str, Any], because: str
) -> None:
    tenant = f"clinic-{next(TENANTS)}"
    await consumer.tell(messages(tenant, made(1, action="advance", to_step="W2"), made(2, **later)))
    (kept,) = await rows("SELECT due, closed_because FROM escalations WHERE tenant = :t AND kind = 'unanswered'", t=tenant)
    assert tuple(kept) == (None, because)


async def test_a_decision_that_is_read_again_ends_nothing_that_a_newer_one_asks_for(consumer: Consumer, made: Any, rows: Any) -> None:
    tenant = f"clinic-{next(TENANTS)}"
    old, new = messages(tenant, made(1), made(2, action="advance", to_step="W2"))
    await consumer.tell([old])
    await consumer.tell([new])
    await consumer.tell([old])
    (kept,) = await rows("SELECT due, closed_because FROM escalations WHERE tenant = :t", t=tenant)
    assert kept.due is not None and kept.closed_because is None


async def test_a_newer_decision_that_does_not_refer_ends_the_escalation(
    quick: Any, receiver: Any, publish: Any, until: Any, made: Any, rows: Any
) -> None:
    await quick.endpoint(f"{receiver.url}/in")
    await publish(quick.tenant, made(1, **REFERS))
    await publish(quick.tenant, made(2))
    query = "SELECT closed_because FROM escalations WHERE tenant = :tenant AND due IS NULL"
    ((because,),) = await until(lambda: rows(query, tenant=quick.tenant))
    assert because == "a newer decision does not ask for it"


async def test_only_an_administrator_changes_the_policy_and_each_version_is_kept(quick: Any, rows: Any) -> None:
    for role in ("integrator", "clinician", "coach"):
        assert (await quick.ask("PUT", "/v1/notice-policy", role, json={"coach_release": "direct"})).status_code == 403
    assert (await quick.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": "sometimes"})).status_code == 422
    await quick.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": "direct"})
    assert (await quick.ask("GET", "/v1/notice-policy")).json()["coach_release"] == "direct"
    kept = await rows("SELECT version, coach_release FROM notice_policies WHERE tenant = :t ORDER BY version", t=quick.tenant)
    assert [tuple(row) for row in kept] == [(1, "after_clinician"), (2, "direct")]


@pytest.mark.law("no-unreleased-advance")
async def test_the_policy_is_judged_again_before_each_attempt(quick: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    endpoint = await quick.endpoint(f"{receiver.url}/coach", role="coach", payload="full")
    await quick.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": "direct"})
    receiver.always["/coach"] = 500
    await publish(quick.tenant, made(1, action="advance", to_step="W2"))
    await until(lambda: receiver.heard)
    await quick.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": "after_clinician"})
    (kept,) = await until(lambda: quick.deliveries(endpoint, state="blocked"))
    assert kept["because"] == "not released: an advance waits for a clinician's answer"
    await quick.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": "status_only"})
    receiver.always["/coach"] = 204
    receiver.heard.clear()
    await publish(quick.tenant, made(2, action="advance", to_step="W3", from_step="W2"))
    await until(lambda: any(heard.json["data"]["seq"] == 2 for heard in receiver.heard))
    # What takes the first advance back may arrive beside it, from under the policy before.
    for heard in receiver.heard:
        withheld = {"action", "to_step", "dose"} | ({"step"} if heard.json["data"]["seq"] == 2 else set())
        assert heard.json["data"]["status"] == "awaiting_clinician" and not withheld & heard.json["data"].keys()


async def test_what_the_terms_of_a_source_forbid_is_blocked_with_the_reason(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any, engine: AsyncEngine
) -> None:
    async with engine.begin() as conn:
        insert = "INSERT INTO event_terms (tenant, source, id, athlete, terms) VALUES (:t, 'urn:watch', 'run-1', 'athlete-1', :terms)"
        await conn.execute(text(insert), {"t": clinic.tenant, "terms": ["no_coach", "no_third_party"]})
    coach = await clinic.endpoint(f"{receiver.url}/coach", role="coach")
    other = await clinic.endpoint(f"{receiver.url}/other", third_party=True)
    await clinic.endpoint(f"{receiver.url}/own")
    evidence = [{"rule": "r", "outcome": "hold", "text": "t", "grade": "primary", "evidence": [{"events": ["run-1", "run-2"]}]}]
    await publish(clinic.tenant, made(1, reasons=evidence))
    await until(lambda: receiver.at("/own"))
    for endpoint, term in ((coach, "no_coach"), (other, "no_third_party")):
        (kept,) = await clinic.deliveries(endpoint)
        assert (kept["state"], kept["because"], kept["attempts"]) == ("blocked", f"terms of a source: {term}", [])
    assert len(receiver.heard) == 1


async def test_answer_links_are_in_notices_only_where_a_clinician_vouched_for_the_endpoint(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any, settings: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in", role="clinician")
    path = f"/v1/endpoints/{endpoint['id']}/answering"
    await publish(clinic.tenant, made(1, action="advance", to_step="W2", as_at="2100-01-01T00:00:00Z"))
    (first,) = await until(lambda: receiver.heard)
    assert "answer_link" not in first.json["data"]
    assert (await clinic.ask("PUT", path, "integrator")).status_code == 403
    assert (await clinic.ask("PUT", path, "clinician")).json()["answers_by"] is not None
    receiver.answers["/in"] += [500]
    await publish(clinic.tenant, made(2, action="advance", to_step="W3", as_at="2100-01-01T00:00:00Z"))
    _, failed, again = await until(lambda: len(receiver.heard) == 3 and receiver.heard)
    assert failed.body == again.body
    link = AnswerLink.read(again.json["data"]["answer_link"].removeprefix("/answers/"), settings.secret_key_bytes, 0)
    assert (link.tenant, link.course, link.decision) == (clinic.tenant, "c-1", "c-1-d2")
    await publish(clinic.tenant, made(3))
    await until(lambda: len(receiver.heard) == 4)
    assert "answer_link" not in receiver.heard[-1].json["data"]
    changed = await clinic.ask("PATCH", f"/v1/endpoints/{endpoint['id']}", json={"url": f"{receiver.url}/elsewhere"})
    assert changed.json()["answers_by"] is None

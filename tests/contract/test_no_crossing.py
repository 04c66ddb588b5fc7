"""Law no-crossing over every route of every OpenAPI document, and the little that a coach may read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.ingest.formats.fit_write import write_run_walk
from tests.contract.conftest import ROLES, SOURCE, Clinic, Operation, until

RELEASED = ("/v1/courses/{course}/recommendation", "/v1/athletes/{athlete}/recommendation")


def body_for(operation: Operation, owner: Clinic) -> dict[str, Any]:
    """A body that would do, were the operation permitted."""
    if operation.path.endswith("/answers"):
        return {"json": {"decision": owner.decision["id"], "answer": "accepted"}}
    if operation.path.endswith("/migration"):
        return {"json": {"protocol": "mil-knee-overuse", "step": "P1", "reason": "theirs"}}
    if operation.path.endswith("/erasure"):
        return {"json": {"reason": "ordered"}}
    if operation.path.endswith("/recover"):
        return {"json": {"since": "2025-01-01T00:00:00Z"}}
    return {"json": {}} if operation.method in ("POST", "PATCH", "PUT") else {}


def names_what_is_owned(operation: Operation) -> bool:
    return "{" in operation.path and not operation.path.startswith("/v1/protocols") and operation.service != "ingest"


@pytest.mark.law("no-crossing")
async def test_what_another_tenant_owns_does_not_exist_on_any_route(operations: list[Operation], north: Clinic, south: Clinic) -> None:
    for operation in filter(names_what_is_owned, operations):
        answers = [await south.ask(operation.method, operation.url(north.names), role, **body_for(operation, north)) for role in ROLES]
        statuses = {answer.status_code for answer in answers}
        assert statuses <= {403, 404} and 404 in statuses, f"{operation}: {statuses}"
        for answer in answers:
            assert answer.headers["content-type"] == "application/problem+json"
            assert "north" not in answer.text and north.decision["id"] not in answer.text, operation


@pytest.mark.law("no-crossing")
async def test_no_answer_names_anything_of_another_tenant(operations: list[Operation], north: Clinic, south: Clinic) -> None:
    read = 0
    for operation in operations:
        if operation.method != "GET" or operation.path.startswith("/v1/protocols") or not operation.ends:
            continue
        for role in ROLES:
            answer = await south.ask("GET", operation.url(south.names), role)
            read += answer.status_code == 200
            assert answer.status_code in (200, 403), f"{operation} {role}: {answer.text}"
            for secret in ("north", north.decision["id"], north.endpoint, north.delivery):
                assert secret not in answer.text, f"{operation} {role}"
    assert read > 20


@pytest.mark.law("no-crossing")
async def test_the_same_names_in_two_tenants_are_two_athletes_two_courses_and_two_events(north: Clinic, south: Clinic) -> None:
    base = north.stack.decision_url
    before = (await north.ask("GET", f"{base}/v1/courses/north-course")).json()
    injury = {"tissue": "tendon", "site": "achilles", "side": "right"}
    data = {"course": "north-course", "protocol": "mil-knee-overuse", "injury": injury, "timezone": "UTC"}
    same = north.event("start", "course.started", "2025-04-01T07:00:00Z", data)
    assert (await south.send(same)).json()["accepted"] == 1
    begin = datetime.now(UTC) - timedelta(days=1)
    file = write_run_walk(begin.replace(microsecond=0), [(60, 60)] * 3)
    answer = await south.ask("POST", f"{south.stack.ingest_url}/v1/athletes/north-athlete/files", content=file, headers=FIT)
    assert answer.status_code == 202, answer.text
    theirs = await until(lambda: south.became("north-start"))
    assert (theirs["status"], theirs["event"]["data"]["protocol"]) == ("accepted", "mil-knee-overuse")
    (course,) = (await south.ask("GET", f"{base}/v1/athletes/north-athlete/courses")).json()["items"]
    assert course["protocol"].startswith("mil-knee-overuse")
    ours = await north.became("north-start")
    assert ours is not None and ours["event"]["data"]["protocol"] == "progressive-return" and ours["conflicts"] == []
    after = (await north.ask("GET", f"{base}/v1/courses/north-course")).json()
    # Time itself may have decided meanwhile; what the course is made of stays.
    assert {name: after[name] for name in ("subject", "protocol", "state")} == {
        name: before[name] for name in ("subject", "protocol", "state")
    }


FIT = {"Content-Type": "application/vnd.ant.fit"}


@pytest.mark.law("no-crossing")
async def test_a_page_of_one_tenant_opens_no_list_of_another(north: Clinic, south: Clinic) -> None:
    url = f"{north.stack.decision_url}/v1/courses/north-course/decisions?limit=1"
    cursor = (await north.ask("GET", url)).json()["next"]
    assert cursor
    stolen = await south.ask("GET", f"{south.stack.decision_url}/v1/courses/south-course/decisions", params={"cursor": cursor})
    assert stolen.status_code == 400 and "north" not in stolen.text


async def test_a_coachs_key_reads_released_recommendations_and_nothing_else(operations: list[Operation], north: Clinic) -> None:
    for operation in (one for one in operations if one.ends):
        answer = await north.ask(operation.method, operation.url(north.names), "coach", **body_for(operation, north))
        if operation.path in RELEASED and operation.method == "GET":
            assert answer.status_code == 200, answer.text
            parts = [answer.json(), *answer.json().get("courses", [])]
            assert all(part.get("status") in ("released", "awaiting_clinician") for part in parts)
            assert not any(part.keys() & {"reasons", "blocking", "missing", "urgency", "referral", "action"} for part in parts)
        else:
            assert answer.status_code == 403, f"{operation}: {answer.status_code} {answer.text}"


async def test_no_route_answers_without_a_key(operations: list[Operation], north: Clinic) -> None:
    for operation in operations:
        for headers in ({}, {"Authorization": "Bearer mp_live_nobody"}, {"Authorization": "Basic bm9ib2R5"}):
            answer = await north.client.request(operation.method, operation.url(north.names), headers=headers, **body_for(operation, north))
            assert answer.status_code == 401, f"{operation}: {answer.text}"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert SOURCE not in answer.text

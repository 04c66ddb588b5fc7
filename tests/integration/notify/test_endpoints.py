"""Endpoints: who may, what is refused, what is shown, and what a resend does."""

import base64
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from services.notify.sign import new_secret

ROUTES = [
    ("GET", "/v1/endpoints", None),
    ("POST", "/v1/endpoints", {"url": "http://127.0.0.1:1/"}),
    ("GET", "/v1/endpoints/{endpoint}", None),
    ("DELETE", "/v1/endpoints/{endpoint}", None),
    ("POST", "/v1/endpoints/{endpoint}/test", None),
    ("GET", "/v1/endpoints/{endpoint}/deliveries", None),
    ("POST", "/v1/deliveries/{delivery}/resend", None),
]


@pytest.fixture
async def tested(clinic: Any, receiver: Any, until: Any) -> Any:
    """An endpoint with one delivered test notice."""
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    answer = await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")
    assert answer.status_code == 202
    await until(lambda: clinic.deliveries(endpoint, state="delivered"))
    return endpoint, answer.json()


async def test_the_secret_is_shown_once_and_kept_sealed(clinic: Any, receiver: Any, rows: Any) -> None:
    created = await clinic.endpoint(f"{receiver.url}/in", description="The clinic's record")
    shown = (await clinic.ask("GET", f"/v1/endpoints/{created['id']}")).json()
    assert {**shown, "secret": created["secret"]} == created
    assert (await clinic.ask("GET", "/v1/endpoints")).json() == {"items": [shown]}
    ((sealed,),) = await rows("SELECT secret FROM endpoints WHERE id = :id", id=created["id"])
    assert created["secret"].encode() not in sealed and base64.b64decode(created["secret"][6:]) not in sealed


async def test_a_secret_of_ones_own_is_used(clinic: Any, receiver: Any, until: Any) -> None:
    secret = new_secret()
    endpoint = await clinic.endpoint(f"{receiver.url}/in", secret=secret)
    assert endpoint["secret"] == secret
    await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")
    (heard,) = await until(lambda: receiver.heard)
    Webhook(secret).verify(heard.body, heard.headers)


async def test_a_test_notice_is_sent_like_any_other_whatever_types_were_chosen(clinic: Any, receiver: Any, until: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in", types=["course.ended"])
    asked = (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")).json()
    (heard,) = await until(lambda: receiver.heard)
    assert (heard.id, heard.json["type"]) == (asked["notice"], "test")
    (kept,) = await until(lambda: clinic.deliveries(endpoint, state="delivered"))
    assert kept["id"] == asked["delivery"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"url": "http://hooks.example.org/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://user:word@hooks.example.org/"}, "url"),
        ({"url": "https://hooks.example.org:22/"}, "url"),
        ({"url": ""}, "url"),
        ({}, "url"),
        ({"url": "https://hooks.example.org/", "secret": "whsec_short"}, "secret"),
        ({"url": "https://hooks.example.org/", "secret": 7}, "secret"),
        ({"url": "https://hooks.example.org/", "types": []}, "types"),
        ({"url": "https://hooks.example.org/", "types": ["recommendation.guessed"]}, "types"),
        ({"url": "https://hooks.example.org/", "role": "coach", "types": ["course.referred"]}, "types"),
        ({"url": "https://hooks.example.org/", "role": "admin"}, "role"),
        ({"url": "https://hooks.example.org/", "payload": "fat"}, "payload"),
        ({"url": "https://hooks.example.org/", "description": "x" * 201}, "description"),
        ({"url": "https://hooks.example.org/", "description": "a\u0000b"}, "description"),
        ({"url": "https://hooks.example.org/", "colour": "red"}, "colour"),
    ],
)
async def test_a_faulty_endpoint_is_refused_with_the_path_of_the_fault(clinic: Any, body: dict[str, Any], path: str) -> None:
    answer = await clinic.ask("POST", "/v1/endpoints", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(path in fault["path"] for fault in answer.json()["faults"])


async def test_a_body_without_end_is_refused(clinic: Any) -> None:
    answer = await clinic.ask("POST", "/v1/endpoints", content=b"x" * 70_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_no_route_answers_without_a_key_or_to_a_coach(clinic: Any, tested: Any, method: str, path: str, body: Any) -> None:
    endpoint, asked = tested
    target = path.format(endpoint=endpoint["id"], delivery=asked["delivery"])
    assert (await clinic.client.request(method, target, json=body)).status_code == 401
    for role in ("coach", "clinician"):
        answer = await clinic.ask(method, target, role, json=body)
        assert answer.status_code == 403, answer.text
    if method != "GET":
        assert (await clinic.ask(method, target, "auditor", json=body)).status_code == 403


@pytest.mark.law("no-crossing")
@pytest.mark.parametrize(("method", "path", "body"), ROUTES[2:])
async def test_another_tenants_endpoint_does_not_exist(site: Any, clinic: Any, tested: Any, method: str, path: str, body: Any) -> None:
    endpoint, asked = tested
    other = await site.clinic()
    target = path.format(endpoint=endpoint["id"], delivery=asked["delivery"])
    answer = await other.ask(method, target, json=body)
    assert answer.status_code == 404
    assert endpoint["id"] not in answer.text
    assert (await other.ask("GET", "/v1/endpoints")).json() == {"items": []}
    assert (await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}")).status_code == 200


@pytest.mark.parametrize("strange", ["ep_none", "%00", "%F0%9F%8F%83", "x" * 300, "..%2F..", "'"])
async def test_an_id_that_cannot_be_is_not_found(clinic: Any, strange: str) -> None:
    assert (await clinic.ask("GET", f"/v1/endpoints/{strange}")).status_code == 404
    assert (await clinic.ask("POST", f"/v1/deliveries/{strange}/resend")).status_code == 404


async def test_deliveries_are_paged_newest_first_without_gap_or_repeat(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    for number in range(7):
        await publish(clinic.tenant, made(1, course=f"c-{number}"))
    await until(lambda: len(receiver.heard) == 7)
    whole, paged, cursor = await clinic.deliveries(endpoint), list[Any](), None
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}/deliveries", params=query)).json()
        paged += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert [one["id"] for one in paged] == [one["id"] for one in whole]
    assert len({one["id"] for one in paged}) == 7


@pytest.mark.parametrize(
    "cursor", ["x", "é", "bnVsbA", "W10", "WzEsMl0", base64.urlsafe_b64encode(orjson.dumps(["2026-01-01", "dlv_1"])).decode()]
)
async def test_a_cursor_of_no_list_is_refused(clinic: Any, tested: Any, cursor: str) -> None:
    answer = await clinic.ask("GET", f"/v1/endpoints/{tested[0]['id']}/deliveries", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:milepost:problem:invalid-cursor")


async def test_a_resend_sends_the_same_bytes_under_the_same_id_and_goes_on_counting(
    clinic: Any, receiver: Any, tested: Any, until: Any
) -> None:
    endpoint, asked = tested
    answer = await clinic.ask("POST", f"/v1/deliveries/{asked['delivery']}/resend")
    assert (answer.status_code, answer.json()) == (202, asked)
    first, second = await until(lambda: len(receiver.heard) == 2 and receiver.heard)
    assert (first.id, first.body) == (second.id, second.body)
    (kept,) = await until(lambda: clinic.deliveries(endpoint, state="delivered"))
    assert [attempt["n"] for attempt in kept["attempts"]] == [1, 2]


async def test_advice_that_was_replaced_is_not_sent_again(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    await publish(clinic.tenant, made(1))
    await until(lambda: len(receiver.heard) == 1)
    await publish(clinic.tenant, made(2))
    await until(lambda: len(receiver.heard) == 2)
    newer, older = await clinic.deliveries(endpoint)
    answer = await clinic.ask("POST", f"/v1/deliveries/{older['id']}/resend")
    assert answer.status_code == 409 and newer["notice"] in answer.json()["detail"]
    assert (await clinic.ask("POST", f"/v1/deliveries/{newer['id']}/resend")).status_code == 202


async def test_a_deleted_endpoint_is_gone_and_gets_nothing_more(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any, rows: Any
) -> None:
    async with notify(retry_schedule_s=(0.0, 60.0)) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        receiver.always["/in"] = 500
        await publish(clinic.tenant, made(1))
        await until(lambda: clinic.deliveries(endpoint, state="pending"))
        assert (await clinic.ask("DELETE", f"/v1/endpoints/{endpoint['id']}")).status_code == 204
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")):
            assert (await clinic.ask(method, f"/v1/endpoints/{endpoint['id']}{path}")).status_code == 404
        ((state, because),) = await rows("SELECT state, because FROM deliveries WHERE endpoint = :id", id=endpoint["id"])
        assert (state, because) == ("cancelled", "endpoint deleted")
        ((sealed,),) = await rows("SELECT secret FROM endpoints WHERE id = :id", id=endpoint["id"])
        assert sealed == b""


async def test_a_disabled_endpoint_is_neither_tested_nor_sent_anything_again(clinic: Any, receiver: Any, until: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    receiver.always["/in"] = 410
    asked = (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")).json()
    await until(lambda: clinic.deliveries(endpoint, state="exhausted"))
    for path in (f"/v1/endpoints/{endpoint['id']}/test", f"/v1/deliveries/{asked['delivery']}/resend"):
        answer = await clinic.ask("POST", path)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:milepost:problem:endpoint-disabled")


async def test_readiness_health_metrics_and_the_document_are_there(site: Any, until: Any) -> None:
    async def ready() -> Any:
        answer = await site.client.get("/readyz")
        return answer.status_code == 200 and answer.json()

    assert (await until(ready))["checks"] == {"database": "ok", "bus": "ok", "tasks": "ok"}
    metrics = (await site.client.get("/metrics")).text
    for name in ("attempts_total", "pending", "oldest_undelivered_seconds", "deliveries_total", "notices_total"):
        assert f"milepost_notify_{name}" in metrics
    document = (await site.client.get("/openapi.json")).json()
    assert {"/v1/endpoints", "/v1/endpoints/{endpoint}/deliveries", "/v1/deliveries/{delivery}/resend"} <= document["paths"].keys()

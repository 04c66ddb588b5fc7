"""What leaves for a receiver, as the receiver and the record see it."""

import base64
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

pytestmark = pytest.mark.law("nothing-lost")


def _bytes(shown: dict[str, str]) -> bytes:
    return shown["content"].encode() if shown["encoding"] == "utf-8" else base64.b64decode(shown["content"])


async def test_a_changed_recommendation_arrives_signed_and_is_kept_byte_for_byte(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in?key=7")
    await publish(clinic.tenant, made(1))
    (heard,) = await until(lambda: receiver.heard)
    assert Webhook(endpoint["secret"]).verify(heard.body, heard.headers)["type"] == "recommendation.changed"
    assert heard.json["timestamp"] == "2026-03-01T11:00:01Z"
    assert heard.json["data"]["fetch"] == "/v1/courses/c-1/recommendation"
    (kept,) = await until(lambda: _delivered(clinic, endpoint))
    (attempt,) = kept["attempts"]
    assert _bytes(attempt["request_body"]) == heard.body
    assert {name: heard.headers[name] for name in attempt["request_headers"]} == attempt["request_headers"]
    assert set(attempt["request_headers"]) == set(heard.headers)
    assert (kept["notice"], attempt["status"], attempt["error"]) == (heard.id, 204, None)


async def _delivered(clinic: Any, endpoint: Any) -> list[Any]:
    return [one for one in await clinic.deliveries(endpoint) if one["state"] == "delivered"]


async def test_a_failed_delivery_is_tried_again_with_the_same_id_and_bytes(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in", payload="full")
    receiver.answers["/in"] += [500, lambda heard: web.Response(status=429, body=b"\xff slow down" * 1000)]
    await publish(clinic.tenant, made(1))
    await until(lambda: len(receiver.heard) == 3)
    assert len({(heard.id, heard.body) for heard in receiver.heard}) == 1
    for heard in receiver.heard:
        Webhook(endpoint["secret"]).verify(heard.body, heard.headers)
    (kept,) = await until(lambda: _delivered(clinic, endpoint))
    assert [(attempt["n"], attempt["status"], attempt["error"]) for attempt in kept["attempts"]] == [
        (1, 500, "answered 500"),
        (2, 429, "answered 429"),
        (3, 204, None),
    ]
    assert _bytes(kept["attempts"][1]["response_body"]) == (b"\xff slow down" * 1000)[:2048]


async def test_a_redirect_is_a_failure_and_is_not_followed(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/old")
    receiver.answers["/old"] += [lambda heard: web.Response(status=307, headers={"Location": "/new"})]
    await publish(clinic.tenant, made(1))
    await until(lambda: len(receiver.at("/old")) == 2)
    assert receiver.at("/new") == []
    (kept,) = await until(lambda: _delivered(clinic, endpoint))
    assert kept["attempts"][0]["error"].startswith("answered 307; redirects are not followed")


async def test_after_the_last_attempt_a_delivery_is_exhausted_and_says_why(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    receiver.always["/in"] = 404
    await publish(clinic.tenant, made(1))
    (kept,) = await until(lambda: clinic.deliveries(endpoint, state="exhausted"))
    assert len(kept["attempts"]) == len(receiver.heard) == 4
    assert kept["because"] == "4 attempts, the last: answered 404"
    assert kept["next_at"] is None and kept["done_at"] is not None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://unknown.localhost:9/"])
async def test_a_receiver_that_is_not_there_is_a_failed_attempt_like_any_other(
    url: str, notify: Any, publish: Any, until: Any, made: Any
) -> None:
    # A resolver that does not answer costs each attempt its time limit.
    async with notify(delivery_timeout_s=5.0) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(url)
        await publish(clinic.tenant, made(1))
        (kept,) = await until(lambda: clinic.deliveries(endpoint, state="exhausted"))
        assert all(attempt["status"] is None and attempt["error"] for attempt in kept["attempts"])


async def test_a_receiver_that_hangs_is_given_up_after_the_time_limit(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify(delivery_timeout_s=0.2, retry_schedule_s=(0.0, *(0.1,) * 300)) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        receiver.answers["/in"] += ["hang"]
        await publish(clinic.tenant, made(1))
        (kept,) = await until(lambda: _delivered(clinic, endpoint))
        # A machine that stands still is given up as well.
        *given_up, last = [attempt["error"] for attempt in kept["attempts"]]
        assert given_up and set(given_up) == {"no answer within 0.2 s"} and last is None


async def test_a_receiver_that_asks_for_time_gets_it_within_bounds(notify: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    async with notify(retry_schedule_s=(0.0, 0.4, 0.4)) as site:
        clinic = await site.clinic()
        await clinic.endpoint(f"{receiver.url}/in")
        receiver.answers["/in"] += [lambda heard: web.Response(status=503, headers={"Retry-After": "1000"})]
        await publish(clinic.tenant, made(1))
        first, second = await until(lambda: len(receiver.heard) == 2 and receiver.heard)
        assert 0.75 <= second.at - first.at < 60, "the 1,000 s that it asked for are more than it gets"


async def test_gone_disables_the_endpoint_ends_what_waits_and_tells_the_others(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    gone, other = await clinic.endpoint(f"{receiver.url}/gone"), await clinic.endpoint(f"{receiver.url}/other")
    receiver.always["/gone"] = 410
    await publish(clinic.tenant, made(1))
    told = await until(lambda: [heard for heard in receiver.at("/other") if heard.json["type"] == "endpoint.disabled"])
    assert told[0].json["data"]["endpoint"] == gone["id"]
    shown = (await clinic.ask("GET", f"/v1/endpoints/{gone['id']}")).json()
    assert shown["disabled_because"] == "answered 410 Gone"
    await publish(clinic.tenant, made(2))
    await until(lambda: len(receiver.at("/other")) == 3)
    assert await clinic.states(gone) == [("recommendation.changed", "exhausted")]
    assert other["disabled_at"] is None


async def test_nobody_subscribed_is_recorded_too(clinic: Any, publish: Any, until: Any, made: Any, rows: Any) -> None:
    outbox = await publish(clinic.tenant, made(1))
    query = "SELECT n.id, (SELECT count(*) FROM deliveries d WHERE d.notice = n.id) FROM notices n WHERE n.outbox = :outbox"
    ((notice, deliveries),) = await until(lambda: rows(query, outbox=outbox))
    assert notice.startswith("msg_") and deliveries == 0


async def test_an_endpoint_gets_only_the_types_it_chose(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    await clinic.endpoint(f"{receiver.url}/referrals", types=["course.referred"])
    await clinic.endpoint(f"{receiver.url}/all")
    await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.started")
    await publish(clinic.tenant, made(1, urgency="stop_and_refer", referral={"to": "physician", "within_h": 24}))
    refused = {"source": "app", "id": "e1", "type": "milepost.session.completed", "path": "data.step", "reason": "unknown step"}
    await publish(clinic.tenant, refused, kind="event.refused")
    await publish(clinic.tenant, {"course": "c-1", "protocol": "p@1"}, kind="course.ended")
    await until(lambda: len(receiver.at("/all")) == 5)
    assert {heard.json["type"] for heard in receiver.at("/all")} == {
        "course.started",
        "recommendation.changed",
        "course.referred",
        "event.refused",
        "course.ended",
    }
    assert [heard.json["data"]["referral"] for heard in receiver.at("/referrals")] == [{"to": "physician", "within_h": 24}]


@pytest.mark.law("no-crossing")
async def test_nothing_of_one_tenant_reaches_another(site: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    one, other = await site.clinic(), await site.clinic()
    await one.endpoint(f"{receiver.url}/one")
    await other.endpoint(f"{receiver.url}/other")
    # The same athlete and course names at both.
    for seq in (1, 2):
        await publish(one.tenant, made(seq, summary="one"))
        await publish(other.tenant, made(seq, summary="other"))
    await until(lambda: [heard.json["data"]["seq"] for heard in receiver.heard].count(2) == 2)
    for path in ("one", "other"):
        assert {heard.json["data"]["summary"] for heard in receiver.at(f"/{path}")} == {path}


async def test_a_coach_is_sent_an_advance_only_once_it_was_accepted(
    clinic: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    await clinic.endpoint(f"{receiver.url}/coach", role="coach", payload="full")
    await clinic.endpoint(f"{receiver.url}/clinician", role="clinician", payload="full")
    await publish(clinic.tenant, made(1))
    # What is newer would take the place of what has not left yet.
    await until(lambda: receiver.at("/clinician") and receiver.at("/coach"))
    await publish(clinic.tenant, made(2, action="advance", summary="Night pain gone.", reasons=[{"text": "night pain"}]))
    await until(lambda: len(receiver.at("/clinician")) == 2)
    await publish(clinic.tenant, made(3, to_step="W2", action="advance", answer={"state": "accepted"}, reasons=[{"text": "night pain"}]))
    await until(lambda: len(receiver.at("/coach")) == 2)
    assert [heard.json["data"]["seq"] for heard in receiver.at("/coach")] == [1, 3]
    assert [heard.json["data"]["seq"] for heard in receiver.at("/clinician")] == [1, 2]
    assert not any(b"pain gone" in heard.body or b"night" in heard.body for heard in receiver.at("/coach"))


@pytest.mark.law("once")
async def test_a_message_that_comes_twice_is_told_once(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    await clinic.endpoint(f"{receiver.url}/in")
    started = {"course": "c-1", "protocol": "p@1"}
    first = await publish(clinic.tenant, started, kind="course.started")
    second = await publish(clinic.tenant, made(1))
    await until(lambda: len(receiver.heard) == 2)
    await publish(clinic.tenant, started, kind="course.started", outbox=first)
    await publish(clinic.tenant, made(1), outbox=second)
    await publish(clinic.tenant, made(2))
    await until(lambda: receiver.heard and receiver.heard[-1].json["data"].get("seq") == 2)
    assert [heard.json["type"] for heard in receiver.heard] == ["course.started", "recommendation.changed", "recommendation.changed"]


async def test_a_message_nobody_can_read_holds_nobody_up(clinic: Any, receiver: Any, publish: Any, until: Any, made: Any) -> None:
    await clinic.endpoint(f"{receiver.url}/in")
    await publish(clinic.tenant, {"course": "c-1"}, kind="unheard.of")
    await publish(clinic.tenant, {"course": "c-1", "seq": 1})
    await publish(clinic.tenant, made(1))
    await until(lambda: receiver.heard)

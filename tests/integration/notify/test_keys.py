"""Secrets change without a gap, and nothing personal goes to an endpoint that nobody proved to be its owner's."""

from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from services.notify.sign import new_secret, read_public_key, verify


async def _tested(clinic: Any, receiver: Any, until: Any, endpoint: Any) -> Any:
    before = len(receiver.heard)
    answer = await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")
    assert answer.status_code == 202, answer.text
    await until(lambda: len(receiver.heard) > before)
    return receiver.heard[-1]


async def test_during_the_overlap_both_secrets_verify_and_after_it_the_new_one_alone(clinic: Any, receiver: Any, until: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    rotated = (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/rotate", json={"overlap_s": 3600})).json()
    assert rotated["secret"] != endpoint["secret"] and rotated["retired_until"] is not None
    heard = await _tested(clinic, receiver, until, endpoint)
    for secret in (endpoint["secret"], rotated["secret"]):
        Webhook(secret).verify(heard.body, heard.headers)
    own = new_secret()
    last = (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/rotate", json={"overlap_s": 0, "secret": own})).json()
    assert (last["secret"], last["retired_until"]) == (own, None)
    heard = await _tested(clinic, receiver, until, endpoint)
    Webhook(own).verify(heard.body, heard.headers)
    for secret in (endpoint["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(heard.body, heard.headers)
    shown = (await clinic.ask("GET", f"/v1/endpoints/{endpoint['id']}")).json()
    assert "secret" not in shown


async def test_an_endpoint_that_signs_asymmetrically_shares_no_secret(clinic: Any, receiver: Any, until: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in", signatures=["v1a"])
    assert endpoint["secret"] is None and endpoint["public_key"].startswith("whpk_")
    heard = await _tested(clinic, receiver, until, endpoint)
    verify(read_public_key(endpoint["public_key"]), heard.headers, heard.body, int(heard.headers["webhook-timestamp"]))
    # To both schemes without a gap: the old key signs beside the new ones.
    rotated = (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/rotate", json={"signatures": ["v1", "v1a"]})).json()
    heard = await _tested(clinic, receiver, until, endpoint)
    Webhook(rotated["secret"]).verify(heard.body, heard.headers)
    for key in (endpoint["public_key"], rotated["public_key"]):
        verify(read_public_key(key), heard.headers, heard.body, int(heard.headers["webhook-timestamp"]))


async def test_an_own_secret_that_is_none_or_not_wanted_is_refused(clinic: Any, receiver: Any) -> None:
    endpoint = await clinic.endpoint(f"{receiver.url}/in")
    refused: list[dict[str, Any]] = [{"secret": "whsec_short"}, {"secret": new_secret(), "signatures": ["v1a"]}, {"overlap_s": -1}]
    for asked in (*refused, {"signatures": []}):
        answer = await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/rotate", json=asked)
        assert answer.status_code == 422, asked


async def test_nothing_personal_leaves_before_the_endpoint_is_proved_to_be_its_owners(
    notify: Any, receiver: Any, publish: Any, until: Any, made: Any
) -> None:
    async with notify(prove_loopback_webhooks=True) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        other = await clinic.endpoint(f"{receiver.url}/other")
        assert endpoint["verified_at"] is None
        await publish(clinic.tenant, made(1))
        await until(lambda: clinic.deliveries(endpoint, state="pending"))
        refused = await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/test")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:milepost:problem:endpoint-unverified")
        # A receiver that says yes to everything proves nothing.
        silent = (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/verify")).json()
        assert (silent["verified"], silent["error"]) == (False, "the answer does not hold the challenge")
        asked: Any = receiver.heard[0]
        assert len(receiver.heard) == 1
        assert asked.json["type"] == "endpoint.verification" and "athlete" not in asked.body.decode()
        Webhook(endpoint["secret"]).verify(asked.body, asked.headers)
        receiver.answers["/in"] += [lambda heard: web.json_response({"challenge": heard.json["data"]["challenge"]})]
        assert (await clinic.ask("POST", f"/v1/endpoints/{endpoint['id']}/verify")).json()["verified"] is True
        await until(lambda: receiver.at("/in")[-1].json["type"] == "recommendation.changed")
        assert receiver.at("/other") == [] and other["verified_at"] is None


async def test_a_challenge_that_was_read_off_the_receiver_proves_it_too_and_is_shown_nowhere_else(
    notify: Any, receiver: Any, until: Any
) -> None:
    async with notify(prove_loopback_webhooks=True) as site:
        clinic = await site.clinic()
        endpoint = await clinic.endpoint(f"{receiver.url}/in")
        path = f"/v1/endpoints/{endpoint['id']}"
        await clinic.ask("POST", f"{path}/verify")
        challenge = receiver.heard[0].json["data"]["challenge"]
        assert challenge not in (await clinic.ask("GET", f"{path}/deliveries")).text
        assert (await clinic.ask("POST", f"{path}/verify", json={"challenge": "guessed"})).status_code == 422
        assert (await clinic.ask("POST", f"{path}/verify", json={"challenge": challenge})).json()["verified"] is True
        # Another URL is another owner, and its challenge another one.
        moved = (await clinic.ask("PATCH", path, json={"url": f"{receiver.url}/moved"})).json()
        assert moved["verified_at"] is None
        assert (await clinic.ask("POST", f"{path}/verify", json={"challenge": challenge})).status_code == 422

"""Answers by link: whoever merely opens it answers nothing; the form answers once, in the clinician's name; overrides are counted."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import time
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.arrivals import stamp
from shared.answer_links import AnswerLink, signed
from shared.auth import create_key, revoke_key
from shared.bus import Bus
from shared.settings import Settings
from tests.integration.decision.feeding import Run, send, settled, started, until


@dataclass
class Asked:
    """A course with a recommendation, and the link that a clinician was sent about it."""

    client: httpx.AsyncClient
    tenant: str
    key: str
    link: AnswerLink
    secret: bytes
    decision: dict[str, Any]

    def url(self, **changes: Any) -> str:
        return f"/answers/{signed(replace(self.link, **changes), self.secret)}"

    async def read(self, path: str) -> Any:
        return (await self.client.get(path, headers={"Authorization": f"Bearer {self.key}"})).json()

    async def answers(self) -> list[dict[str, Any]]:
        items = (await self.read("/v1/courses/knee/timeline"))["items"]
        return [item["event"] for item in items if item["item"] == "answer"]


@pytest.fixture
async def asked(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings, tenant: str) -> AsyncIterator[Asked]:
    app = create_app(settings)
    # Begun just now, and time silent: of what is older it would soon say something new, and of this at midnight.
    begun = [started("a", "knee", protocol="progressive-return", start_step="W3") | {"time": stamp(datetime.now(UTC))}]
    async with run(time_speaks=False), app.router.lifespan_context(app):
        await send(bus, settings, tenant, begun)
        await settled(engine, tenant, begun)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://decision") as client:
            async with engine.begin() as conn:
                record, key = await create_key(conn, tenant, "clinician", "Dr. A")
            found = Asked(client, tenant, key, AnswerLink(tenant, "knee", "", record.id, "msg_1", 0), settings.secret_key_bytes, {})
            found.decision = await found.read("/v1/courses/knee/recommendation")
            found.link = replace(found.link, decision=found.decision["id"], until=int(time()) + 600)
            yield found


async def test_opening_a_link_or_sending_it_altered_or_half_filled_answers_nothing_and_uses_nothing_up(asked: Asked) -> None:
    good = asked.url()
    for _ in range(3):
        page = await asked.client.get(good)
        assert page.status_code == 200 and '<form method="post">' in page.text and asked.decision["from_step"] in page.text
        assert page.headers["cache-control"] == "no-store" and "default-src 'none'" in page.headers["content-security-policy"]
    assert (await asked.client.head(good)).status_code == 405
    for url, status in (
        (good[:-2], 404),
        (good.replace("/answers/", "/answers/x"), 404),
        ("/answers/x", 404),
        ("/answers/%F0%9F%8F%83.%00", 404),
        (f"/answers/{signed(asked.link, b'another key' * 3)}", 404),
        (asked.url(until=int(time()) - 1), 410),
        (asked.url(tenant="another"), 403),
        (asked.url(course="another"), 404),
    ):
        assert (await asked.client.get(url)).status_code == status, url
        assert (await asked.client.post(url, data={"answer": "accepted"})).status_code == status, url
    bodies: list[dict[str, str]] = [{}, {"answer": "maybe"}, {"answer": "modified"}, {"answer": "modified", "step": " "}]
    for body in bodies:
        assert (await asked.client.post(good, data=body)).status_code == 422, body
    assert (await asked.client.get(good)).status_code == 200
    assert await asked.answers() == []
    assert (await asked.read("/v1/courses/knee/recommendation"))["answer"] is None


@pytest.mark.law("once")
async def test_the_form_answers_once_as_an_event_in_the_clinicians_name_and_decisions_show_it(asked: Asked) -> None:
    sent = {"answer": "declined", "reason": "A  cold"}
    done = await asked.client.post(asked.url(), data=sent)
    assert done.status_code == 200, done.text

    async def shown() -> bool:
        return (await asked.read("/v1/courses/knee/recommendation"))["answer"] is not None

    await until(shown)
    (event,) = await asked.answers()
    assert event["type"] == "milepost.recommendation.answered"
    assert (event["data"]["answer"], event["data"]["by"]) == ("declined", {"id": asked.link.by, "role": "clinician"})
    again = await asked.client.post(asked.url(until=asked.link.until + 5), data={"answer": "accepted"})
    assert again.status_code == 410 and len(await asked.answers()) == 1
    assert (await asked.client.get(asked.url())).status_code in (409, 410)
    told = await asked.read("/v1/overrides")
    assert {name: told[name] for name in ("answers", "declined", "override_share")} == {"answers": 1, "declined": 1, "override_share": 1.0}
    assert told["by_reason"] == [{"reason": "a cold", "declined": 1, "modified": 0}]
    spoke = {(one["rule"], one["outcome"]) for one in asked.decision["reasons"] if one["outcome"] not in ("not_met", "unknown")}
    assert {(one["rule"], one["outcome"]) for one in told["by_rule"]} == spoke
    assert (await asked.read("/v1/overrides?until=2000-01-01T00:00:00Z"))["answers"] == 0
    assert (await asked.read("/v1/overrides?protocol=other"))["answers"] == 0


async def test_a_link_answers_nothing_once_its_key_is_revoked_or_something_else_is_recommended(
    asked: Asked, bus: Bus, settings: Settings, engine: AsyncEngine
) -> None:
    flagged = {
        "specversion": "1.0", "id": "flag", "source": "urn:test", "type": "milepost.symptom.reported", "subject": "a", "course": "knee",
        "time": asked.decision["as_of"], "data": {"when": "daily", "flags": ["night_pain"], "pain_nrs": 7},
    }  # fmt: skip
    await send(bus, settings, asked.tenant, [flagged])
    await settled(engine, asked.tenant, [flagged])
    after = await asked.read("/v1/courses/knee/recommendation")
    assert orjson.dumps(after["urgency"]) != orjson.dumps(asked.decision["urgency"])
    assert (await asked.client.post(asked.url(), data={"answer": "accepted"})).status_code == 409
    async with engine.begin() as conn:
        await revoke_key(conn, asked.link.by, datetime.now(UTC))
    assert (await asked.client.post(asked.url(), data={"answer": "accepted"})).status_code == 403

"""Two times on every read: what was true then, what was known then, and what would have been decided had all been known."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.core.decision import ARRIVAL_FIELDS
from services.decision.store.bodies import envelopes
from services.decision.store.connection import borrowed
from shared.auth import create_key
from shared.bus import Bus, event_subject
from shared.events import canonical
from shared.placing import partition, pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, settled, started

FIX = {"corrects": "c-pain-3", "data": {"when": "daily", "pain_nrs": 0}}
# (event, when ingest received it): the report of hour 3 says 9 at first, a correction of day 12 says 0, and hour 2 comes in on day 13.
SENT: list[tuple[dict[str, Any], str]] = [
    (started("a", "c"), "2026-03-02T07:00:01Z"),
    (pain("a", "c", 1), "2026-03-02T08:00:01Z"),
    (pain("a", "c", 3, nrs=9), "2026-03-02T10:00:01Z"),
    (pain("a", "c", 5), "2026-03-02T12:00:01Z"),
    (event("a", "fix", "milepost.event.corrected", 240, FIX), "2026-03-12T07:00:01Z"),
    (pain("a", "c", 2, nrs=1), "2026-03-13T07:00:01Z"),
    (event("a", "end", "milepost.course.ended", 300, {"course": "c"}), "2026-03-14T19:00:01Z"),
]


@pytest.fixture(scope="module")
async def client(settings: Settings, engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with engine.begin() as conn:
        _, key = await create_key(conn, "clinic", "clinician", "test")
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://decision", headers={"Authorization": f"Bearer {key}"}) as client:
            yield client


@pytest.fixture(autouse=True)
async def fed(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings) -> None:
    async with engine.connect() as conn:
        if (await conn.exec_driver_sql("SELECT count(*) FROM events")).scalar_one():
            return
    subject = event_subject(partition("clinic", "a"), pseudonym(settings.pseudonym_key_bytes, "clinic", "a"))
    await bus.publish_batch([(subject, canonical(body | {"tenant": "clinic", "recordedtime": recorded})) for body, recorded in SENT])
    async with run(time_speaks=False):
        await settled(engine, "clinic", [body for body, _ in SENT])


async def read(client: httpx.AsyncClient, path: str, **moment: str) -> Any:
    answer = await client.get(path, params=moment)
    return answer.json() if answer.status_code == 200 else answer.status_code


async def test_any_past_answer_comes_back_byte_for_byte(client: httpx.AsyncClient, engine: AsyncEngine):
    async with borrowed(engine) as connection:
        rows = await connection.fetch("SELECT tenant, athlete, body FROM decisions WHERE course = 'c' ORDER BY seq")
        sealed = await envelopes(connection, ((row["tenant"], row["athlete"]) for row in rows))
    stored = [sealed.body(*row) for row in rows]
    assert len(stored) == len(SENT)
    for body in stored:
        decision = orjson.loads(body)
        then = await client.get("/v1/courses/c/recommendation", params={"as_at": decision["as_at"]})
        assert then.content == body
        listed = (await read(client, "/v1/courses/c/decisions", as_at=decision["as_at"], limit="200"))["items"]
        assert listed[-1] == decision


async def test_before_anything_was_known_there_is_no_answer(client: httpx.AsyncClient):
    early = "2026-03-01T00:00:00Z"
    for path in ("/v1/courses/c/recommendation", "/v1/courses/c", "/v1/athletes/a/recommendation", "/v1/events/urn:test/c-pain-1"):
        assert await read(client, path, as_at=early) == 404
    assert (await read(client, "/v1/recommendations", as_at=early))["items"] == []
    assert (await read(client, "/v1/athletes/a/courses", as_at=early))["items"] == []
    assert (await read(client, "/v1/courses/c/timeline", as_at=early))["items"] == []


async def test_a_course_an_athlete_and_the_worklist_stand_as_they_stood_then(client: httpx.AsyncClient):
    then = "2026-03-02T11:00:00Z"
    course = await read(client, "/v1/courses/c", as_at=then)
    assert (course["status"], course["seq"]) == ("open", 3) and course["facts"] != (await read(client, "/v1/courses/c"))["facts"]
    assert (await read(client, "/v1/courses/c"))["status"] == "ended"
    assert (await read(client, "/v1/athletes/a/courses", as_at=then))["items"] == [
        {name: course[name] for name in course if name != "facts"}
    ]
    (item,) = (await read(client, "/v1/recommendations", as_at=then))["items"]
    assert item["recommendation"]["seq"] == 3
    assert (await read(client, "/v1/recommendations"))["items"] == []
    assert (await read(client, "/v1/athletes/a/recommendation", as_at=then))["courses"][0]["seq"] == 3
    timeline = (await read(client, "/v1/courses/c/timeline", as_at=then))["items"]
    assert [one["event"]["id"] for one in timeline if one["item"] == "event"] == ["c-start", "c-pain-1", "c-pain-3"]


async def test_what_was_true_is_apart_from_when_it_was_known(client: httpx.AsyncClient):
    true_then = await read(client, "/v1/courses/c/recommendation", as_of="2026-03-02T08:30:00Z")
    assert true_then["seq"] == 2
    late = await read(client, "/v1/events/urn:test/c-pain-2", as_at="2026-03-12T08:00:00Z")
    assert late == 404, "it had not been received"
    assert (await read(client, "/v1/events/urn:test/c-pain-2"))["status"] == "accepted"


async def test_what_would_have_been_decided_had_all_been_known_is_computed(client: httpx.AsyncClient):
    then = "2026-03-02T10:30:00Z"
    known = await read(client, "/v1/courses/c/recommendation", as_of=then)
    corrected = await read(client, "/v1/courses/c/recommendation", as_of=then, view="corrected")
    assert corrected["computed"] and not {"seq", "id", "hash"} & corrected.keys()
    assert known["running"] == "withheld" != corrected["running"], "the nine was a typing error"
    as_known = await read(client, "/v1/courses/c/recommendation", as_of=then, as_at="2026-03-02T11:00:00Z", view="corrected")
    both = (known.keys() & as_known.keys()) - set(ARRIVAL_FIELDS)
    assert {name: known[name] for name in both} == {name: as_known[name] for name in both}, "nothing more was known then"
    assert await read(client, "/v1/courses/c/recommendation", as_of="2026-03-01T00:00:00Z", view="corrected") == 404


@pytest.mark.parametrize("path", ["/v1/courses/c", "/v1/athletes/a/courses", "/v1/recommendations", "/v1/events/urn:test/c-pain-1"])
async def test_a_moment_that_is_none_is_refused_with_its_path(client: httpx.AsyncClient, path: str):
    answer = await client.get(f"{path}?as_at={quote('yesterday')}")
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "query.as_at")

"""Ingest on real servers: what a 202 promises, in every mode, and what everything else says."""

import asyncio
import gzip
import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.embedded import EmbeddedServers
from services.ingest.app import create_app
from services.ingest.formats.cloudevents import BATCH, LINES, STRUCTURED
from services.ingest.formats.fit_write import write_run_walk
from shared import auth
from shared.bus import EVENTS, Bus
from shared.events import parse
from shared.placing import partition
from shared.settings import Settings

Headers = dict[str, str]
ids = itertools.count(1)


@pytest.fixture(scope="module")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    limits = {"ndjson_max_lines": 2000, "fit_max_bytes": 2**20, "max_body_bytes": 2**20, "fit_timeout_s": 120}
    app = create_app(settings.model_copy(update=limits))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest", timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
async def keys(engine: AsyncEngine) -> dict[str, Headers]:
    """Headers of a key for each role of the tenant `clinic-a`."""
    headers = {}
    async with engine.begin() as conn:
        for role in ("integrator", "clinician", "coach"):
            _, text = await auth.create_key(conn, "clinic-a", role, "test")
            headers[role] = {"Authorization": f"Bearer {text}"}
    return headers


def symptom(**attributes: Any) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "id": f"e-{next(ids)}",
        "source": "urn:test",
        "type": "milepost.symptom.reported",
        "subject": "athlete-1",
        "time": "2026-03-02T07:00:00Z",
        "data": {"when": "daily", "pain_nrs": 2},
    }
    return event | attributes


async def post(client: httpx.AsyncClient, key: Headers, body: Any, media: str = STRUCTURED, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post("/v1/events", content=content, headers={**key, "content-type": media, **headers})


def as_lines(*events: object) -> bytes:
    return b"\n".join(event if isinstance(event, bytes) else json.dumps(event).encode() for event in events) + b"\n"


async def stored(settings: Settings, after: int = 0) -> list[dict[str, Any]]:
    """Everything on the bus behind a sequence, in stream order."""
    bus = await Bus.connect(settings)
    try:
        last = await bus.last_seq(EVENTS)
        consumer = await bus.pull_consumer(EVENTS, "test-reader", ["ev.>"], after + 1, 1000)
        found: list[dict[str, Any]] = []
        position = after
        while position < last:
            if fetched := await consumer.fetch(1000, 1):
                found += [json.loads(message.data) | {"subject_on_bus": message.subject} for message in fetched]
                position = fetched[-1].stream_seq
                await consumer.ack_all(fetched[-1])
        await consumer.close()
        await bus.delete_consumer(EVENTS, "test-reader")
        return found
    finally:
        await bus.close()


async def length(settings: Settings) -> int:
    bus = await Bus.connect(settings)
    try:
        return await bus.last_seq(EVENTS)
    finally:
        await bus.close()


@pytest.mark.law("nothing-lost")
async def test_an_accepted_event_is_on_the_bus_with_tenant_and_time_of_receipt(client, keys, settings):
    before = await length(settings)
    event = symptom(course="c-1")
    begin = datetime.now(UTC)
    answer = await post(client, keys["integrator"], event)
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "duplicate": 0,
        "rejected": 0,
        "outcomes": [{"index": 0, "source": "urn:test", "id": event["id"], "outcome": "accepted", "status": 202, "faults": []}],
    }
    (message,) = await stored(settings, before)
    assert message["tenant"] == "clinic-a"
    assert begin <= datetime.fromisoformat(message["recordedtime"]) <= datetime.now(UTC)
    assert message.pop("subject_on_bus").startswith(f"ev.{partition('clinic-a', 'athlete-1')}.")
    assert parse(message).digest() == parse(event).digest()


async def test_binary_mode_and_plain_json_say_the_same_as_structured(client, keys, settings):
    before = await length(settings)
    event = symptom(subject="athlète")
    headers = {f"ce-{name}": value for name, value in event.items() if name not in ("data", "subject")}
    answer = await post(client, keys["integrator"], event["data"], "application/json", **headers, **{"ce-subject": "athl%C3%A8te"})
    assert answer.status_code == 202, answer.text
    again = await post(client, keys["integrator"], event, "application/json; charset=utf-8")
    assert again.json()["duplicate"] == 1
    (message,) = await stored(settings, before)
    assert message["subject"] == "athlète"


async def test_in_a_batch_the_faulty_are_named_and_their_neighbours_taken(client, keys, settings):
    before = await length(settings)
    good, other = symptom(), symptom(subject="athlete-2")
    events = [good, symptom(data={"when": "daily", "pain_nrs": 11}), good, "x", symptom(tenant="clinic-b"), other]
    answer = await post(client, keys["integrator"], events, BATCH)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["duplicate"], body["rejected"]) == (2, 1, 3)
    assert [item["outcome"] for item in body["outcomes"]] == ["accepted", "rejected", "duplicate", "rejected", "rejected", "accepted"]
    assert [fault["path"] for item in body["outcomes"] for fault in item["faults"]] == ["data.pain_nrs", "", "tenant"]
    assert [message["id"] for message in await stored(settings, before)] == [good["id"], other["id"]]


async def test_a_batch_of_which_nothing_can_be_taken_is_a_problem_with_all_outcomes(client, keys):
    answer = await post(client, keys["integrator"], [symptom(time="yesterday")], BATCH)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    body = answer.json()
    assert body["type"] == "urn:milepost:problem:events-refused"
    assert [fault["path"] for fault in body["outcomes"][0]["faults"]] == ["time"]


async def test_an_empty_batch_is_nothing_to_do(client, keys):
    for content, media in (([], BATCH), (b"\n\n", LINES)):
        answer = await post(client, keys["integrator"], content, media)
        assert (answer.status_code, answer.json()["outcomes"]) == (202, [])


async def test_lines_are_taken_one_by_one_and_kept_in_order(client, keys, settings):
    before = await length(settings)
    events = [symptom() for _ in range(1500)]
    answer = await post(client, keys["integrator"], as_lines(*events[:700], b"not json", b"", *events[700:]), LINES)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (1500, 1)
    assert body["outcomes"][700]["status"] == 400
    assert [message["id"] for message in await stored(settings, before)] == [event["id"] for event in events]


async def test_lines_have_their_limits(client, keys):
    too_many = await post(client, keys["integrator"], as_lines(*(symptom() for _ in range(2001))), LINES)
    assert (too_many.status_code, too_many.json()["type"]) == (413, "urn:milepost:problem:too-many-events")
    long_line = await post(client, keys["integrator"], as_lines(symptom(), b'"' + b"x" * 300_000 + b'"', symptom()), LINES)
    assert [item["status"] for item in long_line.json()["outcomes"]] == [202, 413, 202]


async def test_packed_bodies_are_read_in_bounds(client, keys):
    packed = gzip.compress(json.dumps(symptom()).encode())
    assert (await post(client, keys["integrator"], packed, **{"content-encoding": "gzip"})).status_code == 202
    bomb = gzip.compress(b" " * 2**26)
    assert (await post(client, keys["integrator"], bomb, **{"content-encoding": "gzip"})).status_code == 413
    assert (await post(client, keys["integrator"], bomb[:100], **{"content-encoding": "gzip"})).status_code == 400
    assert (await post(client, keys["integrator"], b"plain", **{"content-encoding": "gzip"})).status_code == 400
    assert (await post(client, keys["integrator"], b"x", **{"content-encoding": "br"})).status_code == 415


@pytest.mark.law("once")
async def test_the_same_event_again_is_a_duplicate_and_changed_it_is_refused(client, keys, settings):
    event = symptom()
    await post(client, keys["integrator"], event)
    before = await length(settings)
    again = await post(client, keys["integrator"], event)
    assert (again.status_code, again.json()["duplicate"]) == (202, 1)
    changed = await post(client, keys["integrator"], event | {"data": {"when": "daily", "pain_nrs": 3}})
    assert (changed.status_code, changed.json()["type"]) == (409, "urn:milepost:problem:id-conflict")
    assert await length(settings) == before


@pytest.mark.parametrize(
    ("body", "media", "status", "slug"),
    [
        (b"{", STRUCTURED, 400, "not-json"),
        (b'{"specversion": "1.0", "specversion": "1.0"}', STRUCTURED, 400, "not-json"),
        (b'[{"id": "1", "data": {"pain_nrs": 2, "pain_nrs": 7}}]', BATCH, 400, "not-json"),
        (b"{", BATCH, 400, "not-json"),
        (b"\xff\xfe", "application/json", 400, "not-json"),
        (b"{}", BATCH, 422, "event-refused"),
        (b"[]", STRUCTURED, 422, "event-refused"),
        (b"{}", "text/xml", 415, "media-type-not-supported"),
        (b"{}", "", 415, "media-type-not-supported"),
        (b" " * (2**20 + 1), STRUCTURED, 413, "too-large"),
        (b"[" * 900 + b"]" * 900, STRUCTURED, 422, "event-refused"),
    ],
)
async def test_a_body_that_is_not_an_event_is_a_problem(client, keys, body, media, status, slug):
    answer = await post(client, keys["integrator"], body, media)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:milepost:problem:{slug}")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_single_faulty_event_names_every_path(client, keys):
    answer = await post(client, keys["integrator"], symptom(time="x", data={"when": "daily", "flags": ["nigt_pain"], "payn": 1}))
    assert answer.status_code == 422
    assert {fault["path"] for fault in answer.json()["faults"]} == {"time", "data.flags[0]", "data.payn"}


async def test_a_key_is_needed_and_its_scope_and_a_clinicians_for_clearances(client, keys):
    assert (await post(client, {}, symptom())).status_code == 401
    assert (await post(client, keys["coach"], symptom())).status_code == 403
    clearance = symptom(type="milepost.clearance.recorded", data={"gate": "red_flag_review", "granted": True})
    refused = await post(client, keys["integrator"], clearance)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:milepost:problem:not-permitted")
    assert (await post(client, keys["clinician"], clearance)).status_code == 202


async def test_a_time_ahead_of_the_clock_is_refused(client, keys):
    ahead = (datetime.now(UTC) + timedelta(minutes=6)).isoformat()
    assert [fault["path"] for fault in (await post(client, keys["integrator"], symptom(time=ahead))).json()["faults"]] == ["time"]


@pytest.mark.law("nothing-lost")
async def test_concurrent_requests_all_end_on_the_bus_exactly_once(client, keys, settings):
    before = await length(settings)
    events = [[symptom(subject=f"athlete-{sender}") for _ in range(5)] for sender in range(40)]

    async def send(mine: list[dict[str, Any]]) -> None:
        for event in mine:
            assert (await post(client, keys["integrator"], event)).status_code == 202

    await asyncio.gather(*map(send, events))
    found = await stored(settings, before)
    assert sorted(message["id"] for message in found) == sorted(event["id"] for mine in events for event in mine)
    for mine in events:
        # One sender's events, each sent after the answer to the one before, are in their order.
        ours = [message["id"] for message in found if message["subject"] == mine[0]["subject"]]
        assert ours == [event["id"] for event in mine]


async def test_a_fit_file_becomes_events_and_again_it_is_a_duplicate(client, keys, settings):
    before = await length(settings)
    file = write_run_walk(datetime(2026, 3, 3, 17, tzinfo=UTC), [(60, 240)] * 6, rpe=3)
    headers = {**keys["integrator"], "content-type": "application/vnd.ant.fit"}
    query = {"course": "c-1", "step": "W1", "planned": "true"}
    answer = await client.post("/v1/athletes/athlete-9/files", content=file, headers=headers, params=query)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["accepted"], body["decoder"], body["warnings"]) == (4, "garmin-fit-sdk", [])
    found = await stored(settings, before)
    assert [message["id"] for message in found] == [event["id"] for event in body["events"]]
    assert found[0]["data"] == {**found[0]["data"], "session": body["session"], "run_s": 360, "walk_s": 1440, "step": "W1", "planned": True}
    form = await client.post("/v1/athletes/athlete-9/files", files={"file": ("run.fit", file)}, headers=keys["integrator"], params=query)
    assert (form.status_code, form.json()["duplicate"]) == (202, 4)
    other = await client.post("/v1/athletes/athlete-8/files", content=file, headers=headers)
    assert other.status_code == 409
    assert len(await stored(settings, before)) == 4


async def test_what_no_device_knows_is_said_with_the_file(client, keys):
    file = write_run_walk(datetime(2026, 3, 4, 17, tzinfo=UTC), [(60, 240)] * 6)
    headers = {**keys["integrator"], "content-type": "application/vnd.ant.fit"}
    query = {"rpe": "3", "gait_changed": "false", "technique_ok": "true", "technique_by": "clinician", "completed": "true"}
    wrong = await client.post("/v1/athletes/athlete-10/files", content=file, headers=headers, params=query | {"rpe": "11"})
    assert wrong.status_code == 422
    assert "rpe" in wrong.json()["faults"][0]["path"]
    taken = await client.post("/v1/athletes/athlete-10/files", content=file, headers=headers, params=query)
    data = taken.json()["events"][0]["data"]
    expected = {"rpe": 3, "gait_changed": False, "technique_ok": True, "technique_by": "clinician", "completed": True, "run_s": 360}
    assert {name: data[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("content", "media", "status", "slug"),
    [
        (b"", "application/vnd.ant.fit", 422, "file-refused"),
        (b"not a fit file, not even nearly", "application/octet-stream", 422, "file-refused"),
        (b"x", "image/png", 415, "media-type-not-supported"),
        (b"x" * (2**20 + 1), "application/vnd.ant.fit", 413, "too-large"),
        (b"x", "multipart/form-data", 400, "body-not-readable"),
        (b"--b\r\n", "multipart/form-data; boundary=b", 422, "file-missing"),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            422,
            "file-missing",
        ),
    ],
)
async def test_a_file_that_cannot_be_read_is_a_problem(client, keys, content, media, status, slug):
    answer = await client.post("/v1/athletes/a/files", content=content, headers={**keys["integrator"], "content-type": media})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:milepost:problem:{slug}"), answer.text


async def test_a_file_that_takes_too_long_is_refused_and_the_next_is_read(settings, keys):
    app = create_app(settings.model_copy(update={"fit_timeout_s": 0.01}))
    file = write_run_walk(datetime(2026, 4, 3, 17, tzinfo=UTC), [(60, 60)])
    headers = {**keys["integrator"], "content-type": "application/vnd.ant.fit"}
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest") as client:
        slow = await client.post("/v1/athletes/a/files", content=file, headers=headers)
        assert (slow.status_code, slow.json()["type"]) == (422, "urn:milepost:problem:file-refused")
        app.state.readers._limit_s = 120
        assert (await client.post("/v1/athletes/a/files", content=file, headers=headers)).status_code == 202


async def test_more_than_may_wait_is_answered_with_when_to_come_back(settings, keys):
    app = create_app(settings.model_copy(update={"ingest_queue_limit": 10}))
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest") as client:
        answer = await post(client, keys["integrator"], [symptom() for _ in range(11)], BATCH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:milepost:problem:queue-full"


@pytest.mark.law("nothing-lost")
async def test_while_the_bus_is_gone_nothing_is_confirmed_and_afterwards_everything_is(client, keys, settings, servers: EmbeddedServers):
    before = await length(settings)
    event = symptom()
    await servers.nats.kill()
    try:
        answer = await post(client, keys["integrator"], event)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/readyz")).status_code == 503
    finally:
        await servers.nats.start()
    async with asyncio.timeout(60):
        while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await post(client, keys["integrator"], event)).json()["accepted"] == 1
    assert event["id"] in [message["id"] for message in await stored(settings, before)]


async def test_what_ingest_did_shows_in_its_metrics_without_a_name(client, keys):
    await post(client, keys["integrator"], symptom(subject="athlete-unheard-of"))
    text = (await client.get("/metrics")).text
    assert 'milepost_ingest_events_total{outcome="accepted"}' in text
    assert "milepost_ingest_queue_events 0.0" in text
    assert "athlete-unheard-of" not in text


async def test_every_route_is_described_with_its_media_types_and_problems(client):
    document = (await client.get("/openapi.json")).json()
    events = document["paths"]["/v1/events"]["post"]
    assert set(events["requestBody"]["content"]) == {STRUCTURED, BATCH, LINES, "application/json"}
    assert {"202", "400", "401", "403", "409", "413", "415", "422", "503"} <= set(events["responses"])
    assert "milepost.symptom.reported" in document["components"]["schemas"]
    assert set(document["paths"]["/v1/athletes/{athlete}/files"]["post"]["requestBody"]["content"]) >= {"multipart/form-data"}

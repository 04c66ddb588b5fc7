"""Every refusal is a problem document that says what, where and what was expected, and nothing it should not."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field

from shared import problems, telemetry
from shared.problems import MEDIA_TYPE, Problem, found, problem_responses

SECRET = "athlete-seven-felt-his-knee-again-on-monday-morning"


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pain_nrs: int = Field(ge=0, le=10)
    flags: list[int] = []


class Envelope(BaseModel):
    data: Report


def an_app() -> FastAPI:
    app = FastAPI()
    problems.install(app)
    telemetry.install(app, "test")

    @app.get("/reports")
    async def listed() -> int:
        return 0

    @app.post("/reports", responses=problem_responses(404, 422))
    async def reports(body: Envelope, limit: Annotated[int, Query(le=100)] = 10) -> int:
        return body.data.pain_nrs

    @app.get("/own")
    async def own() -> None:
        raise Problem(
            409,
            "No longer in force",
            "it was superseded; read the new one",
            "not-in-force",
            [{"path": "decision", "expected": "the latest"}],
        )

    @app.get("/many")
    async def many() -> None:
        raise Problem(422, "Faults", "many", "many", [{"path": f"[{number}]", "expected": "x"} for number in range(250)])

    @app.get("/busy")
    async def busy() -> None:
        raise Problem(503, "Busy", "later", "busy", headers={"Retry-After": "3"})

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(SECRET)

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(an_app()), base_url="http://test") as client:
        yield client


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert (body["type"], body["status"]) == (f"urn:milepost:problem:{slug}", status)
    assert body["title"] and body["detail"]
    return body


async def test_a_services_own_refusal_keeps_its_faults_and_headers(client: httpx.AsyncClient):
    body = problem(await client.get("/own"), 409, "not-in-force")
    assert body["faults"] == [{"path": "decision", "expected": "the latest"}] and body["fault_count"] == 1
    busy = await client.get("/busy")
    problem(busy, 503, "busy")
    assert busy.headers["retry-after"] == "3"


async def test_of_many_faults_a_hundred_are_shown_and_all_are_counted(client: httpx.AsyncClient):
    body = problem(await client.get("/many"), 422, "many")
    assert (len(body["faults"]), body["fault_count"]) == (100, 250)


async def test_each_fault_of_a_body_has_its_path_what_was_found_and_what_was_expected(client: httpx.AsyncClient):
    answer = await client.post("/reports?limit=1000", json={"data": {"pain_nrs": 11, "flags": [1, SECRET], "extra": None}})
    faults = {fault["path"]: fault for fault in problem(answer, 422, "invalid-request")["faults"]}
    assert faults["data.pain_nrs"] == {"path": "data.pain_nrs", "found": "11", "expected": "less than or equal to 10"}
    assert faults["data.flags[1]"]["found"] == f"text of {len(SECRET)} characters"
    assert faults["data.extra"]["expected"] == "no such field"
    assert faults["query.limit"]["found"] == '"1000"'
    assert SECRET not in answer.text
    missing = problem(await client.post("/reports", json={}), 422, "invalid-request")["faults"]
    assert missing == [{"path": "data", "found": "absent", "expected": "a value: this field is required"}]


async def test_what_is_not_json_is_400(client: httpx.AsyncClient):
    problem(await client.post("/reports", content=b'{"data":', headers={"content-type": "application/json"}), 400, "not-json")


async def test_unknown_routes_and_methods_are_problems_too(client: httpx.AsyncClient):
    problem(await client.get("/nowhere"), 404, "not-found")
    answer = await client.delete("/own")
    assert "GET" in problem(answer, 405, "method-not-allowed")["detail"]
    assert answer.headers["allow"] == "GET"
    assert (await client.put("/reports")).headers["allow"] == "GET, POST"
    problem(await client.get("/teapot"), 418, "im-a-teapot")


async def test_an_unforeseen_fault_is_logged_under_the_incident_told_and_quotes_nothing(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
):
    telemetry.configure_logs("test", "info")
    try:
        answer = await client.get("/broken")
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    finally:
        logging.getLogger().handlers.clear()
    detail = problem(answer, 500, "internal-fault")["detail"]
    failed = next(line for line in lines if line["event"] == "request failed")
    assert failed["incident"] in detail
    assert failed["error"] == "RuntimeError" and any("broken" in frame for frame in failed["trace"])
    assert SECRET not in answer.text and "Traceback" not in answer.text and SECRET not in json.dumps(lines)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_description_of_what_was_found_is_short_whatever_was_sent(value: object):
    assert 0 < len(found(value)) <= 90


@given(st.text(min_size=41))
def test_longer_texts_are_described_and_never_repeated(text: str):
    assert found(text) == f"text of {len(text)} characters"


def test_the_openapi_document_describes_problems_and_not_what_fastapi_would_send():
    document = an_app().openapi()
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    answers = document["paths"]["/reports"]["post"]["responses"]
    assert set(answers) >= {"200", "404", "422", "500"}
    for status in ("404", "422", "500"):
        assert answers[status]["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert document["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status", "detail"]

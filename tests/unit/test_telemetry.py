"""Logs hold no personal data, metrics no path, and readiness says what is missing."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from prometheus_client.parser import text_string_to_metric_families

from shared import telemetry
from shared.telemetry import NotReady, health_router
from shared.telemetry.logs import ALLOWED

SECRET = "athlete-7"


class Lines:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    telemetry.configure_logs("ingest", "debug")
    yield Lines(capsys)
    logging.getLogger().handlers.clear()
    logging.getLogger().setLevel(logging.WARNING)
    structlog.reset_defaults()


def test_a_line_is_one_json_object_with_when_what_and_who(lines: Lines):
    structlog.get_logger("milepost.test").info("stored", tenant="clinic", count=3)
    line = lines.one()
    assert line.pop("at").endswith("Z")
    assert line == {"event": "stored", "level": "info", "service": "ingest", "tenant": "clinic", "count": 3}


def test_a_key_that_is_not_allowed_is_dropped_and_only_its_name_is_told(lines: Lines):
    structlog.get_logger().info("stored", athlete=SECRET, data={"pain_nrs": 7}, tenant="clinic")
    line = lines.one()
    assert line["dropped"] == ["athlete", "data"] and SECRET not in json.dumps(line) and "pain" not in json.dumps(line)


def test_no_allowed_key_names_a_person_or_a_value():
    assert not ALLOWED & {
        "athlete",
        "subject",
        "course",
        "data",
        "value",
        "body",
        "payload",
        "path",
        "query",
        "name",
        "source",
        "id",
        "key",
        "exception",
    }


def test_a_fault_is_logged_by_class_and_place_and_not_by_its_text(lines: Lines):
    log = structlog.get_logger()
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise ValueError(f"no {SECRET}") from cause
    except ValueError:
        log.exception("failed")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: <Task exception=%s>", SECRET)
    for line in lines.all():
        assert line["error"] == "ValueError"
        assert "caused by KeyError" in line["trace"]
        assert SECRET not in json.dumps(line)


def test_other_libraries_may_say_only_what_their_programmer_wrote(lines: Lines):
    logging.getLogger("somebody").warning("cannot store %s", SECRET)
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s://%s:%d", "http", "127.0.0.1", 8101)
    first, second = lines.all()
    assert first["event"] == "cannot store %s"
    assert second["event"] == "Uvicorn running on http://127.0.0.1:8101"


def test_a_line_that_cannot_be_written_says_so_without_its_content(lines: Lines, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.telemetry.logs.orjson.dumps", lambda *_, **__: 1 / 0)
    structlog.get_logger().info("stored", tenant=SECRET)
    assert lines.one() == {"event": "a log line could not be written", "level": "error"}


def test_the_access_log_of_the_server_is_silent(lines: Lines):
    logging.getLogger("uvicorn.access").info('%s - "%s %s"', "127.0.0.1", "GET", f"/v1/athletes/{SECRET}/courses?flag=night_pain")
    assert lines.all() == []


def test_an_unknown_level_is_refused_by_name():
    with pytest.raises(ValueError, match="MILEPOST_LOG_LEVEL"):
        telemetry.configure_logs("ingest", "loud")


def measured_app(checks: dict[str, telemetry.Check] | None = None) -> FastAPI:
    app = FastAPI()
    telemetry.install(app, "measured")
    app.include_router(health_router(checks or {}))
    inner = APIRouter(prefix="/v1")

    @inner.get("/athletes/{athlete}/courses")
    async def courses(athlete: str) -> str:
        return athlete

    app.include_router(inner)
    return app


def over(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def counted(client: httpx.AsyncClient) -> dict[tuple[str, str, str], float]:
    text = (await client.get("/metrics")).text
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "milepost_http_requests_total" and sample.labels["service"] == "measured"
    }


async def test_requests_are_counted_and_logged_by_route_template(lines: Lines):
    template = "/v1/athletes/{athlete}/courses"
    async with over(measured_app()) as client:
        await client.get(f"/v1/athletes/{SECRET}/courses?pain=7")
        await client.get(f"/nowhere/{SECRET}")
        await client.request("BREW", f"/nowhere/{SECRET}")
        counts = await counted(client)
        text = (await client.get("/metrics")).text
    assert counts[template, "GET", "200"] == 1
    assert counts["unmatched", "GET", "404"] == 1
    assert counts["unmatched", "other", "404"] == 1
    assert f'milepost_http_request_seconds_count{{method="GET",route="{template}",service="measured"}} 1.0' in text
    logged = [line for line in lines.all() if line["event"] == "request answered"]
    assert logged[0]["route"] == template and logged[0]["status"] == 200
    assert SECRET not in text and SECRET not in json.dumps(logged) and "pain" not in json.dumps(logged)


async def test_a_process_that_runs_is_healthy_even_when_nothing_is_ready():
    async def down() -> None:
        raise NotReady("no connection to PostgreSQL")

    async with over(measured_app({"database": down})) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_readiness_names_what_failed_and_why_without_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.telemetry.health.CHECK_LIMIT_S", 0.05)

    async def good() -> None:
        return

    async def known() -> None:
        raise NotReady("the schema is at revision 0000")

    async def unknown() -> None:
        raise OSError("password=secret")

    async def hanging() -> None:
        await asyncio.Event().wait()

    async with over(measured_app({"good": good, "known": known, "unknown": unknown, "hanging": hanging})) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert answer.json()["checks"] == {
        "good": "ok",
        "known": "the schema is at revision 0000",
        "unknown": "failed: OSError",
        "hanging": "no answer within 0.05 s",
    }
    async with over(measured_app({"good": good})) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": {"good": "ok"}})

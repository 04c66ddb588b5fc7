"""A receiver that behaves as it is told, and notify running beside it on the real bus and the real database."""

import asyncio
import os
import sys
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify.app import create_app
from shared.auth import create_key
from shared.bus import Bus, decision_subject
from shared.placing import partition, pseudonym
from shared.settings import Settings
from shared.telemetry import configure_logs

TENANTS = count(1)
OUTBOX = count(1)


@dataclass(frozen=True)
class Heard:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Receiver:
    """Answers 204, or what `answers[path]` says next, or what `always[path]` says: a status, `hang`, or a function of what was heard.

    `hang` ends with `release`."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.answers: defaultdict[str, deque[Any]] = defaultdict(deque)
        self.always: dict[str, Any] = {}
        self.release = asyncio.Event()
        self.url = ""

    def at(self, path: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        heard = Heard(request.path, headers, body, monotonic())
        self.heard.append(heard)
        answer = self.answers[request.path].popleft() if self.answers[request.path] else self.always.get(request.path, 204)
        if answer == "hang":
            await self.release.wait()
            answer = 204
        return web.Response(status=answer) if isinstance(answer, int) else answer(heard)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    receiver.url = f"http://127.0.0.1:{server.port}"
    yield receiver
    receiver.release.set()
    await server.close()


@dataclass
class Clinic:
    """A tenant with its keys, and requests in its name."""

    tenant: str
    keys: dict[str, str]
    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, role: str = "integrator", **more: Any) -> httpx.Response:
        return await self.client.request(method, path, headers={"Authorization": f"Bearer {self.keys[role]}"}, **more)

    async def endpoint(self, url: str, **more: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/v1/endpoints", json={"url": url, **more})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def deliveries(self, endpoint: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        answer = await self.ask("GET", f"/v1/endpoints/{endpoint['id']}/deliveries", params={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def states(self, endpoint: dict[str, Any]) -> list[tuple[str, str]]:
        return [(one["type"], one["state"]) for one in reversed(await self.deliveries(endpoint))]


class Site:
    """Notify at work in this process."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, engine: AsyncEngine) -> None:
        self.app = app
        self.client = client
        self._engine = engine

    async def clinic(self) -> Clinic:
        tenant = f"clinic-{next(TENANTS)}"
        async with self._engine.begin() as conn:
            keys = {role: (await create_key(conn, tenant, role, role))[1] for role in ("integrator", "coach", "clinician", "auditor")}
        return Clinic(tenant, keys, self.client)


Trial = Callable[..., Any]
Process = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    configure_logs("notify", "error")


@pytest.fixture(scope="module")
def trial(settings: Settings) -> Settings:
    """Settings under which minutes are fractions of a second, and webhooks may go to this machine.

    The time limit is no fraction: an attempt that was given up because the machine stood still would be made again, and counted."""
    quick = {"retry_schedule_s": (0.0, 0.1, 0.2, 0.3), "notice_coalesce_s": 0.0, "delivery_timeout_s": 60.0}
    return settings.model_copy(update={"allow_loopback_webhooks": True, **quick})


@pytest.fixture
def notify(trial: Settings, engine: AsyncEngine) -> Trial:
    """`async with notify() as site`: notify works inside."""

    @asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Site]:
        app = create_app(trial.model_copy(update=changes))
        transport = httpx.ASGITransport(app=app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
            yield Site(app, client, engine)

    return running


@pytest.fixture
async def site(notify: Trial) -> AsyncIterator[Site]:
    async with notify() as running:
        yield running


@pytest.fixture
async def clinic(site: Site) -> Clinic:
    return await site.clinic()


def decision(seq: int, course: str = "c-1", **changes: Any) -> dict[str, Any]:
    """A decision record in so far as notify reads it."""
    return {
        "id": f"{course}-d{seq}", "course": course, "subject": "athlete-1", "seq": seq, "action": "hold", "from_step": "W1",
        "to_step": f"W{seq}", "dose": {"run_s": 60}, "running": "as_dosed", "rest_days": 1, "urgency": "routine", "not_before": None,
        "valid_until": None, "stop_if": ["pain above 2"], "summary": "Hold.", "reasons": [], "answer": None, "referral": None,
        "supersedes": None, "as_of": "2026-03-01T11:00:00Z", "as_at": "2026-03-01T11:00:01Z", **changes,
    }  # fmt: skip


Publish = Callable[..., Awaitable[int]]


@pytest.fixture
def publish(settings: Settings, bus: Bus) -> Publish:
    """Puts an outbox row on DECISIONS as decision's relay does; returns its number."""

    async def put(tenant: str, body: dict[str, Any], kind: str = "decision", outbox: int | None = None, **more: Any) -> int:
        number = next(OUTBOX) if outbox is None else outbox
        athlete = "athlete-1"
        row = {
            "outbox": number,
            "kind": kind,
            "tenant": tenant,
            "athlete": athlete,
            "course": body.get("course"),
            "cause": {},
            "body": body,
            **more,
        }
        subject = decision_subject(partition(tenant, athlete), pseudonym(settings.pseudonym_key_bytes, tenant, athlete))
        await bus.publish(subject, orjson.dumps(row))
        return number

    return put


@pytest.fixture
def made() -> Callable[..., dict[str, Any]]:
    return decision


Until = Callable[..., Awaitable[Any]]


@pytest.fixture
def until() -> Until:
    """Waits for a condition to hold and returns what it yields; fails after `within` seconds."""

    async def wait(condition: Callable[[], Any], within: float = 90.0) -> Any:
        deadline = monotonic() + within
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            assert monotonic() < deadline, "the condition did not come to hold in time"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def rows(engine: AsyncEngine) -> Callable[..., Awaitable[list[Any]]]:
    """Rows of a query, as the services' role sees them."""

    async def ask(query: str, **parameters: Any) -> list[Any]:
        async with engine.connect() as conn:
            return list(await conn.execute(text(query), parameters))

    return ask


@pytest.fixture
def asking(engine: AsyncEngine) -> Callable[..., Awaitable[list[Any]]]:
    """As `rows`, and what it changes stays."""

    async def ask(query: str, **parameters: Any) -> list[Any]:
        async with engine.begin() as conn:
            return list(await conn.execute(text(query), parameters))

    return ask


@pytest.fixture
def process(trial: Settings) -> Process:
    """`async with process(port) as running`: `python -m services.notify` works inside; it is killed, not stopped, at the end."""

    @asynccontextmanager
    async def running(port: int, **changes: str) -> AsyncIterator["asyncio.subprocess.Process"]:
        named = {
            "MILEPOST_DATABASE_URL": trial.database_url,
            "MILEPOST_NATS_URL": trial.nats_url,
            "MILEPOST_NATS_MONITOR_URL": trial.nats_monitor_url,
            "MILEPOST_SECRET_KEY": trial.secret_key,
            "MILEPOST_PSEUDONYM_KEY": trial.pseudonym_key,
            "MILEPOST_NOTIFY_PORT": str(port),
            "MILEPOST_ALLOW_LOOPBACK_WEBHOOKS": "true",
            "MILEPOST_RETRY_SCHEDULE_S": ",".join(map(str, trial.retry_schedule_s)),
            "MILEPOST_NOTICE_COALESCE_S": str(trial.notice_coalesce_s),
            "MILEPOST_DELIVERY_TIMEOUT_S": "60",
            "MILEPOST_LOG_LEVEL": "error",
        }
        pipe = asyncio.subprocess.PIPE
        begun = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.notify", env={**os.environ, **named, **changes}, stderr=pipe
        )
        try:
            yield begun
        finally:
            if begun.returncode is None:
                begun.kill()
            await begun.communicate()

    return running

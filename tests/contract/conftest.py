"""One running stack, and two clinics in it that use the product alike and must never see each other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from services.cli.stack import Stack
from shared import auth, db

ROLES: Final = ("clinician", "coach", "integrator", "author", "auditor", "admin")
SOURCE: Final = "urn:contract:app"


async def until(condition: Callable[[], Awaitable[Any]], within: float = 60.0) -> Any:
    """What the condition yields once that is true. Fails after `within` seconds."""
    deadline = monotonic() + within
    while not (found := await condition()):
        assert monotonic() < deadline, "the condition did not come to hold in time"
        await asyncio.sleep(0.02)
    return found


@dataclass
class Clinic:
    """A tenant with a key of each role and one athlete on a course; every name of its own begins with `<tenant>-`."""

    tenant: str
    stack: Stack
    client: httpx.AsyncClient
    keys: dict[str, str]
    endpoint: str = ""
    delivery: str = ""
    notice: str = ""
    replay: str = ""
    decision: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """What stands in the routes' addresses."""
        return {
            "athlete": f"{self.tenant}-athlete",
            "course": f"{self.tenant}-course",
            "source": quote(SOURCE, safe=""),
            "id": f"{self.tenant}-start",
            "seq": "1",
            "endpoint": self.endpoint,
            "delivery": self.delivery,
            "backtest": f"{self.tenant}-backtest",
            "run": f"{self.tenant}-run",
            "notice": self.notice,
            "replay": self.replay,
        }

    async def ask(self, method: str, url: str, role: str = "integrator", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[role]}", **more.pop("headers", {})}
        return await self.client.request(method, url, headers=headers, **more)

    async def send(self, *events: dict[str, Any], role: str = "clinician") -> httpx.Response:
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        return await self.ask("POST", f"{self.stack.ingest_url}/v1/events", role, json=list(events), headers=headers)

    def event(self, id: str, kind: str, time: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        named = {"id": f"{self.tenant}-{id}", "source": SOURCE, "type": f"milepost.{kind}", "subject": f"{self.tenant}-athlete"}
        return {"specversion": "1.0", **named, "time": time, "data": data, **more}

    async def became(self, id: str) -> dict[str, Any] | None:
        """What became of an event, once history has it."""
        answer = await self.ask("GET", f"{self.stack.decision_url}/v1/events/{quote(SOURCE, safe='')}/{quote(id, safe='')}")
        assert answer.status_code in (200, 404, 503), answer.text
        found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    async def begin(self) -> None:
        """An endpoint that answers nothing, a course with a session, and a test delivery."""
        base = self.stack.notify_url
        made = (await self.ask("POST", f"{base}/v1/endpoints", json={"url": f"http://127.0.0.1:9/{self.tenant}"})).json()
        self.endpoint = made["id"]
        asked = (await self.ask("POST", f"{base}/v1/endpoints/{self.endpoint}/test")).json()
        self.delivery, self.notice = asked["delivery"], asked["notice"]
        injury = {"tissue": "joint", "site": "knee", "side": "left"}
        course = {"course": f"{self.tenant}-course", "protocol": "progressive-return", "injury": injury, "timezone": "Europe/Berlin"}
        done = {"session": f"{self.tenant}-s1", "kind": "run_walk", "completed": True, "rpe": 3}
        sent = await self.send(
            self.event("start", "course.started", "2025-03-03T07:00:00Z", course | {"birth_year": 1990}),
            self.event("session", "session.completed", "2025-03-04T17:00:00Z", done),
        )
        assert sent.status_code == 202, sent.text
        await until(lambda: self.became(f"{self.tenant}-session"))
        self.replay = (await self.ask("POST", f"{self.stack.decision_url}/v1/audit/replays", "auditor", json={})).json()["id"]
        self.decision = (await self.ask("GET", f"{self.stack.decision_url}/v1/courses/{self.tenant}-course/recommendation")).json()


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    ports = dict.fromkeys(("ingest_port", "decision_port", "notify_port"), 0)
    async with Stack(
        {**ports, "allow_loopback_webhooks": True, "notice_coalesce_s": 0.2}, tmp_path_factory.mktemp("contract") / "data"
    ) as running:
        yield running


@pytest.fixture(scope="session")
async def clinics(stack: Stack) -> AsyncIterator[dict[str, Clinic]]:
    database = db.engine(stack.settings, pool_size=1)
    async with httpx.AsyncClient(timeout=60) as client:
        found = {}
        for tenant in ("north", "south", "generated"):
            async with database.begin() as conn:
                keys = {role: (await auth.create_key(conn, tenant, role, role))[1] for role in ROLES}
            found[tenant] = Clinic(tenant, stack, client, keys)
            await found[tenant].begin()
        yield found
    await database.dispose()


@pytest.fixture
def north(clinics: dict[str, Clinic]) -> Clinic:
    return clinics["north"]


@pytest.fixture
def south(clinics: dict[str, Clinic]) -> Clinic:
    return clinics["south"]


@dataclass(frozen=True)
class Operation:
    """One operation of a service's OpenAPI document."""

    service: str
    base: str
    method: str
    path: str

    @property
    def ends(self) -> bool:
        """Whether an answer ends by itself; the live stream does not, and is read by tests of its own."""
        return self.path != "/v1/stream"

    def url(self, names: dict[str, str]) -> str:
        return self.base + self.path.format(**names)


@pytest.fixture(scope="session")
async def operations(stack: Stack) -> list[Operation]:
    """Every operation of the three documents that needs a key."""
    found = []
    async with httpx.AsyncClient(timeout=60) as client:
        for service, base in (("ingest", stack.ingest_url), ("decision", stack.decision_url), ("notify", stack.notify_url)):
            document = (await client.get(f"{base}/openapi.json")).json()
            for path, methods in document["paths"].items():
                secured = [method for method, operation in methods.items() if operation.get("security")]
                found += [Operation(service, base, method.upper(), path) for method in secured]
                assert secured or path in ("/healthz", "/readyz", "/metrics"), f"{service} {path} needs no key"
    assert len(found) >= 20
    return found

"""A clinic whose people write, review and publish rule packs over HTTP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.lifecycle.office import Who
from services.decision.rules.library import SHIPPED
from services.decision.store.connection import borrowed
from shared.auth import create_key
from tests.integration.decision.feeding import until

SHIPPED_TEXT = (SHIPPED / "mil-knee-overuse.yaml").read_text()


def text_of(version: str, pack: str = "mil-knee-overuse", changes: Sequence[tuple[str, str]] = ()) -> str:
    """The shipped pack as another version; `changes` are texts to take the place of others."""
    text = SHIPPED_TEXT.replace("pack: mil-knee-overuse\n", f"pack: {pack}\n", 1)
    own = next(line for line in text.splitlines() if line.startswith("version:"))
    text = text.replace(own, f"version: {version}", 1)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


class Person:
    """Somebody with a key."""

    def __init__(self, client: httpx.AsyncClient, id: str, key: str) -> None:
        self.id = id
        self.client = client
        self.headers = {"Authorization": f"Bearer {key}"}

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = await self.client.post(path, json=body, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json()


class Clinic:
    """One tenant with two authors and two leads."""

    def __init__(self, app: FastAPI, engine: AsyncEngine, tenant: str, people: dict[str, Person]) -> None:
        self.app, self.engine = app, engine
        self.tenant = tenant
        self.ann, self.ben, self.lead, self.second = (people[name] for name in ("ann", "ben", "lead", "second"))
        self.client = self.ann.client

    async def reviewed(self, text: str, pack: str = "mil-knee-overuse") -> str:
        """The hash of the text, drafted by ann, checked, tested, backtested and in review."""
        hash = str((await self.ann.post("/v1/protocols", {"source": text}, 201))["revision"]["hash"])
        for step in ("check", "test"):
            found = await self.stepped(hash, step, pack)
            assert found["revision"][step]["ok"], found["revision"][step]
        await self.backtested(hash, pack)
        assert (await self.ann.post(f"/v1/protocols/{pack}/submit", {"hash": hash}))["state"] == "in_review"
        return hash

    async def stepped(self, hash: str, step: str, pack: str = "mil-knee-overuse", by: Person | None = None) -> dict[str, Any]:
        """The life of the pack after its checks or tests, however long these took."""
        person = by or self.ann
        asked = await self.client.post(f"/v1/protocols/{pack}/{step}", json={"hash": hash}, headers=person.headers)
        assert asked.status_code in (200, 202), asked.text
        run = asked.json().get("testing")

        async def ended() -> bool:
            return (await person.get(f"/v1/protocols/{pack}/tests/{run['id']}"))["state"] != "running"

        if run is not None:
            await until(ended, 90)
        found: dict[str, Any] = await person.get(f"/v1/protocols/{pack}/life")
        return found

    async def in_review(self, text: str, pack: str = "mil-knee-overuse") -> str:
        """The same without the work: for tests of what comes after."""
        hash = str((await self.ann.post("/v1/protocols", {"source": text}, 201))["revision"]["hash"])
        office, who = self.app.state.office, Who(self.ann.id, "author")
        async with borrowed(self.engine) as connection:
            base = await office.base(connection, self.tenant, pack)
            for kind, body in (("checked", {"ok": True}), ("tested", {"ok": True}), ("simulated", {}), ("submitted", {"base": base})):
                await office.note(connection, self.tenant, pack, who, kind, hash, {"regions": [], **body})
        return hash

    async def backtested(self, hash: str, pack: str = "mil-knee-overuse") -> dict[str, Any]:
        run = await self.ann.post(f"/v1/protocols/{pack}/backtests", {"hash": hash}, 202)

        async def ended() -> bool:
            return (await self.ann.get(f"/v1/protocols/{pack}/backtests/{run['id']}"))["state"] != "running"

        await until(ended, 90)
        found: dict[str, Any] = await self.ann.get(f"/v1/protocols/{pack}/backtests/{run['id']}")
        assert found["state"] == "done", found
        return found

    async def approved(self, text: str, pack: str = "mil-knee-overuse") -> str:
        hash = await self.in_review(text, pack)
        await self.lead.post(f"/v1/protocols/{pack}/approve", {"hash": hash})
        return hash

    async def published(self, text: str, pack: str = "mil-knee-overuse") -> str:
        hash = await self.approved(text, pack)
        assert (await self.lead.post(f"/v1/protocols/{pack}/publish", {"hash": hash}))["live"] == hash
        return hash


@asynccontextmanager
async def founded(app: FastAPI, engine: AsyncEngine, tenant: str) -> AsyncIterator[Clinic]:
    """A tenant with two authors, of whom ben may approve too, and two leads."""
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://decision", timeout=60))
        people = {}
        async with engine.begin() as conn:
            for name, role, more in (
                ("ann", "author", ()),
                ("ben", "clinician", ("protocols:write", "protocols:read", "protocols:approve")),
                ("lead", "clinician", ()),
                ("second", "admin", ()),
            ):
                record, key = await create_key(conn, tenant, role, name, more or None)
                people[name] = Person(client, record.id, key)
        yield Clinic(app, engine, tenant, people)

"""A subscriber on loopback: verifies every signature, notes every arrival, and now and then is unwell."""

from dataclasses import dataclass, field
from time import time
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.notify.sign import SignatureFault, read_secret, verify

UNWELL_EVERY = 17


@dataclass(frozen=True)
class Arrival:
    """A webhook as it was first heard."""

    id: str
    tenant: str
    type: str
    data: dict[str, Any]


@dataclass
class Receiver:
    """`async with Receiver() as receiver`. One path per tenant; `secrets` holds the tenant's webhook secret once it is known.

    Every seventeenth request is answered 503, so that deliveries are repeated too.
    """

    secrets: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """`webhook-id` to how often it was heard and answered 204."""
    first_heard: list[Arrival] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    """What could not be believed, and why."""
    requests: int = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{tenant}", self._hear)
        self._server = TestServer(app, host="127.0.0.1")
        await self._server.start_server()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.close()

    def url(self, tenant: str) -> str:
        return f"http://127.0.0.1:{self._server.port}/{tenant}"

    async def _hear(self, request: web.Request) -> web.Response:
        tenant, body = request.match_info["tenant"], await request.read()
        try:
            verify(read_secret(self.secrets[tenant]), request.headers, body, int(time()))
        except SignatureFault as fault:
            self.forged.append(f"{tenant}: {fault}")
            return web.Response(status=400)
        webhook = request.headers["webhook-id"]
        self.requests += 1
        if webhook not in self.counts:
            found = orjson.loads(body)
            self.first_heard.append(Arrival(webhook, tenant, found["type"], found["data"]))
            self.counts[webhook] = 0
        if self.requests % UNWELL_EVERY == 0:
            return web.Response(status=503)
        self.counts[webhook] += 1
        return web.Response(status=204)

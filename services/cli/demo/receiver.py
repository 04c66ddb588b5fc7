"""The demonstration's own webhook receiver: on loopback, verifying every signature, keeping what came."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from services.notify.sign import SignatureFault, read_secret, verify

_MOST_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as it came; `fault` says why its signature is not valid, None when it is."""

    id: str
    type: str
    data: dict[str, Any]
    fault: str | None


class Receiver:
    """`async with Receiver() as receiver`: listens at `url`. Set `secret` before the first delivery can come."""

    def __init__(self) -> None:
        self.deliveries: dict[str, Delivery] = {}
        """By `webhook-id`: a delivery that is repeated counts once."""
        self.refused: list[str] = []
        self.secret = ""
        self.url = ""
        self._came = asyncio.Condition()
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/webhooks", self._receive)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/webhooks"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        await self._runner.cleanup()

    async def until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Waits until it holds, asked anew after each delivery; whether it came to hold in time."""
        try:
            async with asyncio.timeout(within_s), self._came:
                await self._came.wait_for(holds)
        except TimeoutError:
            return False
        return True

    def has(self, decision: str) -> bool:
        """Whether a notice of the decision came."""
        return any(delivery.data.get("id") == decision for delivery in self.deliveries.values())

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        fault = None
        try:
            verify(read_secret(self.secret), request.headers, body, int(time.time()))
        except (SignatureFault, ValueError) as found:
            fault = str(found)
        try:
            message = json.loads(body)
            delivery = Delivery(request.headers["webhook-id"], str(message["type"]), dict(message["data"]), fault)
        except (ValueError, KeyError, TypeError):
            self.refused.append("a delivery that is no webhook message")
            return web.Response(status=400)
        async with self._came:
            self.deliveries[delivery.id] = delivery
            self._came.notify_all()
        return web.Response(status=401 if fault else 204)

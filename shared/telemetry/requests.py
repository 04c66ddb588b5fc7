"""Counts and logs requests by route template: never by path, which holds athlete ids, nor by query."""

from time import perf_counter
from typing import Final

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.telemetry.metrics import REQUEST_SECONDS, REQUESTS

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"

_log = structlog.get_logger("milepost.requests")


def install(app: FastAPI, service: str) -> None:
    """Measure every request of `app` under the name of `service`. Call it after `problems.install`, so that 500s are counted too."""
    app.add_middleware(_Measured, service=service)


class _Measured:
    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        begin = perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            took = perf_counter() - begin
            route = template(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            REQUESTS.labels(self._service, route, method, str(status)).inc()
            REQUEST_SECONDS.labels(self._service, route, method).observe(took)
            write = _log.warning if status >= 500 else _log.debug
            write("request answered", service=self._service, route=route, method=method, status=status, duration_ms=round(took * 1000, 2))


def template(scope: Scope) -> str:
    """The template of the route that answered, as in `/v1/courses/{course}`, or `unmatched`."""
    return getattr(scope.get("route"), "path", UNMATCHED)

"""`/healthz` (the process runs), `/readyz` (it can do its work) and `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.telemetry.metrics import REGISTRY

CHECK_LIMIT_S: Final = 2.0

Check = Callable[[], Awaitable[None]]
"""Returns when the thing is usable; raises `NotReady` with one sentence, or anything else, when not."""


class NotReady(Exception):
    """Why something cannot do its work now, in one sentence without addresses or secrets: it is shown to anybody who asks."""


def health_router(checks: Mapping[str, Check]) -> APIRouter:
    """The three routes. `/readyz` runs the named checks side by side, each for at most 2 s, and answers 503 naming those that failed."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="The process runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="The service can do its work", responses={503: {"description": "Not ready: `checks` says why"}})
    async def readyz() -> Response:
        outcomes = dict(zip(checks, await asyncio.gather(*(_outcome(check) for check in checks.values())), strict=True))
        ready = all(outcome == "ok" for outcome in outcomes.values())
        body = {"status": "ok" if ready else "unavailable", "checks": outcomes}
        return Response(orjson.dumps(body), 200 if ready else 503, None if ready else {"Retry-After": "1"}, "application/json")

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(REGISTRY), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


async def _outcome(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_LIMIT_S:g} s"
    except NotReady as reason:
        return str(reason)
    except Exception as error:
        return f"failed: {type(error).__name__}"
    return "ok"

"""Every fault of an app as a problem document: the app's own, FastAPI's validation, 404, 405, and what nobody foresaw."""

import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.problems.openapi import describe
from shared.problems.problem import Fault, Problem, found
from shared.telemetry.traces import frames

_log = structlog.get_logger("milepost.problems")

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WHERE = {"path": "path.", "query": "query.", "header": "header.", "cookie": "cookie.", "body": ""}


def install(app: FastAPI) -> None:
    """Make every refusal of `app` a problem document and describe them in its OpenAPI. Call it before `telemetry.install`."""
    app.add_exception_handler(Problem, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(_Unforeseen)
    describe(app)


async def _own(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return not_json("the body is not JSON").response()
    return Problem(
        422,
        "Request not valid",
        f"{len(faults)} fault{'s' if len(faults) != 1 else ''}; each is listed with its path and what was expected",
        "invalid-request",
        [_fault(fault) for fault in faults],
    ).response()


def not_json(detail: str) -> Problem:
    """The refusal of a body that cannot be read as JSON."""
    return Problem(400, "Not JSON", f"{detail}; send one JSON document in UTF-8 (RFC 8259)", "not-json")


def _fault(error: dict[str, Any]) -> Fault:
    return {
        "path": path_of(error["loc"]),
        "found": "absent" if error["type"] == "missing" else found(error.get("input")),
        "expected": _expected(error),
    }


def path_of(loc: Sequence[str | int]) -> str:
    """The path in the contract's form of a Pydantic or FastAPI location.

    >>> path_of(("body", "data", "flags", 0)), path_of(("query", "cursor")), path_of(("body",))
    ('data.flags[0]', 'query.cursor', '')
    """
    place, *rest = loc
    path = _WHERE.get(str(place), f"{place}.")
    for part in rest:
        path = f"{path.rstrip('.')}[{part}]" if isinstance(part, int) else f"{path}{part}."
    return path.rstrip(".")


def _expected(error: dict[str, Any]) -> str:
    if error["type"] == "missing":
        return "a value: this field is required"
    if error["type"] == "extra_forbidden":
        return "no such field"
    # Pydantic's sentences read "Input should be a valid integer"; what follows the verb is what was expected.
    message = str(error["msg"])
    return message.removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("Input should ")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, headers = error.status_code, dict(error.headers or {})
    if status == 404:
        problem = Problem(
            404,
            "Not found",
            "no such resource, or not one of your tenant; the routes are listed at /openapi.json",
            "not-found",
            headers=headers,
        )
    elif status == 405:
        allowed = headers["Allow"] = ", ".join(_methods(request))
        problem = Problem(
            405,
            "Method not allowed",
            f"this resource does not answer {request.method}; it answers {allowed}",
            "method-not-allowed",
            headers=headers,
        )
    else:
        title = HTTPStatus(status).phrase
        problem = Problem(status, title, str(error.detail), title.lower().replace(" ", "-").replace("'", ""), headers=headers)
    return problem.response()


def _methods(request: Request) -> list[str]:
    """Every method that the resource answers. Starlette names those of one route only, and a path may have several."""
    return [
        method for method in _METHODS if any(r.matches({**request.scope, "method": method})[0] is Match.FULL for r in request.app.routes)
    ]


class _Unforeseen:
    """Answers 500 with an incident id and logs where it happened, without the exception's text: that may quote an athlete's data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            incident = secrets.token_hex(8)
            _log.error("request failed", incident=incident, error=type(error).__name__, trace=frames(error))
            if begun:
                raise
            detail = f"an unforeseen fault; nothing was confirmed by this request, and it may be repeated. Report incident {incident}"
            problem = Problem(500, "Internal fault", detail, "internal-fault")
            await problem.response()(scope, receive, send)

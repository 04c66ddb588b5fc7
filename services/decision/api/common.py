"""What the routes share: who asks, where they read, pages, instants, ETags, refusals."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import Depends, Path, Query, Request, Response

from services.decision.cursors import Cursors
from services.decision.packs import Published
from services.decision.store.connection import Connection, borrowed, snapshot
from shared import db
from shared.auth import Principal, requires
from shared.events.forms import INSTANT_FORM, instant
from shared.problems import Problem
from shared.tenancy import see_only

PAGE: Final = 50
PAGE_LIMIT: Final = 200
JSON: Final = "application/json"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")

DecisionsReader = Annotated[Principal, Depends(requires("decisions:read"))]
RecommendationsReader = Annotated[Principal, Depends(requires("recommendations:read"))]
EventsReader = Annotated[Principal, Depends(requires("events:read"))]
ProtocolsReader = Annotated[Principal, Depends(requires("protocols:read"))]
ProtocolsWriter = Annotated[Principal, Depends(requires("protocols:write"))]
ClinicalLead = Annotated[Principal, Depends(requires("protocols:approve"))]
Clinician = Annotated[Principal, Depends(requires("clinical:write"))]

CourseId = Annotated[str, Path(description="The course's id")]
AthleteId = Annotated[str, Path(description="The athlete's id, as in `subject`")]
Cursor = Annotated[str | None, Query(description="`next` of the page before, with the same filters")]
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most items of the page")]
InstantText = Annotated[str | None, Query(description="RFC 3339 with offset; `+` is written `%2B` in an address")]

_T = TypeVar("_T")


@asynccontextmanager
async def reading(request: Request, tenant: str, packs: bool = False) -> AsyncIterator[Connection]:
    """A connection that reads this tenant's rows and no others, whatever is asked, as they stood when the block began.

    `packs`: `packs_now` will be asked for; they are every tenant's, and so taken in before. Answers 503 when the database does not.
    """
    async with _answering(), borrowed(request.app.state.engine) as connection, snapshot(connection):
        if packs:
            await refreshed(request, connection)
        await see_only(connection, tenant)
        yield connection


@asynccontextmanager
async def working(request: Request) -> AsyncIterator[Connection]:
    """A connection as the services' own role, for what a route writes and for what belongs to no tenant. Answers 503 as `reading`."""
    async with _answering(), borrowed(request.app.state.engine) as connection:
        yield connection


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except db.FAULTS as fault:
        detail = "history cannot be read now because the database does not answer; repeat the request after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "2"}) from fault


async def refreshed(request: Request, connection: Connection) -> Published:
    """The packs, with everything that was published until now; `connection` is not a tenant's."""
    packs: Published = request.app.state.packs
    await packs.refresh(connection)
    request.state.packs = packs
    return packs


def packs_now(request: Request) -> Published:
    """The packs as this request took them in."""
    packs: Published = request.state.packs
    return packs


def not_found(what: str) -> Problem:
    return Problem(404, "Not found", f"no such {what}, or not one of your tenant", "not-found")


def named(text: str, what: str) -> str:
    """An id out of the path. One that no event can carry is not found, rather than asked for."""
    if not text or len(text) > 200 or _CONTROL.search(text):
        raise not_found(what)
    return text


def moment_of(text: str | None, name: str) -> datetime | None:
    """The instant of a query parameter. Raises a 422 problem for anything but RFC 3339 with an offset."""
    if text is None:
        return None
    found = instant(text)
    if found is None:
        detail = f"{name} is not an instant; in an address, + is written %2B"
        raise Problem(422, "Request not valid", detail, "invalid-request", [{"path": f"query.{name}", "expected": INSTANT_FORM}])
    return found


def answer(body: Any, etag: str | None = None, request: Request | None = None) -> Response:
    """The body as JSON; with an `etag`, 304 without a body where the request's If-None-Match names it."""
    headers = {} if etag is None else {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if etag is not None and request is not None and _has(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(orjson.dumps(body), headers=headers, media_type=JSON)


def _has(header: str, etag: str) -> bool:
    return any(part.strip().removeprefix("W/") in ("*", f'"{etag}"') for part in header.split(","))


def page(
    request: Request,
    principal: Principal,
    listing: str,
    rows: Sequence[_T],
    limit: int,
    shown: Callable[[_T], Any],
    place: Callable[[_T], Sequence[Any]],
) -> Response:
    """A page of at most `limit` of the rows; one row more than that says that there is a next page."""
    items = rows[:limit]
    more = len(rows) > limit
    cursors: Cursors = request.app.state.cursors
    following = cursors.make(listing, principal.tenant, place(items[-1])) if more else None
    return answer({"items": [shown(row) for row in items], "next": following})


def place_of(request: Request, principal: Principal, listing: str, cursor: str | None) -> list[Any] | None:
    """Where the page before ended; None at the beginning."""
    if cursor is None:
        return None
    cursors: Cursors = request.app.state.cursors
    return cursors.read(cursor, listing, principal.tenant)

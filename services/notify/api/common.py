"""What the routes share: who asks, one transaction, ids, cursors, refusals."""

import base64
import binascii
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import orjson
from fastapi import Depends, Request

from services.notify.store import endpoints as rows
from services.notify.store.connection import Connection, bound, transaction
from services.notify.store.endpoints import Endpoint
from shared import db
from shared.auth import Principal, requires
from shared.events.forms import INSTANT_FORM, instant
from shared.problems import Fault, Problem

PAGE: Final = 20
PAGE_LIMIT: Final = 100


def not_for_coaches(principal: Principal) -> Principal:
    """The principal. Raises a 403 problem for a coach."""
    if principal.role == "coach":
        raise Problem(403, "Not for coaches", "a coach's key reads released recommendations and nothing else", "role-refused")
    return principal


def _reader(principal: Annotated[Principal, Depends(requires("endpoints:read"))]) -> Principal:
    return not_for_coaches(principal)


def _writer(principal: Annotated[Principal, Depends(requires("endpoints:write"))]) -> Principal:
    return not_for_coaches(principal)


def _clinician(principal: Annotated[Principal, Depends(requires("clinical:write"))]) -> Principal:
    return not_for_coaches(principal)


Reader = Annotated[Principal, Depends(_reader)]
Writer = Annotated[Principal, Depends(_writer)]
Clinician = Annotated[Principal, Depends(_clinician)]


@asynccontextmanager
async def stored(request: Request) -> AsyncIterator[Connection]:
    """One transaction, to write. Answers 503 when the database does not."""
    async with _answering(), transaction(request.app.state.engine) as connection:
        yield connection


@asynccontextmanager
async def shown_to(request: Request, tenant: str) -> AsyncIterator[Connection]:
    """What this tenant may see, and no row of another, whatever is asked. Answers 503 when the database does not."""
    async with _answering(), bound(request.app.state.engine, tenant) as connection:
        yield connection


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except db.FAULTS as fault:
        detail = "the database does not answer; repeat the request after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "2"}) from fault


async def endpoint_of(connection: Connection, principal: Principal, endpoint: str, lock: bool = False) -> Endpoint:
    """The tenant's endpoint. Raises a 404 problem. `lock`: nobody changes it until this transaction ends."""
    found = await rows.find(connection, principal.tenant, named(endpoint, "endpoint"), lock)
    if found is None:
        raise not_found("endpoint")
    return found


def sendable(endpoint: Endpoint) -> None:
    """Raises a 409 problem for an endpoint that nothing is sent to."""
    if endpoint.disabled_at is not None:
        detail = f"the endpoint was disabled ({endpoint.disabled_because}); mend the receiver, then PATCH it with enabled: true"
        raise Problem(409, "Endpoint disabled", detail, "endpoint-disabled")
    if endpoint.verified_at is None:
        detail = "it is not proved yet that the endpoint is yours: POST /v1/endpoints/{endpoint}/verify"
        raise Problem(409, "Endpoint not verified", detail, "endpoint-unverified")


def not_found(what: str) -> Problem:
    return Problem(404, "Not found", f"no such {what}, or not one of your tenant", "not-found")


def named(text: str, what: str) -> str:
    """An id out of the path. PostgreSQL would refuse NUL with an error instead of not finding it; our ids are plain ASCII."""
    if len(text) > 100 or not text.isascii() or not text.isprintable():
        raise not_found(what)
    return text


def moment_of(text: str, path: str) -> datetime:
    """The instant in a request. Raises a 422 problem for anything but RFC 3339 with an offset."""
    found = instant(text)
    if found is None:
        fault: Fault = {"path": path, "expected": INSTANT_FORM}
        raise Problem(422, "Request not valid", f"{path} is not an instant; in an address, + is written %2B", "invalid-request", [fault])
    return found


def fresh(prefix: str) -> str:
    """A new random id, 128 bits in base32 behind the prefix."""
    return prefix + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def utc_now() -> datetime:
    return datetime.now(UTC)


def cursor_of(moment: datetime, id_: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([moment.isoformat(), id_])).rstrip(b"=").decode()


def place_of(cursor: str | None) -> tuple[datetime, str] | None:
    """Where the page before ended. Raises a 400 problem."""
    if cursor is None:
        return None
    try:
        moment, id_ = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        place = datetime.fromisoformat(moment), named(id_, "place")
        if place[0].tzinfo is None:
            raise ValueError("an instant without an offset")
    except (UnicodeEncodeError, binascii.Error, ValueError, TypeError, AttributeError, Problem):
        detail = "this cursor was not made for this list: take `next` of the previous page, or begin without a cursor"
        raise Problem(
            400, "Cursor not valid", detail, "invalid-cursor", [{"path": "query.cursor", "expected": "a cursor of this list"}]
        ) from None
    return place

"""The routes of endpoints and deliveries. A coach's key has no business here; another tenant's endpoint does not exist."""

import base64
import binascii
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import asyncpg
import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from services.notify.forms import Asked, CreatedEndpoint, DeliveryPage, EndpointForm, EndpointList, NewEndpoint, State, shown
from services.notify.guard import Rules, UrlFault, check_url
from services.notify.notices import COACH_TYPES, TEST, TYPES, Notice, replaced_types
from services.notify.payloads import stored
from services.notify.sign import SecretFault, new_secret, read_secret
from services.notify.store import endpoints as rows, telling
from services.notify.store.connection import Connection, transaction
from services.notify.store.endpoints import Delivery, Endpoint
from services.notify.vault import Vault
from shared.auth import Principal, requires
from shared.problems import Fault, Problem, problem_responses

MOST_ENDPOINTS: Final = 100
PAGE: Final = 20
PAGE_LIMIT: Final = 100

router = APIRouter(tags=["webhooks"])


def _not_for_coaches(principal: Principal) -> Principal:
    if principal.role == "coach":
        raise Problem(403, "Not for coaches", "a coach's key reads released recommendations and nothing else", "role-refused")
    return principal


def _reader(principal: Annotated[Principal, Depends(requires("endpoints:read"))]) -> Principal:
    return _not_for_coaches(principal)


def _writer(principal: Annotated[Principal, Depends(requires("endpoints:write"))]) -> Principal:
    return _not_for_coaches(principal)


Reader = Annotated[Principal, Depends(_reader)]
Writer = Annotated[Principal, Depends(_writer)]


@router.post(
    "/v1/endpoints",
    status_code=201,
    summary="Create an endpoint",
    response_model=CreatedEndpoint,
    responses=problem_responses(400, 401, 403, 409, 413, 422, 503),
)
async def create(request: Request, response: Response, principal: Writer, asked: NewEndpoint) -> dict[str, Any]:
    """The answer holds the secret, this once. What happens from now on is told; what happened before is not."""
    rules: Rules = request.app.state.rules
    vault: Vault = request.app.state.vault
    _check(asked, rules)
    endpoint = Endpoint(
        "ep_" + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower(),
        principal.tenant,
        asked.url,
        asked.description,
        sorted(set(asked.types or ())),
        asked.payload,
        asked.role,
        datetime.now(UTC),
        None,
        None,
    )
    secret = asked.secret or new_secret()
    async with _store(request) as connection:
        if await rows.count(connection, principal.tenant) >= MOST_ENDPOINTS:
            raise Problem(
                409,
                "Too many endpoints",
                f"a tenant has at most {MOST_ENDPOINTS} endpoints; delete one that is not used",
                "too-many-endpoints",
            )
        await rows.create(connection, endpoint, vault.seal(secret, endpoint.tenant, endpoint.id))
    response.headers["Location"] = f"/v1/endpoints/{endpoint.id}"
    response.headers["Cache-Control"] = "no-store"
    return {**_endpoint(endpoint), "secret": secret}


@router.get("/v1/endpoints", summary="The tenant's endpoints", response_model=EndpointList, responses=problem_responses(401, 403, 503))
async def listed(request: Request, principal: Reader) -> dict[str, Any]:
    """Oldest first; at most 100, so there are no pages."""
    async with _store(request) as connection:
        return {"items": [_endpoint(endpoint) for endpoint in await rows.listed(connection, principal.tenant)]}


@router.get(
    "/v1/endpoints/{endpoint}", summary="One endpoint", response_model=EndpointForm, responses=problem_responses(401, 403, 404, 503)
)
async def one(request: Request, principal: Reader, endpoint: str) -> dict[str, Any]:
    async with _store(request) as connection:
        return _endpoint(await _found(connection, principal, endpoint))


@router.delete("/v1/endpoints/{endpoint}", status_code=204, summary="Delete an endpoint", responses=problem_responses(401, 403, 404, 503))
async def delete(request: Request, principal: Writer, endpoint: str) -> None:
    """What was pending is cancelled; what was sent stays in history."""
    async with _store(request) as connection:
        if not await rows.delete(connection, principal.tenant, _id(endpoint, "endpoint"), datetime.now(UTC)):
            raise _not_found("endpoint")


@router.post(
    "/v1/endpoints/{endpoint}/test",
    status_code=202,
    summary="Send a test notice",
    response_model=Asked,
    responses=problem_responses(401, 403, 404, 409, 503),
)
async def test(request: Request, principal: Writer, endpoint: str) -> dict[str, Any]:
    """Sends a notice of type `test`, signed and retried like any other, whatever types the endpoint has chosen."""
    now = datetime.now(UTC)
    async with _store(request) as connection:
        found = await _found(connection, principal, endpoint, share=True)
        _enabled(found)
        notice = "msg_" + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
        body = {"endpoint": found.id, "message": "Milepost reaches this endpoint."}
        kept = stored(Notice(TEST, None, None, body), now.isoformat())
        await rows.add_notice(connection, notice, principal.tenant, TEST, kept, now)
        (delivery,) = await telling.add_deliveries(connection, [(principal.tenant, found.id, notice, None)], now)
        await rows.wake(connection, found.id)
    return {"delivery": delivery, "notice": notice}


@router.get(
    "/v1/endpoints/{endpoint}/deliveries",
    summary="What was sent, byte for byte",
    response_model=DeliveryPage,
    responses=problem_responses(400, 401, 403, 404, 422, 503),
)
async def deliveries(
    request: Request,
    principal: Reader,
    endpoint: str,
    state: Annotated[State | None, Query(description="Only deliveries in this state")] = None,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before, with the same filter")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most deliveries of the page")] = PAGE,
) -> dict[str, Any]:
    """Newest first, each with all its attempts."""
    before = _place(cursor) if cursor is not None else None
    async with _store(request) as connection:
        found = await _found(connection, principal, endpoint)
        page = await rows.deliveries(connection, principal.tenant, found.id, limit + 1, before, state)
    items, more = page[:limit], len(page) > limit
    return {"items": [_delivery(item) for item in items], "next": _cursor(items[-1]) if more else None}


@router.post(
    "/v1/deliveries/{delivery}/resend",
    status_code=202,
    summary="Send again",
    response_model=Asked,
    responses=problem_responses(401, 403, 404, 409, 503),
)
async def resend(request: Request, principal: Writer, delivery: str) -> dict[str, Any]:
    """Sends the same notice under the same `webhook-id`, with the whole schedule before it. Refused with 409 when a newer notice of the
    course has taken its place: a receiver must not be told old advice last."""
    now = datetime.now(UTC)
    async with _store(request) as connection:
        found = await rows.standing(connection, principal.tenant, _id(delivery, "delivery"))
        if found is None:
            raise _not_found("delivery")
        _enabled(await _found(connection, principal, found.endpoint, share=True))
        if (newer := await _replaced_by(connection, found.id, found.type)) is not None:
            detail = f"the newer notice {newer} of the course replaces this one; resend that one"
            raise Problem(409, "Replaced by a newer notice", detail, "notice-replaced")
        await rows.reopen(connection, found.id, now)
        await rows.wake(connection, found.endpoint)
    return {"delivery": found.id, "notice": found.notice}


async def _replaced_by(connection: Connection, delivery: str, kind: str) -> str | None:
    for later in await rows.later(connection, delivery):
        if kind in replaced_types(later.type, orjson.loads(later.kept)["body"].get("urgency")):
            return later.id
    return None


@asynccontextmanager
async def _store(request: Request) -> AsyncIterator[Connection]:
    """One transaction. Answers 503 when the database does not."""
    try:
        async with transaction(request.app.state.engine) as connection:
            yield connection
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as fault:
        detail = "the database does not answer; repeat the request after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "2"}) from fault


def _check(asked: NewEndpoint, rules: Rules) -> None:
    faults: list[Fault] = []
    try:
        check_url(asked.url, rules)
    except UrlFault as fault:
        faults.append({"path": "url", "expected": fault.expected})
    if asked.role == "coach" and (refused := sorted(set(asked.types or ()) - set(COACH_TYPES))):
        faults.append({"path": "types", "found": ", ".join(refused), "expected": f"for role coach, some of {', '.join(COACH_TYPES)}"})
    if asked.secret is not None:
        try:
            read_secret(asked.secret)
        except SecretFault as fault:
            faults.append({"path": "secret", "expected": str(fault).removeprefix("expected ")})
    if faults:
        raise Problem(422, "Request not valid", "the endpoint cannot be created as it is; `faults` says why", "invalid-request", faults)


async def _found(connection: Connection, principal: Principal, endpoint: str, share: bool = False) -> Endpoint:
    found = await rows.find(connection, principal.tenant, _id(endpoint, "endpoint"), share)
    if found is None:
        raise _not_found("endpoint")
    return found


def _enabled(endpoint: Endpoint) -> None:
    if endpoint.disabled_at is not None:
        detail = f"the endpoint was disabled ({endpoint.disabled_because}); delete it and create it anew"
        raise Problem(409, "Endpoint disabled", detail, "endpoint-disabled")


def _not_found(what: str) -> Problem:
    return Problem(404, "Not found", f"no such {what}, or not one of your tenant", "not-found")


def _id(text: str, what: str) -> str:
    # Our ids are plain ASCII; PostgreSQL would refuse NUL with an error instead of not finding it.
    if len(text) > 100 or not text.isascii() or not text.isprintable():
        raise _not_found(what)
    return text


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    allowed = COACH_TYPES if endpoint.role == "coach" else TYPES
    return {**endpoint._asdict(), "types": endpoint.types or sorted(allowed)}


def _delivery(delivery: Delivery) -> dict[str, Any]:
    attempts = [
        {
            **attempt._asdict(),
            "request_body": shown(attempt.request_body),
            "response_body": shown(attempt.response_body) if attempt.response_body is not None else None,
        }
        for attempt in delivery.attempts
    ]
    return {**delivery._asdict(), "attempts": attempts}


def _cursor(last: Delivery) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([last.created_at.isoformat(), last.id])).rstrip(b"=").decode()


def _place(cursor: str) -> tuple[datetime, str]:
    try:
        moment, delivery = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        place = datetime.fromisoformat(moment), _id(delivery, "delivery")
        if place[0].tzinfo is None:
            raise ValueError("an instant without an offset")
    except (UnicodeEncodeError, binascii.Error, ValueError, TypeError, AttributeError, Problem):
        detail = "this cursor was not made for this list: take `next` of the previous page, or begin without a cursor"
        raise Problem(
            400, "Cursor not valid", detail, "invalid-cursor", [{"path": "query.cursor", "expected": "a cursor of this list"}]
        ) from None
    return place

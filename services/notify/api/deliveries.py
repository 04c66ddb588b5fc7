"""The routes of deliveries: what was sent, byte for byte; sending again; and proving that an endpoint is its owner's."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request

from services.notify import keys
from services.notify.api.common import (
    PAGE,
    PAGE_LIMIT,
    Reader,
    Writer,
    cursor_of,
    endpoint_of,
    moment_of,
    named,
    not_found,
    place_of,
    sendable,
    shown_to,
    stored,
    utc_now,
)
from services.notify.api.forgotten import leaving, page_without, refuse_leaving
from services.notify.api.forms import Asked, Challenge, DeliveryPage, NoticeType, State, Verification, shown
from services.notify.attempt import attempt
from services.notify.client import Client
from services.notify.notices import VERIFICATION, Notice, replaced_types
from services.notify.payloads import rendered
from services.notify.settle import attempt_of
from services.notify.store import endpoints as rows, sending, telling
from services.notify.store.connection import Connection
from services.notify.store.endpoints import Delivery, Endpoint
from services.notify.store.sending import Settled
from services.notify.store.telling import Telling
from shared.problems import Fault, Problem, problem_responses

router = APIRouter(tags=["webhooks"])

VERIFY_WITHIN_S = 10.0


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
    type: Annotated[NoticeType | None, Query(description="Only notices of this type")] = None,
    course: Annotated[str | None, Query(max_length=200, description="Only notices of this course")] = None,
    since: Annotated[str | None, Query(max_length=64, description="Only what was made from then on; RFC 3339 with offset")] = None,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before, with the same filter")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most deliveries of the page")] = PAGE,
) -> dict[str, Any]:
    """Newest first, each with all its attempts; nothing of an athlete who asked to be erased."""
    before = place_of(cursor)
    begin = None if since is None else moment_of(since, "query.since")
    if course is not None and "\0" in course:
        raise not_found("course")
    async with shown_to(request, principal.tenant) as connection:
        found = await endpoint_of(connection, principal, endpoint)

        async def behind(place: tuple[datetime, str] | None) -> list[Delivery]:
            return await rows.deliveries(connection, principal.tenant, found.id, limit + 1, place, state, type, course, begin)

        gone = await leaving(request, connection, principal.tenant)
        page = await page_without(gone, behind, before, limit + 1, lambda one: one.athlete, lambda one: (one.created_at, one.id))
    items, more = page[:limit], len(page) > limit
    return {"items": [_delivery(item) for item in items], "next": cursor_of(items[-1].created_at, items[-1].id) if more else None}


@router.post(
    "/v1/deliveries/{delivery}/resend",
    status_code=202,
    summary="Send again",
    response_model=Asked,
    responses=problem_responses(401, 403, 404, 409, 410, 503),
)
async def resend(request: Request, principal: Writer, delivery: str) -> dict[str, Any]:
    """Sends the same notice under the same `webhook-id`, with the whole schedule before it. Refused with 409 when a newer notice of the
    course has taken its place: a receiver must not be told old advice last."""
    async with stored(request) as connection:
        found = await rows.standing(connection, principal.tenant, named(delivery, "delivery"))
        if found is None:
            raise not_found("delivery")
        await refuse_leaving(request, connection, principal.tenant, found.athlete)
        sendable(await endpoint_of(connection, principal, found.endpoint, lock=True))
        if (newer := await _replaced_by(connection, found.id, found.type)) is not None:
            detail = f"the newer notice {newer} of the course replaces this one; resend that one"
            raise Problem(409, "Replaced by a newer notice", detail, "notice-replaced")
        await rows.reopen(connection, [found.id], utc_now())
        await rows.wake(connection, found.endpoint)
    return {"delivery": found.id, "notice": found.notice}


@router.post(
    "/v1/endpoints/{endpoint}/verify",
    summary="Prove that the endpoint is yours",
    response_model=Verification,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503),
)
async def verify(request: Request, principal: Writer, endpoint: str, asked: Challenge | None = None) -> dict[str, Any]:
    """Sends a signed notice of type `endpoint.verification` and waits up to 10 s: a 2xx answer whose body holds `data.challenge` proves it.
    A receiver that cannot answer so shows the challenge in its log: post it here as `challenge`."""
    now = utc_now()
    async with stored(request) as connection:
        found = await endpoint_of(connection, principal, endpoint)
        secret, retired, until = await rows.keys(connection, principal.tenant, found.id)
    if found.disabled_at is not None:
        sendable(found)
    vault = request.app.state.vault
    challenge = vault.challenge(found.tenant, found.id, found.url)
    if found.verified_at is not None:
        return {"verified": True, "status": None, "error": None}
    if asked is not None and asked.challenge is not None:
        if asked.challenge != challenge:
            fault: Fault = {"path": "challenge", "expected": "the challenge that was sent to this endpoint at its present URL"}
            raise Problem(422, "Request not valid", "the challenge is not the one that was sent", "invalid-request", [fault])
        await _proved(request, found)
        return {"verified": True, "status": None, "error": None}
    body = {"endpoint": found.id, "challenge": challenge, "message": "Answer 200 with the challenge in the body."}
    said = Telling(found.tenant, Notice(VERIFICATION, None, None, body), now.isoformat(), f"{found.id} {now.isoformat()}")
    signing = keys.opened(vault, found.tenant, found.id, secret, retired, until, now)
    content = rendered(said.record, "thin", found.role)
    async with Client(request.app.state.rules, VERIFY_WITHIN_S) as client:
        answer = await attempt(client, request.app.state.rules, found.url, said.id, signing, content, utc_now)
    echoed = answer.outcome == "delivered" and challenge.encode() in (answer.response_body or b"")
    error = answer.error if answer.outcome != "delivered" or echoed else "the answer does not hold the challenge"
    async with stored(request) as connection:
        await telling.in_line(connection)
        delivery = await telling.tell_one(connection, said, found.id, now)
        settled = Settled(delivery, "delivered" if echoed else "exhausted", error, 1, None, utc_now())
        await sending.record(connection, [attempt_of(delivery, 1, found.tenant, answer, content)], [settled])
    if echoed:
        await _proved(request, found)
    return {"verified": echoed, "status": answer.status, "error": error}


async def _proved(request: Request, endpoint: Endpoint) -> None:
    async with stored(request) as connection:
        now = await rows.find(connection, endpoint.tenant, endpoint.id, lock=True)
        # Only what was asked about is proved: the URL may have changed meanwhile.
        if now is not None and now.url == endpoint.url:
            await rows.change(connection, endpoint.tenant, endpoint.id, {"verified_at": utc_now()})
            await rows.wake(connection, endpoint.id)


async def _replaced_by(connection: Connection, delivery: str, kind: str) -> str | None:
    for later in await rows.later(connection, delivery):
        if kind in replaced_types(later.type, orjson.loads(later.kept)["body"].get("urgency")):
            return later.id
    return None


_WITHHELD = b"(not shown: it holds the challenge, which only the receiver may know)"


def _delivery(delivery: Delivery) -> dict[str, Any]:
    secret = delivery.type == VERIFICATION
    attempts = [
        {
            **attempt._asdict(),
            "request_body": shown(_WITHHELD if secret else attempt.request_body),
            "response_body": shown(_WITHHELD if secret else attempt.response_body) if attempt.response_body is not None else None,
        }
        for attempt in delivery.attempts
    ]
    named = {name: value for name, value in delivery._asdict().items() if name != "athlete"}
    return {**named, "attempts": attempts}

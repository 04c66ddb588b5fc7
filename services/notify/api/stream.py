"""The live stream: notices as server-sent events, resumable, in the form that the key's role may have."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import StreamingResponse

from services.notify import measures
from services.notify.api.common import named, shown_to, utc_now
from services.notify.api.forgotten import Leaving, leaving
from services.notify.notices import ALWAYS_TYPES
from services.notify.payloads import rendered
from services.notify.release import Reader, Told, judged
from services.notify.store import notices, policies
from services.notify.store.connection import bound
from services.notify.store.notices import Said
from services.notify.watch import Watch
from shared import db
from shared.auth import KeyRefused, Principal, find_principal, requires
from shared.problems import Problem, problem_responses

HEARTBEAT_S: Final = 15.0
TOGETHER: Final = 200
MOST_STREAMS: Final = 500

router = APIRouter(tags=["stream"])

Listener = Annotated[Principal, Depends(requires("recommendations:read"))]


@router.get(
    "/v1/stream",
    summary="Notices as they are made, as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **problem_responses(400, 401, 403, 503)},
)
async def stream(
    request: Request,
    principal: Listener,
    last_event_id: Annotated[str | None, Header(description="The `id` of the last event seen")] = None,
) -> StreamingResponse:
    """`id` is the `webhook-id`, `event` the type, `data` the thin payload. With `Last-Event-ID` it goes on behind that event, however long
    ago; without, it begins now. Nothing of an athlete who asked to be erased. A coach's key gets what a coach's endpoint would."""
    if measures.STREAMS._value.get() >= MOST_STREAMS:
        detail = f"{MOST_STREAMS} streams are open already; try again after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "30"})
    async with shown_to(request, principal.tenant) as connection:
        start = await notices.latest_of(connection, principal.tenant)
        if last_event_id:
            found = await notices.position_of(connection, principal.tenant, _id(last_event_id))
            if found is None:
                raise _unknown_place()
            start = found
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request, principal, start), media_type="text/event-stream", headers=headers)


async def _events(request: Request, principal: Principal, position: int) -> AsyncIterator[bytes]:
    """Ends when the key is not good any more or the database does not answer: whoever listens connects again and goes on."""
    watch: Watch = request.app.state.watch
    key = request.headers["authorization"].partition(" ")[2]
    measures.STREAMS.inc()
    try:
        yield b"retry: 2000\n\n"
        async with watch.listening() as news:
            while True:
                news.clear()
                async with bound(request.app.state.engine, principal.tenant) as connection:
                    policy = (await policies.of(connection, [principal.tenant]))[principal.tenant]
                    said = await notices.after(connection, principal.tenant, position, TOGETHER)
                    gone = await leaving(request, connection, principal.tenant)
                reader = Reader(principal.role, release=policy.coach_release)
                for one in said:
                    position = one.position
                    if (event := _event(reader, one, gone)) is not None:
                        yield event
                if len(said) == TOGETHER:
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await news.wait()
                except TimeoutError:
                    async with request.app.state.engine.begin() as connection:
                        await find_principal(connection, key, utc_now())
                    yield b": still here\n\n"
    except (KeyRefused, *db.FAULTS):
        return
    finally:
        measures.STREAMS.dec()


def _event(reader: Reader, said: Said, gone: Leaving) -> bytes | None:
    record: dict[str, Any] = orjson.loads(said.kept)
    if gone.has(record.get("subject")):
        return None
    verdict = judged(reader, record)
    if not isinstance(verdict, Told) or record["type"] in ALWAYS_TYPES:
        return None
    body = rendered(record, "thin", reader.role, verdict.form)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (said.id.encode(), record["type"].encode(), body)


def _id(text: str) -> str:
    try:
        return named(text, "event")
    except Problem:
        raise _unknown_place() from None


def _unknown_place() -> Problem:
    detail = "no event by this Last-Event-ID was ever in this stream: leave the header out to begin now"
    return Problem(400, "Place not known", detail, "unknown-place", [{"path": "header.Last-Event-ID", "expected": "an id of this stream"}])

"""`POST /v1/events`: one event, a batch, or one per line; answered once everything accepted is on disk on the bus."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request, Response

from services.ingest.api.documents import EVENTS_BODY, EVENTS_RESPONSES
from services.ingest.body import lines, whole
from services.ingest.formats.cloudevents import BATCH, LINES, STRUCTURED, Mode, binary, is_binary, mode_of
from services.ingest.intake import Outcome
from services.ingest.reception import Reception, answer, refusal
from shared.auth import Principal, requires
from shared.documents import NotJson, load
from shared.events import EventFault
from shared.problems import Problem, problem_responses
from shared.settings import Settings

router = APIRouter(tags=["events"])

DESCRIPTION: Final = """\
Takes CloudEvents 1.0: structured (`application/cloudevents+json`, or the same as `application/json`), binary (`ce-` headers and
`application/json`), a batch (`application/cloudevents-batch+json`), or one event per line (`application/x-ndjson`). The body may be gzip.

**202** comes only once every accepted event is on disk on the bus. In a batch each event has its own outcome; faulty ones are rejected with
path and reason and leave their neighbours alone; 422 only when none was taken. An event sent again is a `duplicate` and takes no effect.
What needs the athlete's course is judged later: read `GET /v1/events/{source}/{id}` at decision.

`by` is filled from the key: `role` is the key's role, `id` is `key:<key id>` unless the sender names a person by an id of its own; another
role, another key's id, or a key without `clinical:write` is 403. `start_step` needs `clinical:write` too. A correction of a clearance, an
answer or an adjustment is held to the same, by the fields `by`, `gate`, `answer`, `limits` and `until` of its `data.data`."""


@router.post(
    "/v1/events",
    status_code=202,
    summary="Send events",
    description=DESCRIPTION,
    responses=EVENTS_RESPONSES | problem_responses(400, 401, 403, 408, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": EVENTS_BODY},
)
async def send_events(request: Request, principal: Annotated[Principal, Depends(requires("events:write"))]) -> Response:
    settings: Settings = request.app.state.settings
    reception: Reception = request.app.state.reception
    headers = request.headers.items()
    mode = mode_of(request.headers.get("content-type", ""), is_binary(headers))
    match mode:
        case None:
            raise _not_read()
        case "lines":
            return _many(await reception.lines(principal, lines(request, settings.max_event_bytes)))
        case "batch":
            raws = _json(await whole(request, settings.max_body_bytes))
            if not isinstance(raws, list):
                raise Problem(422, "Event refused", f"a batch is a JSON list of events; send one event as {STRUCTURED}", "event-refused")
            return _many(await reception.many(principal, raws))
        case _:
            body = await whole(request, settings.max_body_bytes)
            return _one(await reception.one(principal, _event(mode, headers, body)))


def _event(mode: Mode, headers: Sequence[tuple[str, str]], body: bytes) -> Any:
    if mode == "structured":
        return _json(body)
    try:
        return binary(headers, body)
    except EventFault as fault:
        raise refusal(422, fault.faults) from None
    except NotJson as fault:
        raise _not_json(fault) from None


def _json(body: bytes) -> Any:
    try:
        return load(body)
    except NotJson as fault:
        raise _not_json(fault) from None


def _one(outcome: Outcome) -> Response:
    if outcome.outcome == "rejected":
        raise refusal(outcome.status, outcome.faults)
    return _answered(202, answer([outcome]))


def _many(outcomes: list[Outcome]) -> Response:
    document = answer(outcomes)
    if outcomes and document["rejected"] == len(outcomes):
        problem = Problem(422, "Events refused", "none of the events was accepted; each outcome says why", "events-refused")
        return Response(orjson.dumps(problem.body() | document), 422, media_type="application/problem+json")
    return _answered(202, document)


def _answered(status: int, document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def _not_json(fault: NotJson) -> Problem:
    return Problem(400, "Not JSON", f"the body is not JSON: {fault}; send JSON in UTF-8 (RFC 8259)", "not-json")


def _not_read() -> Problem:
    detail = f"the Content-Type is not read here; send {STRUCTURED}, {BATCH}, {LINES}, or application/json, in UTF-8"
    return Problem(
        415, "Media type not supported", detail, "media-type-not-supported", headers={"Accept-Post": f"{STRUCTURED}, {BATCH}, {LINES}"}
    )

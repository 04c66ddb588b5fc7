"""What became of an event."""

from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Request, Response

from services.decision.api import forms
from services.decision.api.common import EventsReader, answer, named, not_found, reading
from services.decision.api.forgotten import refuse_erased
from services.decision.api.moments import Moment
from services.decision.arrivals import moment as instant_of, stamp
from services.decision.store import moments, reads
from services.decision.store.moments import When
from shared.problems import problem_responses

router = APIRouter(tags=["events"])

PREFIX = "/v1/events/"


@router.get(
    "/v1/events/{source:path}/{id}",
    summary="What became of an event: accepted, refused or parked, and the decisions it made",
    response_model=forms.EventForm,
    responses=problem_responses(401, 403, 404, 410, 422, 503),
)
async def event(request: Request, source: str, id: str, principal: EventsReader, moment: Moment) -> Response:
    """`source` and `id` are percent-encoded each as one segment. 404 while the worker has not stored the event yet."""
    source, id = (named(part, "event") for part in _parts(request, source, id))
    async with reading(request, principal.tenant) as connection:
        found = await reads.event(connection, principal.tenant, source, id)
        if found is not None and not moment.is_now:
            became = await moments.outcome(connection, principal.tenant, source, id, moment)
            found = None if became is None else found._replace(status=became[0], path=became[1], reason=became[2])
        if found is None:
            raise not_found("event")
        await refuse_erased(request, connection, principal.tenant, found.athlete)
        made = await reads.decisions_by(connection, principal.tenant, source, id)
        others = await reads.conflicts(connection, principal.tenant, source, id)
    return answer(
        {
            "source": found.source,
            "id": found.id,
            "type": found.type,
            "subject": found.athlete,
            "status": found.status,
            "path": found.path,
            "reason": found.reason,
            "time": stamp(found.time),
            "recordedtime": stamp(found.recorded_at),
            "seq": found.seq,
            "decisions": [_named_decision(one) for one in map(orjson.loads, made) if _was(one["as_of"], one["as_at"], moment)],
            "conflicts": [
                {"digest": f"sha256:{digest.hex()}", "recordedtime": stamp(when)}
                for digest, when in others
                if moment.as_at is None or when <= moment.as_at
            ],
            "event": _json(found.body),
        }
    )


def _was(as_of: str, as_at: str, moment: When) -> bool:
    """Whether a decision was true and known by then."""
    true = moment.as_of is None or instant_of(as_of) <= moment.as_of
    return true and (moment.as_at is None or instant_of(as_at) <= moment.as_at)


def _parts(request: Request, source: str, id: str) -> tuple[str, str]:
    """Source and id as they were sent: once decoded, a slash within them cannot be told from the one between."""
    raw = request.scope.get("raw_path")
    if not isinstance(raw, bytes):
        return source, id
    path = raw.split(b"?", 1)[0].decode("ascii", "replace")
    _, prefix, rest = path.partition(PREFIX)
    first, slash, last = rest.rpartition("/")
    return (unquote(first), unquote(last)) if prefix and slash else (source, id)


def _named_decision(decision: dict[str, Any]) -> dict[str, Any]:
    return {name: decision[name] for name in ("course", "seq", "id", "action", "to_step", "hash")}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None

"""An athlete's right to be forgotten: asked for here, carried out by the eraser, and followed by the same address.

What was sent before and history has not yet is known by the bus: an erasure right behind a first event finds it there.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.decision.api.answers import publish
from services.decision.api.common import JSON, AthleteId, answer, named, not_found, reading
from services.decision.api.forgotten import pseudonym_of
from services.decision.api.forms import Shape
from services.decision.arrivals import stamp
from services.decision.forgetting import erasure_event
from services.decision.store import erasures, exports
from services.decision.store.connection import Connection
from services.decision.store.erasures import Erasure
from services.decision.store.remains import ERASED, SOURCE
from shared.auth import Principal, requires
from shared.bus import EVENTS, Bus, BusError, event_subject
from shared.placing import is_reserved, partition
from shared.problems import Problem, problem_responses

router = APIRouter(tags=["athletes"])

_LATER: Final = {"erased_at": None, "scrubbed_at": None}
MayErase = Annotated[Principal, Depends(requires("athletes:erase"))]


class ErasureForm(BaseModel):
    """Why, in one of a few words; `reference` names the request elsewhere. Neither may name the athlete: this stays in history."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal["requested_by_athlete", "consent_withdrawn", "retention_ended", "ordered"]
    reference: str | None = Field(None, pattern=r"^[A-Za-z0-9._:/-]{1,64}$")


class ErasureState(Shape):
    """`not_requested`: the athlete is known, and nothing else is told. `requested`: not yet carried out. `erased`: nothing of the athlete
    can be read. `scrubbed`: no old byte is left on the disks.
    """

    state: Literal["not_requested", "requested", "erased", "scrubbed"]
    pseudonym: str | None = None
    requested_at: str | None = None
    erased_at: str | None = None
    scrubbed_at: str | None = None
    reason: str | None = None
    reference: str | None = None
    by: dict[str, Any] | None = None


@router.post(
    "/v1/athletes/{athlete}/erasure",
    summary="Forget the athlete, for good",
    status_code=202,
    response_model=ErasureState,
    responses=problem_responses(400, 401, 403, 404, 422, 503),
)
async def ask(request: Request, athlete: AthleteId, principal: MayErase, form: ErasureForm) -> Response:
    """202 once the request is on disk on the bus, in order behind everything that was sent before, also what history has not yet. From then
    on the athlete's events are refused; the key is destroyed and everything removed within seconds. It cannot be undone. Asked again, it
    answers how far it is. 404 where nothing was ever accepted of such an athlete: there is nothing to forget.
    """
    tenant, athlete = principal.tenant, named(athlete, "athlete")
    name = pseudonym_of(request, tenant, athlete)
    async with reading(request, tenant) as connection:
        found = await erasures.of(connection, tenant, name)
        nobody = found is None and await _is_nobody(connection, tenant, athlete)
        known = await exports.is_known(connection, tenant, athlete)
    if found is not None:
        return Response(orjson.dumps(_state(found)), 202, media_type=JSON)
    if nobody or (not known and await _last_sent(request, tenant, athlete) is None):
        raise not_found("athlete")
    at = stamp(datetime.now(UTC))
    data: dict[str, Any] = {"reason": form.reason, "by": {"id": principal.key_id, "role": principal.role}}
    if form.reference is not None:
        data["reference"] = form.reference
    await publish(request, tenant, athlete, erasure_event(tenant, name, data, at))
    asked = {"state": "requested", "pseudonym": name, "requested_at": at, **_LATER, **data}
    return Response(orjson.dumps(asked), 202, media_type=JSON)


@router.get(
    "/v1/athletes/{athlete}/erasure",
    summary="How far the erasure is",
    response_model=ErasureState,
    responses=problem_responses(401, 403, 404, 503),
)
async def state(request: Request, athlete: AthleteId, principal: MayErase) -> Response:
    """`requested` as soon as the request was taken, unless later events stand behind it: then once history has it, which takes moments."""
    tenant, athlete = principal.tenant, named(athlete, "athlete")
    async with reading(request, tenant) as connection:
        found = await erasures.of(connection, tenant, pseudonym_of(request, tenant, athlete))
        nobody = found is None and await _is_nobody(connection, tenant, athlete)
        known = await exports.is_known(connection, tenant, athlete)
    if found is not None:
        return answer(_state(found))
    last = None if nobody else await _last_sent(request, tenant, athlete)
    if nobody or (last is None and not known):
        raise not_found("athlete")
    return answer(_asked(last) or {"state": "not_requested"})


async def _is_nobody(connection: Connection, tenant: str, athlete: str) -> bool:
    """Whether the name is of no athlete: under a pseudonym stands the record of an erasure, and without that no service starts."""
    return is_reserved(athlete) or await erasures.of(connection, tenant, athlete) is not None


async def _last_sent(request: Request, tenant: str, athlete: str) -> bytes | None:
    """The last that was accepted of the athlete, while the bus keeps it."""
    bus: Bus = request.app.state.bus
    try:
        return await bus.last_of(EVENTS, event_subject(partition(tenant, athlete), pseudonym_of(request, tenant, athlete)))
    except BusError as fault:
        detail = "whether anything was sent of the athlete cannot be told because the bus does not answer; repeat the request"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "2"}) from fault


def _asked(message: bytes | None) -> dict[str, Any] | None:
    """The state of a request that history does not have yet."""
    try:
        event = orjson.loads(message or b"null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict) or event.get("type") != ERASED or event.get("source") != SOURCE:
        return None
    return {"state": "requested", "pseudonym": event["subject"], "requested_at": event["time"], **_LATER, **event["data"]}


def _state(found: Erasure) -> dict[str, Any]:
    data = orjson.loads(found.event)["data"]
    moments = {name: getattr(found, name) for name in ("requested_at", "erased_at", "scrubbed_at")}
    told = {name: None if at is None else stamp(at) for name, at in moments.items()}
    return {"state": found.state, "pseudonym": found.pseudonym, **told, **data}

"""An athlete's right to be forgotten: asked for here, carried out by the eraser, and followed by the same address."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.decision.api.answers import publish
from services.decision.api.common import JSON, AthleteId, answer, named, not_found, reading
from services.decision.api.forgotten import pseudonym_of
from services.decision.api.forms import Shape
from services.decision.arrivals import stamp
from services.decision.forgetting import erasure_event
from services.decision.store import erasures, reads
from services.decision.store.connection import Connection
from services.decision.store.erasures import Erasure
from shared.auth import Principal, requires
from shared.placing import is_reserved
from shared.problems import problem_responses

router = APIRouter(tags=["athletes"])

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
    """202 once the request is on disk on the bus, in order behind everything that was sent before. From then on the athlete's events are
    refused; the key is destroyed and everything removed within seconds. It cannot be undone. Asked again, it answers how far it is.
    """
    tenant, athlete = principal.tenant, named(athlete, "athlete")
    name = pseudonym_of(request, tenant, athlete)
    async with reading(request) as connection:
        found = await erasures.of(connection, tenant, name)
        if found is None and not await _is_known(connection, tenant, athlete):
            raise not_found("athlete")
    if found is not None:
        return Response(orjson.dumps(_state(found)), 202, media_type=JSON)
    at = stamp(datetime.now(UTC))
    data: dict[str, Any] = {"reason": form.reason, "by": {"id": principal.key_id, "role": principal.role}}
    if form.reference is not None:
        data["reference"] = form.reference
    await publish(request, tenant, athlete, erasure_event(tenant, name, data, at))
    asked = {"state": "requested", "pseudonym": name, "requested_at": at, "erased_at": None, "scrubbed_at": None, **data}
    return Response(orjson.dumps(asked), 202, media_type=JSON)


@router.get(
    "/v1/athletes/{athlete}/erasure",
    summary="How far the erasure is",
    response_model=ErasureState,
    responses=problem_responses(401, 403, 404, 503),
)
async def state(request: Request, athlete: AthleteId, principal: MayErase) -> Response:
    """`not_requested` as well while history does not have the request yet, which takes moments."""
    athlete = named(athlete, "athlete")
    async with reading(request) as connection:
        found = await erasures.of(connection, principal.tenant, pseudonym_of(request, principal.tenant, athlete))
        if found is None and not await reads.knows_athlete(connection, principal.tenant, athlete):
            raise not_found("athlete")
    return answer({"state": "not_requested"} if found is None else _state(found))


async def _is_known(connection: Connection, tenant: str, athlete: str) -> bool:
    """Whether it is an athlete: under a pseudonym stands the record of an erasure, and without that no service starts."""
    if is_reserved(athlete) or await erasures.of(connection, tenant, athlete) is not None:
        return False
    return await reads.knows_athlete(connection, tenant, athlete)


def _state(found: Erasure) -> dict[str, Any]:
    data = orjson.loads(found.event)["data"]
    moments = {name: getattr(found, name) for name in ("requested_at", "erased_at", "scrubbed_at")}
    told = {name: None if at is None else stamp(at) for name, at in moments.items()}
    return {"state": found.state, "pseudonym": found.pseudonym, **told, **data}

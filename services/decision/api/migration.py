"""A clinician lets a course go on under another version of its protocol, or under another protocol."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.decision.api import forms
from services.decision.api.answers import publish
from services.decision.api.common import JSON, Clinician, CourseId, packs_now, reading
from services.decision.api.courses import course_of, standing
from services.decision.arrivals import MIGRATED, moment, stamp
from services.decision.core.protocol import Protocol
from services.decision.store.reads import ENDED
from shared.events import EventFault, canonical, parse
from shared.problems import Fault, Problem, problem_responses

router = APIRouter(tags=["courses"])

SOURCE = "urn:milepost:migrations"


class MigrationForm(BaseModel):
    """`protocol` as `id` (the live version) or `id@version`; `step` where the step in force has no rung of its id there."""

    model_config = ConfigDict(extra="forbid")

    protocol: str = Field(min_length=1, max_length=200)
    step: str | None = Field(None, min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=500)


@router.post(
    "/v1/courses/{course}/migration",
    summary="Let the course go on under another protocol",
    status_code=202,
    response_model=forms.MigrationReceipt,
    responses=problem_responses(400, 401, 403, 404, 409, 410, 422, 503),
)
async def migrate(request: Request, course: CourseId, principal: Clinician, form: MigrationForm) -> Response:
    """202 once it is on disk on the bus. From that moment on the other protocol decides; sessions before it speak for no step of it. A
    course that nobody migrates stays on its version.
    """
    async with reading(request, principal.tenant, packs=True) as connection:
        found = await standing(request, connection, principal.tenant, await course_of(request, connection, principal.tenant, course))
        packs = packs_now(request).of(principal.tenant)
    decision, state = orjson.loads(found.decision), orjson.loads(found.state)
    target = packs.resolve(form.protocol)
    if target is None:
        raise _invalid("protocol", f"one of {', '.join(packs.names())}")
    if found.status == ENDED:
        raise Problem(409, "Course has ended", "the course has ended; a new course may follow the other protocol", "course-ended")
    if target.hash == decision["protocol"]["hash"]:
        raise Problem(409, "On it already", f"the course follows {target.id}@{target.version} already", "not-permitted")
    _check_step(target, form.step, decision["to_step"] if decision["action"] == "regress" else state["step"])
    now = datetime.now(UTC)
    data: dict[str, Any] = {
        "course": found.course,
        "protocol": f"{target.id}@{target.version}",
        "from_hash": decision["protocol"]["hash"],
        "to_hash": target.hash,
        "reason": form.reason,
        "by": {"id": principal.key_id, "role": "clinician"},
    }
    if form.step is not None:
        data["step"] = form.step
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": SOURCE,
        "type": MIGRATED,
        "subject": found.athlete,
        # The decision may be dated a little ahead of this clock; the other protocol begins after it.
        "time": stamp(max(now, moment(decision["as_of"]))),
        "course": found.course,
        "tenant": principal.tenant,
        "recordedtime": stamp(now),
        "data": data,
    }
    try:
        parse(event, internal=True)
    except EventFault as fault:
        faults: list[Fault] = [{"path": each.path.removeprefix("data."), "expected": each.expected} for each in fault.faults]
        raise Problem(422, "Request not valid", "the migration is not valid; each fault is listed", "invalid-request", faults) from None
    await publish(request, principal.tenant, found.athlete, canonical(event))
    body = {"source": SOURCE, "id": event["id"], "course": found.course, "protocol": data["protocol"], "hash": target.hash}
    return Response(orjson.dumps(body), 202, media_type=JSON)


def _check_step(target: Protocol, named: str | None, in_force: str) -> None:
    if named is not None and named not in target.place:
        raise _invalid("step", f"a step of {target.id}: {', '.join(target.steps)}")
    if named is None and in_force not in target.place:
        raise _invalid("step", f"the step to go on at, as {target.id} has no {in_force}: one of {', '.join(target.steps)}")


def _invalid(path: str, expected: str) -> Problem:
    return Problem(422, "Request not valid", f"{path}: expected {expected}", "invalid-request", [{"path": path, "expected": expected}])

"""A clinician's answer to the decision in force."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.decision.api import forms
from services.decision.api.common import JSON, Clinician, CourseId, reading
from services.decision.api.courses import course_of
from services.decision.arrivals import moment, stamp
from services.decision.store.reads import CourseRead
from shared.bus import Bus, BusError, event_subject
from shared.durability import ContractBroken
from shared.events import EventFault, canonical, parse
from shared.placing import partition, pseudonym
from shared.problems import Fault, Problem, problem_responses

router = APIRouter(tags=["recommendations"])

SOURCE = "urn:milepost:answers"
PUBLISH_LIMIT_S = 5.0


class AnswerForm(BaseModel):
    """`decision` is the id of the decision that is answered; `step` is wanted with `modified`."""

    model_config = ConfigDict(extra="forbid")

    decision: UUID
    answer: Literal["accepted", "declined", "modified"]
    step: str | None = Field(None, min_length=1, max_length=200)
    reason: str | None = Field(None, min_length=1, max_length=500)


@router.post(
    "/v1/courses/{course}/answers",
    summary="Accept, decline or modify the decision in force",
    status_code=202,
    response_model=forms.AnswerReceipt,
    responses=problem_responses(400, 401, 403, 404, 409, 410, 422, 503),
)
async def answer_recommendation(request: Request, course: CourseId, principal: Clinician, form: AnswerForm) -> Response:
    """202 once the answer is on disk on the bus; 409 when the decision is no longer in force. It takes effect where what it answers is
    what the course's events recommend at its time.
    """
    async with reading(request, principal.tenant) as connection:
        found = await course_of(request, connection, principal.tenant, course)
    decision = orjson.loads(found.decision)
    if decision["id"] != str(form.decision):
        detail = "the decision named is not in force any more: read the recommendation again, and answer that"
        raise Problem(409, "No longer in force", detail, "decision-superseded", [{"path": "decision", "expected": "the decision in force"}])
    event = answered(principal.tenant, found, Said(form.answer, form.step, form.reason), principal.key_id, str(uuid4()))
    await publish(request, principal.tenant, found.athlete, canonical(event))
    body = {"source": SOURCE, "id": event["id"], "course": found.course, "of": event["data"]["of"]}
    return Response(orjson.dumps(body), 202, media_type=JSON)


@dataclass(frozen=True)
class Said:
    """What the clinician says: `accepted`, `declined` or `modified`, the step with the last, and why."""

    answer: str
    step: str | None = None
    reason: str | None = None


def answered(tenant: str, course: CourseRead, said: Said, by: str, event_id: str) -> dict[str, Any]:
    """The event of an answer to the decision in force of this course, by the clinician whose key is `by`. Raises a 422 problem."""
    decision = orjson.loads(course.decision)
    now = datetime.now(UTC)
    data: dict[str, Any] = {
        "decision": decision["id"],
        "of": {name: decision[name] for name in ("action", "from_step", "to_step")},
        "answer": said.answer,
        "by": {"id": by, "role": "clinician"},
    }
    data.update({name: value for name, value in (("step", said.step), ("reason", said.reason)) if value is not None})
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": "milepost.recommendation.answered",
        "subject": course.athlete,
        # The decision may be dated a little ahead of this clock; an answer comes after what it answers.
        "time": stamp(max(now, moment(decision["as_of"]))),
        "course": course.course,
        "tenant": tenant,
        "recordedtime": stamp(now),
        "data": data,
    }
    try:
        parse(event)
    except EventFault as fault:
        faults: list[Fault] = [{"path": each.path.removeprefix("data."), "expected": each.expected} for each in fault.faults]
        raise Problem(422, "Request not valid", "the answer is not valid; each fault is listed", "invalid-request", faults) from None
    return event


async def publish(request: Request, tenant: str, athlete: str, body: bytes) -> None:
    """On disk on the bus when it returns. Answers 503 where that is not certain; what is repeated takes effect once."""
    bus: Bus = request.app.state.bus
    key: bytes = request.app.state.settings.pseudonym_key_bytes
    try:
        request.app.state.durability.permit()
        await bus.publish(event_subject(partition(tenant, athlete), pseudonym(key, tenant, athlete)), body, timeout=PUBLISH_LIMIT_S)
    except (BusError, ContractBroken) as fault:
        detail = "it was not confirmed because the bus does not answer or could lose it; repeat it after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "2"}) from fault

"""A decision with its full trace and its rendering: both computed when asked for, of the moment the decision was made."""

import asyncio
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from services.decision.api import forms
from services.decision.api.common import CourseId, DecisionsReader, answer, not_found, packs_now, reading
from services.decision.api.courses import course_of
from services.decision.core.protocol import Protocol
from services.decision.past import NotRecomputed, Recomputed, recomputed
from services.decision.rendering import Audience, render
from services.decision.store import past
from services.decision.store.connection import Connection
from services.decision.store.reads import CourseRead, DecisionRead
from shared.problems import Problem, problem_responses

router = APIRouter(tags=["courses"])

Trace = Annotated[
    Literal["full"] | None,
    Query(description="`full`: every condition of every rule with value, threshold, margin and verdict, recomputed; 409 if it cannot be"),
]
Explain = Annotated[
    Audience | None,
    Query(description="The decision in words for this audience; for a clinician with the smallest change that would advance"),
]


@router.get(
    "/v1/courses/{course}/decisions/{seq}",
    summary="One decision of the course, by its number",
    response_model=forms.ExplainedDecision,
    responses=problem_responses(401, 403, 404, 409, 410, 422, 503),
)
async def one_decision(
    request: Request,
    course: CourseId,
    seq: Annotated[int, Path(ge=1, le=2**31 - 1, description="`seq` of the decision")],
    principal: DecisionsReader,
    trace: Trace = None,
    explain: Explain = None,
) -> Response:
    """As stored. Trace and words are of the moment it was made: folded again from the events known then."""
    async with reading(request, principal.tenant, packs=trace is not None or explain is not None) as connection:
        found = await course_of(request, connection, principal.tenant, course)
        made = await past.decision(connection, principal.tenant, found.course, seq)
        if made is None:
            raise not_found("decision")
        return answer(await explained(request, connection, principal.tenant, found, made, trace, explain))


async def explained(
    request: Request,
    connection: Connection,
    tenant: str,
    course: CourseRead,
    made: DecisionRead,
    trace: str | None,
    explain: Audience | None,
) -> dict[str, Any]:
    """The decision with `trace` and `explanation`, where asked for. Raises a 409 problem where the trace cannot be recomputed."""
    record: dict[str, Any] = orjson.loads(made.body)
    if trace is None and explain is None:
        return record
    packs = packs_now(request)
    again: Recomputed | None = None
    if trace is not None or explain == "clinician":
        history = await past.history_at(connection, tenant, course.athlete, course.course, made)
        try:
            again = await asyncio.to_thread(recomputed, packs.of(tenant), history, course.course, made.body)
        except NotRecomputed:
            if trace is not None:
                detail = "folding its events again does not give this decision, so its trace would be that of another; ask for a replay"
                raise Problem(409, "Not recomputable", detail, "not-recomputable") from None
    if trace is not None and again is not None:
        record["trace"] = again.trace
    if explain is not None:
        pack = packs.by_hash.get(record["protocol"]["hash"])
        record["explanation"] = in_words(record, explain, pack, None if again is None else again.explanation)
    return record


def in_words(record: dict[str, Any], audience: Audience, pack: Protocol | None, explanation: dict[str, Any] | None) -> dict[str, Any]:
    """The rendering; for a clinician with what was computed beside the words."""
    told = render(record, audience, pack, explanation)
    if audience != "clinician":
        return told
    return {**told, "recomputed": explanation is not None, **(explanation or {"would_advance_if": None, "measure_next": []})}

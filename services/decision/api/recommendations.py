"""Recommendations in force: of a course, of an athlete, and the clinician's worklist."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response

from services.decision import advice
from services.decision.api import forms
from services.decision.api.common import (
    PAGE,
    AthleteId,
    CourseId,
    Cursor,
    DecisionsReader,
    Limit,
    RecommendationsReader,
    answer,
    named,
    not_found,
    packs_now,
    page,
    place_of,
    reading,
)
from services.decision.api.courses import course_of
from services.decision.api.explained import Explain, Trace, explained, in_words
from services.decision.api.forgotten import page_without_erased, refuse_erased
from services.decision.api.moments import Moment, course_then, would_have_been
from services.decision.arrivals import moment as instant_of, stamp
from services.decision.core.dosing import shown_dose
from services.decision.core.protocol import Protocol
from services.decision.packs import Published
from services.decision.store import moments, past, reads
from services.decision.store.connection import Connection
from services.decision.store.reads import CourseRead
from shared.auth import Principal
from shared.events.terms import NO_COACH, evidence_ids
from shared.problems import Problem, problem_responses

router = APIRouter(tags=["recommendations"])

Urgency = Literal["routine", "review", "stop_and_refer"]
View = Annotated[
    Literal["known", "corrected"],
    Query(description="`known`: as it was decided. `corrected`: what would have been decided at `as_of`, had all been known; computed"),
]


@router.get(
    "/v1/courses/{course}/recommendation",
    summary="The decision in force",
    response_model=forms.ExplainedDecision | forms.ComputedDecision | forms.ReleasedForm,
    responses={304: {"description": "Not changed since the ETag sent"}, **problem_responses(401, 403, 404, 409, 410, 422, 503)},
)
async def recommendation(
    request: Request,
    course: CourseId,
    principal: RecommendationsReader,
    moment: Moment,
    view: View = "known",
    trace: Trace = None,
    explain: Explain = None,
) -> Response:
    """The whole decision for keys with `decisions:read`; the released form for a coach's key, which may ask for a coach's words only.

    With `as_of` or `as_at`, the decision that was in force then, byte for byte; with `view=corrected`, what would have been decided had all
    been known.
    """
    folds = view == "corrected" or trace is not None or explain is not None
    async with reading(request, principal.tenant, packs=folds) as connection:
        if (not moment.is_now or view == "corrected") and not _reads_decisions(principal):
            raise Problem(403, "Scope missing", "this key reads what is in force now: it lacks the scope decisions:read", "scope-missing")
        if view == "corrected":
            found = await course_of(request, connection, principal.tenant, course)
            return answer(await would_have_been(request, connection, principal.tenant, found, moment))
        if moment.is_now:
            found = await course_of(request, connection, principal.tenant, course)
        else:
            found, _ = await course_then(request, connection, principal.tenant, course, moment)
        if not _reads_decisions(principal):
            if trace is not None or explain not in (None, "coach"):
                detail = "this key may read neither traces nor what is told to clinicians and athletes: it lacks the scope decisions:read"
                raise Problem(403, "Scope missing", detail, "scope-missing")
            release = await _coach_release(connection, principal.tenant, [found])
            if explain is None:
                return answer(_released(request, found, release), f"{release}-{_hash(found)}", request)
            if release != advice.AFTER_CLINICIAN:
                detail = f"coaches of this tenant are told by the policy {release}, for which there are no words: ask without explain"
                raise Problem(403, "Not told in words", detail, "role-refused")
            packs = packs_now(request)
            record = orjson.loads(found.decision)
            told = in_words(record, "coach", packs.by_hash.get(record["protocol"]["hash"]), None)
            return answer({**_released(request, found, release), "explanation": told})
        if trace is None and explain is None:
            return answer(orjson.Fragment(found.decision), _hash(found), request)
        made = await past.decision(connection, principal.tenant, found.course, found.seq)
        assert made is not None
        return answer(await explained(request, connection, principal.tenant, found, made, trace, explain))


@router.get(
    "/v1/athletes/{athlete}/recommendation",
    summary="The most conservative recommendation over all open courses",
    response_model=forms.AthleteAdvice,
    responses={304: {"description": "Not changed since the ETag sent"}, **problem_responses(401, 403, 404, 410, 422, 503)},
)
async def athletes_recommendation(request: Request, athlete: AthleteId, principal: RecommendationsReader, moment: Moment) -> Response:
    """404 when the athlete has no open course."""
    if not moment.is_now and not _reads_decisions(principal):
        raise Problem(403, "Scope missing", "this key reads what is in force now: it lacks the scope decisions:read", "scope-missing")
    async with reading(request, principal.tenant) as connection:
        athlete = named(athlete, "athlete")
        await refuse_erased(request, connection, principal.tenant, athlete)
        if moment.is_now:
            courses = await reads.courses_of(connection, principal.tenant, athlete)
        else:
            courses = [course for course, _ in await moments.courses_of(connection, principal.tenant, athlete, moment)]
        standing = [course for course in courses if course.status != reads.ENDED]
        if not standing:
            raise not_found("athlete with an open course")
        release = "" if _reads_decisions(principal) else await _coach_release(connection, principal.tenant, standing)
    hashes = sha256("\n".join(f"{course.course} {_hash(course)}" for course in standing).encode()).hexdigest()
    if _reads_decisions(principal):
        decisions = [orjson.loads(course.decision) for course in standing]
        body = {**advice.combined(decisions), "courses": decisions}
        return answer(body, hashes, request)
    parts = [_released(request, course, release) for course in standing]
    return answer({**_most_careful(parts), "courses": parts}, f"{release}-{hashes}", request)


@router.get(
    "/v1/recommendations",
    summary="The clinician's worklist: most urgent first, then longest waiting",
    response_model=forms.WorklistPage,
    responses=problem_responses(400, 401, 403, 422, 503),
)
async def worklist(
    request: Request,
    principal: DecisionsReader,
    moment: Moment,
    urgency: Urgency | None = None,
    unanswered: bool = False,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Response:
    listing = f"worklist {urgency} {unanswered} {moment}"
    place = place_of(request, principal, listing, cursor)
    after = None if place is None else (int(place[0]), instant_of(place[1]), str(place[2]))
    async with reading(request, principal.tenant) as connection:
        tenant, count = principal.tenant, limit + 1

        async def behind(after: tuple[int, datetime, str] | None) -> list[CourseRead]:
            if moment.is_now:
                return await reads.worklist(connection, tenant, urgency, unanswered, after, count)
            return await moments.worklist(connection, tenant, moment, urgency, unanswered, after, count)

        rows = await page_without_erased(request, connection, tenant, behind, after, count, lambda one: one.athlete, _standing)
    return page(request, principal, listing, rows, limit, _listed, _place)


def _listed(course: CourseRead) -> dict[str, Any]:
    return {
        "course": course.course,
        "subject": course.athlete,
        "protocol": course.protocol,
        "status": course.status,
        "answered": course.answered,
        "recommendation": orjson.Fragment(course.decision),
    }


def _standing(course: CourseRead) -> tuple[int, datetime, str]:
    return len(advice.URGENCIES) - 1 - advice.URGENCIES.index(course.urgency), course.as_at, course.course


def _place(course: CourseRead) -> tuple[int, str, str]:
    rank, as_at, name = _standing(course)
    return rank, stamp(as_at), name


def _reads_decisions(principal: Principal) -> bool:
    return "decisions:read" in principal.scopes


def _hash(course: CourseRead) -> str:
    digest: str = orjson.loads(course.decision)["hash"]
    return digest


async def _coach_release(connection: Connection, tenant: str, courses: Sequence[CourseRead]) -> str:
    """The tenant's policy for what coaches are told. Raises a 403 problem where the terms of a source keep one of the decisions from
    them: without it, the rest could look freer than it is."""
    for course in courses:
        decision = orjson.loads(course.decision)
        cause = await reads.cause(connection, tenant, course.course, course.seq)
        rests_on = sorted(evidence_ids(decision) | {cause})
        if NO_COACH in await reads.terms(connection, tenant, course.athlete, rests_on):
            detail = "this recommendation rests on data whose source does not let coaches see it (no_coach): ask the clinician"
            raise Problem(403, "Terms of a source", detail, "terms-of-a-source")
    return await reads.coach_release(connection, tenant)


def _released(request: Request, course: CourseRead, release: str) -> dict[str, Any]:
    packs: Published = request.app.state.packs
    decision = orjson.loads(course.decision)
    return advice.released(decision, _standing_dose(packs.by_hash.get(decision["protocol"]["hash"]), decision["from_step"]), release)


def _standing_dose(pack: Protocol | None, step: str) -> dict[str, Any] | None:
    rung = pack.step(step) if pack is not None else None
    return shown_dose(rung.dose) if rung is not None else None


def _most_careful(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The released parts as one: the least running, the latest date."""
    leading = max(parts, key=lambda part: (advice.RUNNING.index(part["running"]), part["status"] == advice.AWAITING, part["course"]))
    dates = [part["not_before"] for part in parts if part["not_before"] is not None]
    return {**leading, "not_before": max(dates, default=None)}

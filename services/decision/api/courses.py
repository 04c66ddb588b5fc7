"""Courses: how they stand, what was decided, what happened."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from services.decision.api import forms
from services.decision.api.common import (
    PAGE,
    AthleteId,
    CourseId,
    Cursor,
    DecisionsReader,
    InstantText,
    Limit,
    answer,
    moment_of,
    named,
    not_found,
    packs_now,
    page,
    place_of,
    reading,
)
from services.decision.api.forgotten import refuse_erased
from services.decision.api.moments import Moment, course_then, stated
from services.decision.arrivals import stamp
from services.decision.athletes import restored
from services.decision.core.athlete import Athlete
from services.decision.store import moments, reads
from services.decision.store.connection import Connection
from services.decision.store.reads import CourseRead, EventRead
from shared.problems import problem_responses

router = APIRouter(tags=["courses"])

ANSWERED = "milepost.recommendation.answered"


@router.get(
    "/v1/athletes/{athlete}/courses",
    summary="The athlete's courses",
    response_model=forms.CoursesForm,
    responses=problem_responses(401, 403, 404, 410, 422, 503),
)
async def athletes_courses(request: Request, athlete: AthleteId, principal: DecisionsReader, moment: Moment) -> Response:
    """All courses, by id. Empty when nothing but other events is known of the athlete."""
    athlete = named(athlete, "athlete")
    async with reading(request, principal.tenant, packs=True) as connection:
        await refuse_erased(request, connection, principal.tenant, athlete)
        if not moment.is_now:
            then = await moments.courses_of(connection, principal.tenant, athlete, moment)
            if not then and not await reads.knows_athlete(connection, principal.tenant, athlete):
                raise not_found("athlete")
            told = [await stated(request, connection, principal.tenant, *one) for one in then]
            return answer({"items": [shown(course) for course, _ in told]})
        courses = await reads.courses_of(connection, principal.tenant, athlete)
        if not courses and not await reads.knows_athlete(connection, principal.tenant, athlete):
            raise not_found("athlete")
        courses = [await standing(request, connection, principal.tenant, course) for course in courses]
    return answer({"items": [shown(course) for course in courses]})


@router.get(
    "/v1/courses/{course}",
    summary="State, step in force, facts",
    response_model=forms.CourseWithFacts,
    responses=problem_responses(401, 403, 404, 410, 422, 503),
)
async def one_course(request: Request, course: CourseId, principal: DecisionsReader, moment: Moment) -> Response:
    """The facts are what the course's protocol reads, as they stand after everything that history holds, or held at another moment."""
    async with reading(request, principal.tenant, packs=True) as connection:
        if not moment.is_now:
            then = await course_then(request, connection, principal.tenant, course, moment)
            found, athlete = await stated(request, connection, principal.tenant, *then)
            return answer({**shown(found), "facts": athlete.facts(course)})
        found = await course_of(request, connection, principal.tenant, course)
        athlete = await folded(request, connection, principal.tenant, found.athlete)
    return answer({**shown(found), "state": athlete.state(course), "facts": athlete.facts(course)})


@router.get(
    "/v1/courses/{course}/decisions",
    summary="Every decision of the course, in the order made",
    response_model=forms.DecisionsPage,
    responses=problem_responses(400, 401, 403, 404, 410, 422, 503),
)
async def decisions(
    request: Request,
    course: CourseId,
    principal: DecisionsReader,
    as_of: InstantText = None,
    as_at: InstantText = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Response:
    """`as_of`: what was true until then; `as_at`: what was known until then. Both together give the history as it was known on a day."""
    true_until, known_until = moment_of(as_of, "as_of"), moment_of(as_at, "as_at")
    listing = f"decisions {course} {as_of} {as_at}"
    after = place_of(request, principal, listing, cursor) or [0]
    async with reading(request, principal.tenant) as connection:
        await course_of(request, connection, principal.tenant, course)
        rows = await reads.decisions(connection, principal.tenant, course, true_until, known_until, after[0], limit + 1)
    return page(request, principal, listing, rows, limit, lambda row: orjson.Fragment(row.body), lambda row: [row.seq])


@router.get(
    "/v1/courses/{course}/timeline",
    summary="Events, decisions and answers, in the order they became known",
    response_model=forms.TimelinePage,
    responses=problem_responses(400, 401, 403, 404, 410, 422, 503),
)
async def timeline(
    request: Request, course: CourseId, principal: DecisionsReader, moment: Moment, cursor: Cursor = None, limit: Limit = PAGE
) -> Response:
    """Each event that concerns the course, followed by the decisions its arrival brought. `limit` counts events. Of another moment: what
    had happened and was known then.
    """
    listing = f"timeline {course} {moment}"
    after = place_of(request, principal, listing, cursor) or [0]
    async with reading(request, principal.tenant) as connection:
        found = await course_of(request, connection, principal.tenant, course)
        events = await reads.timeline(connection, principal.tenant, found.athlete, course, after[0], limit + 1, moment)
        shown_events = events[:limit]
        made = await reads.decisions_at(connection, principal.tenant, course, [event.seq for event in shown_events])
    by_event: dict[int, list[bytes]] = {}
    for decision in made:
        by_event.setdefault(decision.event_seq, []).append(decision.body)
    following = None
    if len(events) > limit:
        following = request.app.state.cursors.make(listing, principal.tenant, [shown_events[-1].seq])
    items = [item for event in shown_events for item in _items(event, by_event.get(event.seq, []))]
    return answer({"items": items, "next": following})


def _items(event: EventRead, decisions: Sequence[bytes]) -> list[dict[str, Any]]:
    told = {
        "item": "answer" if event.type == ANSWERED else "event",
        "event": orjson.Fragment(event.body),
        "status": event.status,
        "path": event.path,
        "reason": event.reason,
    }
    return [told, *({"item": "decision", "decision": orjson.Fragment(body)} for body in decisions)]


async def course_of(request: Request, connection: Connection, tenant: str, course: str) -> CourseRead:
    """The tenant's course. Raises a 404 problem, and a 410 problem while its athlete is to be erased."""
    found = await reads.course(connection, tenant, named(course, "course"))
    if found is None:
        raise not_found("course")
    await refuse_erased(request, connection, tenant, found.athlete)
    return found


async def folded(request: Request, connection: Connection, tenant: str, athlete: str) -> Athlete:
    """The athlete as history makes them, folded in a thread: a long history would hold up other requests. Inside `reading` with packs."""
    packs = packs_now(request)
    history = await reads.history(connection, tenant, athlete)
    return await asyncio.to_thread(restored, packs.of(tenant), history)


async def standing(request: Request, connection: Connection, tenant: str, course: CourseRead) -> CourseRead:
    """The course with its state, folded where none is kept: nothing was decided since a migration dropped it. Inside `reading`
    with packs."""
    if course.state != reads.UNFOLDED:
        return course
    athlete = await folded(request, connection, tenant, course.athlete)
    return course._replace(state=orjson.dumps(athlete.state(course.course)))


def shown(course: CourseRead) -> dict[str, Any]:
    return {
        "course": course.course,
        "subject": course.athlete,
        "protocol": course.protocol,
        "status": course.status,
        "seq": course.seq,
        "as_of": stamp(course.as_of),
        "as_at": stamp(course.as_at),
        "state": orjson.Fragment(course.state),
    }

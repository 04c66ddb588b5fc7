"""Another moment on any read route: `as_of` (when it was true) and `as_at` (when it was known), and what would have been decided."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request

from services.decision.api.common import InstantText, moment_of, named, not_found, packs_now
from services.decision.api.forgotten import refuse_erased
from services.decision.athletes import restored
from services.decision.audit.again import Past, corrected
from services.decision.core.athlete import Athlete
from services.decision.core.decision import ARRIVAL_FIELDS
from services.decision.store import moments, past, replays
from services.decision.store.connection import Connection, snapshot
from services.decision.store.moments import When
from services.decision.store.reads import CourseRead, DecisionRead


def when(as_of: InstantText = None, as_at: InstantText = None) -> When:
    """`as_of`: as it was true then. `as_at`: as it was known then. Without either: now."""
    return When(moment_of(as_of, "as_of"), moment_of(as_at, "as_at"))


Moment = Annotated[When, Depends(when)]


async def course_then(request: Request, connection: Connection, tenant: str, course: str, moment: When) -> tuple[CourseRead, DecisionRead]:
    """The course with the decision in force then, byte for byte. Raises a 404 problem when nothing had been decided, and a 410 problem
    while its athlete is to be erased.
    """
    found = await moments.course(connection, tenant, named(course, "course"), moment)
    if found is None:
        raise not_found("course with a decision at that moment")
    await refuse_erased(request, connection, tenant, found[0].athlete)
    return found


async def athlete_then(request: Request, connection: Connection, tenant: str, course: CourseRead, made: DecisionRead) -> Athlete:
    """The athlete as folded when this decision was made; inside `reading` with packs."""
    packs = packs_now(request)
    history = await past.history_at(connection, tenant, course.athlete, course.course, made)
    return await asyncio.to_thread(restored, packs.of(tenant), history)


async def stated(
    request: Request, connection: Connection, tenant: str, course: CourseRead, made: DecisionRead
) -> tuple[CourseRead, Athlete]:
    """The course with its state as folded then."""
    athlete = await athlete_then(request, connection, tenant, course, made)
    state = athlete.state(course.course)
    return course._replace(state=orjson.dumps(state), status=str(state["status"])), athlete


async def would_have_been(request: Request, connection: Connection, tenant: str, course: CourseRead, moment: When) -> dict[str, Any]:
    """What would have been decided at `as_of`, had all been known that was known by `as_at`. Computed, so without number and
    hash; inside `reading` with packs.
    """
    packs = packs_now(request)
    async with snapshot(connection):
        (found,) = await replays.pasts(connection, [(tenant, course.athlete)])
        if moment.as_at is not None:
            found = Past(found.tenant, found.athlete, await known_until(connection, found, moment.as_at), found.decisions)
    line = await asyncio.to_thread(corrected, found, packs.of(tenant), found.pins)
    decision = line.at(course.course, moment.as_of or datetime.max.replace(tzinfo=UTC))
    if decision is None:
        raise not_found("decision of the course at that moment")
    content = {name: value for name, value in decision.body.items() if name not in ARRIVAL_FIELDS or name == "as_of"}
    return {**content, "computed": True, "as_at": None if moment.as_at is None else moment.as_at.isoformat()}


async def known_until(connection: Connection, found: Past, as_at: datetime) -> list[Any]:
    """The events of a past that had been received by then."""
    rows = await connection.fetch(
        "SELECT seq FROM events WHERE tenant = $1 AND athlete = $2 AND recorded_at <= $3", found.tenant, found.athlete, as_at
    )
    known = {row["seq"] for row in rows}
    return [one for one in found.events if one.seq in known]

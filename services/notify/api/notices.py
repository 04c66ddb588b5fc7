"""The route of notices: what was told, to how many, and that nobody was subscribed."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from services.notify.api.common import PAGE, PAGE_LIMIT, Reader, cursor_of, not_found, place_of, shown_to
from services.notify.api.forgotten import leaving, page_without
from services.notify.api.forms import NoticePage
from services.notify.store import notices as rows
from services.notify.store.notices import KeptNotice
from shared.problems import problem_responses

router = APIRouter(tags=["webhooks"])


@router.get(
    "/v1/notices",
    summary="What was told, and to how many",
    response_model=NoticePage,
    responses=problem_responses(400, 401, 403, 404, 422, 503),
)
async def notices(
    request: Request,
    principal: Reader,
    type: Annotated[str | None, Query(max_length=60, pattern=r"^[a-z.]+$", description="Only this type")] = None,
    course: Annotated[str | None, Query(max_length=200, description="Only this course")] = None,
    unsubscribed: Annotated[bool, Query(description="Only those that concerned no endpoint")] = False,
    cursor: Annotated[str | None, Query(max_length=500, description="`next` of the page before, with the same filter")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most notices of the page")] = PAGE,
) -> dict[str, Any]:
    """Newest first; nothing of an athlete who asked to be erased."""
    before = place_of(cursor)
    if course is not None and "\0" in course:
        raise not_found("course")
    async with shown_to(request, principal.tenant) as connection:

        async def behind(place: tuple[datetime, str] | None) -> list[KeptNotice]:
            return await rows.listed(connection, principal.tenant, limit + 1, place, type, course, unsubscribed)

        gone = await leaving(request, connection, principal.tenant)
        page = await page_without(gone, behind, before, limit + 1, lambda one: one.athlete, lambda one: (one.created_at, one.id))
    items, more = page[:limit], len(page) > limit
    shown = [
        {
            "id": one.id,
            "type": one.type,
            "course": one.course,
            "created_at": one.created_at,
            "endpoints": one.planned,
            "deliveries": one.states,
        }
        for one in items
    ]
    return {"items": shown, "next": cursor_of(items[-1].created_at, items[-1].id) if more else None}

"""The route by which a person takes a referral up."""

from typing import Any

from fastapi import APIRouter, Request

from services.notify.api.common import Clinician, named, not_found, stored, utc_now
from services.notify.api.forgotten import refuse_leaving
from services.notify.api.forms import Acknowledgement
from services.notify.store import erased, escalations
from shared.problems import problem_responses

router = APIRouter(tags=["referrals"])


@router.post(
    "/v1/notices/{notice}/acknowledge",
    summary="Take a referral up",
    response_model=Acknowledgement,
    responses=problem_responses(401, 403, 404, 410, 503),
)
async def acknowledge(request: Request, principal: Clinician, notice: str) -> dict[str, Any]:
    """`notice` is the `webhook-id` of a `course.referred`. That a receiver answered 2xx says that a machine has it; this says that a person
    does, and it is said again to nobody. Asked again, the first acknowledgement stays."""
    async with stored(request) as connection:
        notice = named(notice, "notice")
        await refuse_leaving(request, connection, principal.tenant, await erased.athlete_of(connection, principal.tenant, notice))
        course = await escalations.referral(connection, principal.tenant, notice)
        done = course and await escalations.acknowledge(connection, principal.tenant, notice, course, principal.key_id, utc_now())
        if not done:
            raise not_found("notice of a referral")
    return {"notice": done.notice, "course": done.course, "by": done.by_key, "at": done.at}

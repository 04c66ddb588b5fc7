"""The routes of a tenant's policy: when coaches hear of an advance, and how soon something is said again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from services.notify.api.common import Reader, Writer, shown_to, stored, utc_now
from services.notify.api.forms import NewPolicy, PolicyForm
from services.notify.policy import Policy
from services.notify.recall import put_in_force
from services.notify.store import policies
from shared.auth import Principal
from shared.problems import Problem, problem_responses

router = APIRouter(tags=["policy"])


def _administrator(principal: Writer) -> Principal:
    if principal.role != "admin":
        detail = "what coaches are told is the tenant's own decision: use a key of role admin"
        raise Problem(403, "Not for this role", detail, "role-refused")
    return principal


@router.get("/v1/notice-policy", summary="The policy in force", response_model=PolicyForm, responses=problem_responses(401, 403, 503))
async def policy(request: Request, principal: Reader) -> dict[str, Any]:
    async with shown_to(request, principal.tenant) as connection:
        return (await policies.of(connection, [principal.tenant]))[principal.tenant]._asdict()


@router.put(
    "/v1/notice-policy",
    summary="Put a policy in force",
    response_model=PolicyForm,
    responses=problem_responses(400, 401, 403, 413, 422, 503),
)
async def put_policy(request: Request, principal: Annotated[Principal, Depends(_administrator)], asked: NewPolicy) -> dict[str, Any]:
    """Holds from now on, for what is still to leave as well; advances that coaches heard of under `direct` and may not any more are taken
    back. Every version is kept with whose key set it."""
    policy = Policy(asked.coach_release, asked.acknowledge_within_s, asked.answer_within_s)
    async with stored(request) as connection:
        await put_in_force(connection, principal.tenant, policy, principal.key_id, utc_now())
    return policy._asdict()

"""The life of a tenant's rule packs: draft, check, test, submit, approve, decline, publish, roll back, retire.

Whoever writes needs `protocols:write`, whoever answers for it `protocols:approve`; nobody approves what they wrote any of. Every request
names the content hash it means, so nothing happens to content that its sender did not see.
"""

from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter, Request, Response

from services.decision.api import pack_forms as forms
from services.decision.api.common import ClinicalLead, ProtocolsReader, ProtocolsWriter, answer, named, not_found, reading, working
from services.decision.lifecycle import store
from services.decision.lifecycle.office import NoSuchPack, NotPermitted, Office, Who
from services.decision.lifecycle.states import Pack
from services.decision.rules.faults import FaultyPack
from shared.auth import Principal
from shared.problems import Fault, Problem, problem_responses

router = APIRouter(tags=["protocols"])

T = TypeVar("T")
_REFUSALS = problem_responses(400, 401, 403, 404, 409, 422, 503)


def who(principal: Principal) -> Who:
    return Who(principal.key_id, principal.role)


def office(request: Request) -> Office:
    found: Office = request.app.state.office
    return found


async def done(work: Awaitable[T]) -> T:
    """What was asked for, or its refusal: 404, 409, 422 with each fault of the pack."""
    try:
        return await work
    except NoSuchPack:
        raise not_found("protocol") from None
    except NotPermitted as fault:
        raise Problem(409, "Not permitted now", str(fault), "not-permitted") from None
    except FaultyPack as faulty:
        faults: list[Fault] = [
            {"path": f"source:{one.line}:{one.column} {one.path}".rstrip(), "expected": one.sentence} for one in faulty.faults
        ]
        detail = f"{len(faults)} fault{'s' if len(faults) != 1 else ''} in the pack; each is listed with its line and column"
        raise Problem(422, "Faulty pack", detail, "faulty-pack", faults) from None


def answered(id: str, pack: Pack, status: int = 200) -> Response:
    found = answer(forms.life(id, pack))
    found.status_code = status
    return found


@router.post("/v1/protocols", summary="Draft a pack", status_code=201, response_model=forms.PackLife, responses=_REFUSALS)
async def draft(request: Request, principal: ProtocolsWriter, form: forms.DraftForm) -> Response:
    """The draft at hand of the pack that the text names. It takes the place of the draft before, and with it of every approval."""
    async with working(request) as connection:
        id, pack = await done(office(request).draft(connection, principal.tenant, who(principal), form.source.encode(), form.cases))
    return answered(id, pack, 201)


@router.get(
    "/v1/protocols/{id}/life",
    summary="Where a pack stands",
    response_model=forms.PackLife,
    responses=problem_responses(401, 403, 404, 503),
)
async def life(request: Request, id: str, principal: ProtocolsReader) -> Response:
    """The draft at hand, its checks, its review, what is live, and everything that was published."""
    async with reading(request, principal.tenant) as connection:
        pack = await done(office(request).life(connection, principal.tenant, named(id, "protocol")))
    return answered(id, pack)


@router.get(
    "/v1/protocols/{id}/history",
    summary="Everything that happened to a pack",
    response_model=forms.PackHistory,
    responses=problem_responses(401, 403, 404, 503),
)
async def history(request: Request, id: str, principal: ProtocolsReader) -> Response:
    async with reading(request, principal.tenant) as connection:
        found = await store.events_of(connection, principal.tenant, named(id, "protocol"))
    if not found:
        raise not_found("protocol")
    return answer({"items": [forms.event(n, one) for n, one in enumerate(found, 1)]})


@router.get(
    "/v1/protocols/{id}/source",
    summary="The text of a draft or release",
    response_model=forms.SourceForm,
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def source(request: Request, id: str, principal: ProtocolsReader, hash: forms.Hash) -> Response:
    async with reading(request, principal.tenant) as connection:
        found = await store.source_of(connection, principal.tenant, named(id, "protocol"), hash)
    if found is None:
        raise not_found("content of this protocol")
    return answer({"id": id, "hash": hash, "source": found.pack.decode()})


@router.post("/v1/protocols/{id}/check", summary="Check the draft", response_model=forms.PackLife, responses=_REFUSALS)
async def check(request: Request, id: str, principal: ProtocolsWriter, form: forms.HashForm) -> Response:
    """Everything that is looked at before anything is published, the engines' limits among it; `revision.check` says what was found."""
    async with working(request) as connection:
        pack = await done(office(request).check(connection, principal.tenant, named(id, "protocol"), who(principal), form.hash))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/submit", summary="Submit the draft for review", response_model=forms.PackLife, responses=_REFUSALS)
async def submit(request: Request, id: str, principal: ProtocolsWriter, form: forms.HashForm) -> Response:
    """`revision.regions` then says where it decides otherwise than what is live, and which of them are more permissive."""
    async with working(request) as connection:
        pack = await done(office(request).submit(connection, principal.tenant, named(id, "protocol"), who(principal), form.hash))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/approve", summary="Approve what is in review", response_model=forms.PackLife, responses=_REFUSALS)
async def approve(request: Request, id: str, principal: ClinicalLead, form: forms.ApprovalForm) -> Response:
    """By somebody who wrote none of it, with every more permissive region acknowledged; where there is one, two have to."""
    id = named(id, "protocol")
    async with working(request) as connection:
        work = office(request).approve(connection, principal.tenant, id, who(principal), form.hash, form.acknowledged)
        pack = await done(work)
    return answered(id, pack)


@router.post("/v1/protocols/{id}/decline", summary="Decline what is in review", response_model=forms.PackLife, responses=_REFUSALS)
async def decline(request: Request, id: str, principal: ClinicalLead, form: forms.ReasonForm) -> Response:
    """Nothing goes on with this content; a change of it may be drafted."""
    id, body = named(id, "protocol"), {"reason": form.reason}
    async with working(request) as connection:
        pack = await done(office(request).note(connection, principal.tenant, id, who(principal), "declined", form.hash, body))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/publish", summary="Publish what is approved", response_model=forms.PackLife, responses=_REFUSALS)
async def publish(request: Request, id: str, principal: ClinicalLead, form: forms.PublishForm) -> Response:
    """Checks and tests run again at that moment; what is in the way then leaves it unpublished, and `revision.not_published` names it.
    Courses that stand on another version stay there.
    """
    id = named(id, "protocol")
    async with working(request) as connection:
        pack = await done(office(request).publish(connection, principal.tenant, id, who(principal), form.hash, form.at))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/unschedule", summary="Call a planned publication off", response_model=forms.PackLife, responses=_REFUSALS)
async def unschedule(request: Request, id: str, principal: ClinicalLead, form: forms.HashForm) -> Response:
    id = named(id, "protocol")
    async with working(request) as connection:
        pack = await done(office(request).note(connection, principal.tenant, id, who(principal), "unscheduled", form.hash))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/rollback", summary="Bring older content back at once", response_model=forms.PackLife, responses=_REFUSALS)
async def rollback(request: Request, id: str, principal: ClinicalLead, form: forms.RollbackForm) -> Response:
    """What was live is retired. Somebody else looks at it afterwards (`/rollback/review`)."""
    id = named(id, "protocol")
    async with working(request) as connection:
        pack = await done(office(request).roll_back(connection, principal.tenant, id, who(principal), form.to, form.reason))
    return answered(id, pack)


@router.post(
    "/v1/protocols/{id}/rollback/review", summary="Say that a roll-back was looked at", response_model=forms.PackLife, responses=_REFUSALS
)
async def review_rollback(request: Request, id: str, principal: ClinicalLead, form: forms.HashForm) -> Response:
    """By somebody else than who rolled back; `hash` is what came back."""
    id = named(id, "protocol")
    async with working(request) as connection:
        pack = await done(office(request).note(connection, principal.tenant, id, who(principal), "rollback_reviewed", form.hash))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/retire", summary="Retire a release", response_model=forms.PackLife, responses=_REFUSALS)
async def retire(request: Request, id: str, principal: ClinicalLead, form: forms.ReasonForm) -> Response:
    """No new course follows it; courses that stand on it stay. Where it was live, the shipped pack of that id is again, if there is one."""
    id, body = named(id, "protocol"), {"reason": form.reason}
    async with working(request) as connection:
        pack = await done(office(request).note(connection, principal.tenant, id, who(principal), "retired", form.hash, body))
    return answered(id, pack)

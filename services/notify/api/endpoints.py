"""The routes of endpoints. A coach's key has no business here; another tenant's endpoint does not exist."""

from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.notify.api.asked import check_quiet_hours, check_types, checked_url, invalid, made_keys, needs_no_proof, schemes_of
from services.notify.api.common import (
    Clinician,
    Reader,
    Writer,
    endpoint_of,
    fresh,
    moment_of,
    named,
    not_found,
    sendable,
    shown_to,
    stored,
    utc_now,
)
from services.notify.api.forgotten import leaving
from services.notify.api.forms import (
    Asked,
    ChangedEndpoint,
    EndpointForm,
    EndpointList,
    EndpointWithSecret,
    NewEndpoint,
    Recovered,
    Recovery,
    Rotation,
)
from services.notify.api.recovery import MOST_NOTICES, recover_since
from services.notify.lanes import breaker
from services.notify.notices import OPERATIONAL, TEST, Notice
from services.notify.release import types_for
from services.notify.store import endpoints as rows, sending, telling
from services.notify.store.endpoints import Endpoint
from services.notify.store.telling import Telling
from services.notify.vault import Vault
from shared.problems import Fault, Problem, problem_responses

MOST_ENDPOINTS: Final = 100

router = APIRouter(tags=["webhooks"])


@router.post(
    "/v1/endpoints",
    status_code=201,
    summary="Create an endpoint",
    response_model=EndpointWithSecret,
    responses=problem_responses(400, 401, 403, 409, 413, 422, 503),
)
async def create(request: Request, response: Response, principal: Writer, asked: NewEndpoint) -> dict[str, Any]:
    """The answer holds the secret, this once. What happens from now on is told once the endpoint is verified; what was before is not."""
    faults: list[Fault] = []
    url = checked_url(request, asked.url, faults)
    check_types(asked.role, asked.types, faults)
    check_quiet_hours(asked.quiet_hours, faults)
    made = made_keys(asked.signatures or ["v1"], asked.secret, faults)
    if faults or made is None or url is None:
        raise invalid(faults)
    now = utc_now()
    endpoint = Endpoint(
        fresh("ep_"),
        principal.tenant,
        asked.url,
        asked.description,
        sorted(set(asked.types or ())),
        asked.payload,
        asked.role,
        now,
        signatures=schemes_of(asked.signatures),
        public_key=made.public_key,
        verified_at=now if needs_no_proof(request, url) else None,
        escalates=asked.escalates,
        third_party=asked.third_party,
        quiet_hours=asked.quiet_hours.model_dump() if asked.quiet_hours else None,
    )
    vault: Vault = request.app.state.vault
    async with stored(request) as connection:
        if await rows.count(connection, principal.tenant) >= MOST_ENDPOINTS:
            raise Problem(
                409,
                "Too many endpoints",
                f"a tenant has at most {MOST_ENDPOINTS} endpoints; delete one that is not used",
                "too-many-endpoints",
            )
        await rows.create(connection, endpoint, vault.seal(made.kept, endpoint.tenant, endpoint.id))
    response.headers["Location"] = f"/v1/endpoints/{endpoint.id}"
    response.headers["Cache-Control"] = "no-store"
    return {**shown(endpoint), "secret": made.secret}


@router.get("/v1/endpoints", summary="The tenant's endpoints", response_model=EndpointList, responses=problem_responses(401, 403, 503))
async def listed(request: Request, principal: Reader) -> dict[str, Any]:
    """Oldest first; at most 100, so there are no pages."""
    async with shown_to(request, principal.tenant) as connection:
        return {"items": [shown(endpoint) for endpoint in await rows.listed(connection, principal.tenant)]}


@router.get(
    "/v1/endpoints/{endpoint}", summary="One endpoint", response_model=EndpointForm, responses=problem_responses(401, 403, 404, 503)
)
async def one(request: Request, principal: Reader, endpoint: str) -> dict[str, Any]:
    async with shown_to(request, principal.tenant) as connection:
        return shown(await endpoint_of(connection, principal, endpoint))


@router.patch(
    "/v1/endpoints/{endpoint}",
    summary="Change an endpoint",
    response_model=EndpointForm,
    responses=problem_responses(400, 401, 403, 404, 413, 422, 503),
)
async def change(request: Request, principal: Writer, endpoint: str, asked: ChangedEndpoint) -> dict[str, Any]:
    """What is pending leaves as the endpoint is from now on. A new `url` is verified anew, and a clinician vouches for it anew."""
    given, faults = asked.model_fields_set, list[Fault]()
    url = checked_url(request, asked.url, faults) if asked.url is not None else None
    check_quiet_hours(asked.quiet_hours, faults)
    now = utc_now()
    async with stored(request) as connection:
        if asked.enabled is False:
            await telling.in_line(connection)
        found = await endpoint_of(connection, principal, endpoint, lock=True)
        role = asked.role or found.role
        types = list(asked.types or ()) if "types" in given else found.types
        check_types(role, types, faults)
        if faults:
            raise invalid(faults)
        plain = {name: getattr(asked, name) for name in ("description", "payload", "role", "escalates", "third_party")}
        changes: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
        if "types" in given:
            changes["types"] = sorted(set(types))
        if "quiet_hours" in given:
            changes["quiet_hours"] = asked.quiet_hours.model_dump() if asked.quiet_hours else None
        if url is not None and asked.url != found.url:
            changes |= {"url": asked.url, "verified_at": now if needs_no_proof(request, url) else None, "answers_by": None}
        if role != "clinician":
            changes["answers_by"] = None
        if asked.enabled is True and found.disabled_at is not None:
            changes |= {"disabled_at": None, "disabled_because": None, "failing_since": None, "rests_until": None}
        await rows.change(connection, principal.tenant, found.id, changes)
        if asked.enabled is False:
            await sending.disable(connection, found.id, "by its owner", now)
        await rows.wake(connection, found.id)
        return shown(await endpoint_of(connection, principal, endpoint))


@router.delete("/v1/endpoints/{endpoint}", status_code=204, summary="Delete an endpoint", responses=problem_responses(401, 403, 404, 503))
async def delete(request: Request, principal: Writer, endpoint: str) -> None:
    """What was pending is cancelled; what was sent stays in history."""
    async with stored(request) as connection:
        if not await rows.delete(connection, principal.tenant, named(endpoint, "endpoint"), utc_now()):
            raise not_found("endpoint")


@router.post(
    "/v1/endpoints/{endpoint}/rotate",
    summary="Change the secret",
    response_model=EndpointWithSecret,
    responses=problem_responses(400, 401, 403, 404, 413, 422, 503),
)
async def rotate(request: Request, response: Response, principal: Writer, endpoint: str, asked: Rotation) -> dict[str, Any]:
    """The answer holds the new secret, this once. For `overlap_s` both the new keys and those in force until now sign; older ones do not
    any more. After a secret got into wrong hands, take 0."""
    vault: Vault = request.app.state.vault
    now, faults = utc_now(), list[Fault]()
    async with stored(request) as connection:
        found = await endpoint_of(connection, principal, endpoint, lock=True)
        schemes = schemes_of(asked.signatures) if asked.signatures else found.signatures
        made = made_keys(schemes, asked.secret, faults)
        if made is None:
            raise invalid(faults)
        before, _, _ = await rows.keys(connection, principal.tenant, found.id)
        changes = {
            "secret": vault.seal(made.kept, principal.tenant, found.id),
            "public_key": made.public_key,
            "signatures": schemes,
            "retired_secret": before if asked.overlap_s else None,
            "retired_until": now + timedelta(seconds=asked.overlap_s) if asked.overlap_s else None,
        }
        await rows.change(connection, principal.tenant, found.id, changes)
        after = await endpoint_of(connection, principal, endpoint)
    response.headers["Cache-Control"] = "no-store"
    return {**shown(after), "secret": made.secret}


@router.post(
    "/v1/endpoints/{endpoint}/test",
    status_code=202,
    summary="Send a test notice",
    response_model=Asked,
    responses=problem_responses(401, 403, 404, 409, 503),
)
async def test(request: Request, principal: Writer, endpoint: str) -> dict[str, Any]:
    """Sends a notice of type `test`, signed and retried like any other, whatever types the endpoint has chosen."""
    now = utc_now()
    async with stored(request) as connection:
        await telling.in_line(connection)
        found = await endpoint_of(connection, principal, endpoint, lock=True)
        sendable(found)
        body = {"endpoint": found.id, "message": "Milepost reaches this endpoint."}
        said = Telling(principal.tenant, Notice(TEST, None, None, body), now.isoformat(), fresh("test "))
        delivery = await telling.tell_one(connection, said, found.id, now)
        await rows.wake(connection, found.id)
    return {"delivery": delivery, "notice": said.id}


@router.post(
    "/v1/endpoints/{endpoint}/recover",
    summary="Send what was missed since a moment",
    response_model=Recovered,
    responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503),
)
async def recover(request: Request, principal: Writer, endpoint: str, asked: Recovery) -> dict[str, Any]:
    """Everything since then that ended without arriving, or was not planned because the endpoint was disabled, under the same `webhook-id`;
    advice that newer advice has replaced is left out. Asked again, it changes nothing that is under way."""
    since = moment_of(asked.since, "since")
    async with stored(request) as connection:
        await telling.in_line(connection)
        found = await endpoint_of(connection, principal, endpoint, lock=True)
        sendable(found)
        done = await recover_since(connection, found, since, utc_now(), await leaving(request, connection, found.tenant))
        if done is None:
            detail = f"more than {MOST_NOTICES} notices were kept since then; choose a later moment"
            raise Problem(409, "Too much at once", detail, "too-much-to-recover")
        await rows.wake(connection, found.id)
    return done


@router.put(
    "/v1/endpoints/{endpoint}/answering",
    summary="Vouch for an endpoint: links in its notices answer in your name",
    response_model=EndpointForm,
    responses=problem_responses(401, 403, 404, 409, 503),
)
async def answering(request: Request, principal: Clinician, endpoint: str) -> dict[str, Any]:
    """Needs a clinician's key, for whoever holds such a link answers as that clinician. The endpoint's role must be `clinician`."""
    async with stored(request) as connection:
        found = await endpoint_of(connection, principal, endpoint, lock=True)
        if found.role != "clinician":
            detail = f"the endpoint's role is {found.role}; only a clinician's endpoint may carry answer links"
            raise Problem(409, "Not a clinician's endpoint", detail, "not-a-clinicians-endpoint")
        await rows.change(connection, principal.tenant, found.id, {"answers_by": principal.key_id})
        return shown(await endpoint_of(connection, principal, endpoint))


@router.delete(
    "/v1/endpoints/{endpoint}/answering",
    status_code=204,
    summary="Notices carry no answer links any more",
    responses=problem_responses(401, 403, 404, 503),
)
async def no_answering(request: Request, principal: Clinician, endpoint: str) -> None:
    """Links that were sent can be used until they are too old; revoking the clinician's key ends them at once."""
    async with stored(request) as connection:
        found = await endpoint_of(connection, principal, endpoint, lock=True)
        await rows.change(connection, principal.tenant, found.id, {"answers_by": None})


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as its owner sees it."""
    allowed = [kind for kind in types_for(endpoint.role) if kind not in OPERATIONAL]
    now = utc_now()
    found = {name: value for name, value in vars(endpoint).items() if name not in ("tenant", "rests_until")}
    retired = endpoint.retired_until
    return {
        **found,
        "types": endpoint.types or sorted(allowed),
        "retired_until": retired if retired is not None and retired > now else None,
        "breaker": breaker(endpoint.rests_until, now),
    }

"""Proofs for those who do not trust us: checkpoints to keep, that history stands in them, that it only grew since, and whole dossiers."""

from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.api.common import CourseId, answer, named, not_found, packs_now, reading, working
from services.decision.api.courses import course_of
from services.decision.api.forgotten import refuse_erased
from services.decision.api.forms import Shape
from services.decision.arrivals import stamp
from services.decision.audit import dossier as dossiers, proofs
from services.decision.audit.page import page
from services.decision.audit.rows import checked, leaves_of
from services.decision.store import reads, reconciliations, trees
from shared.auth import Principal, requires
from shared.placing import PARTITIONS
from shared.problems import Problem, problem_responses
from shared.proof import Keyring, ProofFault, Signer

router = APIRouter(tags=["audit"])

Auditor = Annotated[Principal, Depends(requires("audit:read"))]
DossierReader = Annotated[Principal, Depends(requires("decisions:read"))]
Size = Annotated[int, Query(ge=0, le=2**62)]

WINDOWS = 200
EVENTS_PREFIX = "/v1/audit/events/"


class KeyForm(Shape):
    """`key`: the public key as a witness takes it (C2SP signed note)."""

    key: str


class CheckpointForm(Shape):
    tree: str
    partition: int
    size: int
    note: str


class CheckpointsForm(Shape):
    items: list[CheckpointForm]


class TreeForm(Shape):
    size: int
    root: str


class ConsistencyForm(Shape):
    tree: str
    partition: int
    first: TreeForm
    second: TreeForm
    path: list[str]


class LeafForm(Shape):
    """Rows under one leaf with their salts, and the path from the leaf to the checkpoint's root."""

    checkpoint: str
    leaf: dict[str, Any]
    hash: str


class ReconciliationForm(Shape):
    """`stream_seq`: up to which message of the bus everything was compared."""

    stream_seq: int
    items: list[dict[str, Any]]


class DossierForm(Shape):
    milepost_dossier: int
    course: str
    key: str
    checkpoint: str
    leaves: list[dict[str, Any]]
    signature: str


@router.get(
    "/v1/audit/key",
    summary="The public key of checkpoints and dossiers",
    response_model=KeyForm,
    responses=problem_responses(401, 403, 503),
)
async def key(request: Request, principal: Auditor) -> Response:
    return answer({"key": Signer(_ring(request).signing_seed).verifier.text})


@router.get(
    "/v1/audit/checkpoints",
    summary="The latest signed checkpoint of every tree",
    response_model=CheckpointsForm,
    responses=problem_responses(401, 403, 503),
)
async def checkpoints(request: Request, principal: Auditor) -> Response:
    """Keep them where we cannot reach them: `milepost verify --witness FILE` holds history against them. They say sizes and roots only."""
    async with working(request) as connection:
        found = await trees.latest(connection)
    return answer({"items": [one._asdict() for one in found]})


@router.get(
    "/v1/audit/consistency",
    summary="That a tree only grew between two sizes",
    response_model=ConsistencyForm,
    responses=problem_responses(401, 403, 404, 422, 503),
)
async def consistent(
    request: Request,
    principal: Auditor,
    tree: Literal["events", "conflicts"] = "events",
    partition: Annotated[int, Query(ge=0, lt=PARTITIONS)] = 0,
    first: Size = 0,
    second: Annotated[int | None, Query(ge=0, le=2**62, description="Default: the latest checkpoint's size")] = None,
) -> Response:
    """RFC 6962, 2.1.2. 404 when the tree has no such size."""
    async with working(request) as connection:
        if second is None:
            point = await trees.signed(connection, tree, partition)
            second = 0 if point is None else point.size
        try:
            found = await proofs.grown_from(connection, tree, partition, first, second)
        except ProofFault:
            raise not_found("tree of these sizes") from None
    return answer(found)


@router.get(
    "/v1/audit/reconciliation",
    summary="That what the bus took is in history, window by window",
    response_model=ReconciliationForm,
    responses=problem_responses(401, 403, 503),
)
async def reconciliation(request: Request, principal: Auditor) -> Response:
    """The latest windows of reception of the whole installation: distinct contents on the bus, those of them in history, those that were
    missing and put on the bus again, and whether the digests were alike.
    """
    async with working(request) as connection:
        place = await reconciliations.place(connection)
        found = await reconciliations.compared(connection, WINDOWS)
    names = ("bus", "history", "missing", "alike")
    return answer({"stream_seq": place, "items": [{"begin": stamp(one[0]), **dict(zip(names, one[1:], strict=True))} for one in found]})


@router.get(
    "/v1/audit/events/{source:path}/{id}",
    summary="That an event, what became of it and its decisions stand in a signed tree",
    response_model=LeafForm,
    responses=problem_responses(401, 403, 404, 410, 503),
)
async def proven_event(request: Request, source: str, id: str, principal: Auditor) -> Response:
    """`source` and `id` are percent-encoded each as one segment. Signs the partition's tree when no checkpoint has the event yet."""
    source, id = (named(part, "event") for part in _parts(request, source, id))
    async with reading(request, principal.tenant) as connection:
        found = await reads.event(connection, principal.tenant, source, id)
        if found is None:
            raise not_found("event")
        await refuse_erased(request, connection, principal.tenant, found.athlete)
        ring, place = _ring(request), await reads.partition_of_event(connection, principal.tenant, source, id)
        opened = await proofs.key_of(connection, ring, principal.tenant, found.athlete)
        (leaf,) = await leaves_of(connection, opened, principal.tenant, found.athlete, place, [found.seq])
    try:
        point = await proofs.signed_up_to(_engine(request), ring, place, found.seq)
        async with working(request) as connection:
            await proofs.include(connection, [leaf], point)
        return answer({"checkpoint": point.note, "leaf": leaf, "hash": checked(leaf).hex()})
    except ProofFault as fault:
        raise _broken(fault) from fault


@router.get(
    "/v1/courses/{course}/dossier",
    summary="The course's dossier: signed, self-contained, verifiable offline",
    response_model=DossierForm,
    responses={200: {"content": {"text/html": {}}}, **problem_responses(401, 403, 404, 410, 422, 503)},
)
async def dossier(
    request: Request,
    course: CourseId,
    principal: DossierReader,
    format: Annotated[Literal["json", "html"], Query(description="`html`: a printable page")] = "json",
) -> Response:
    """Events, what became of them, decisions with their reasons, the packs' texts, proofs and deliveries. Check it anywhere with
    `milepost verify FILE`.
    """
    async with reading(request, principal.tenant, packs=True) as connection:
        found = await course_of(request, connection, principal.tenant, course)
    try:
        made = await dossiers.make(_engine(request), _ring(request), packs_now(request), principal.tenant, found)
    except ProofFault as fault:
        raise _broken(fault) from fault
    if format == "html":
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(page(made), media_type="text/html; charset=utf-8", headers=headers)
    return answer(made)


def _ring(request: Request) -> Keyring:
    ring: Keyring = request.app.state.ring
    return ring


def _engine(request: Request) -> AsyncEngine:
    engine: AsyncEngine = request.app.state.engine
    return engine


def _broken(fault: ProofFault) -> Problem:
    detail = f"history is not what was signed: {fault}; the operator finds the changed row with `milepost verify`"
    return Problem(503, "Not available", detail, "history-not-proven")


def _parts(request: Request, source: str, id: str) -> tuple[str, str]:
    """Source and id as they were sent: once decoded, a slash within them cannot be told from the one between."""
    raw = request.scope.get("raw_path")
    if not isinstance(raw, bytes):
        return source, id
    path = raw.split(b"?", 1)[0].decode("ascii", "replace")
    _, prefix, rest = path.partition(EVENTS_PREFIX)
    first, slash, last = rest.rpartition("/")
    return (unquote(first), unquote(last)) if prefix and slash else (source, id)

"""Replays of a tenant's history: asked for, followed, and what they found."""

import asyncio
from typing import Annotated, Any, Literal

import orjson
import structlog
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.api.audit import Auditor
from services.decision.api.common import JSON, PAGE, Cursor, Limit, answer, moment_of, named, not_found, place_of, reading, working
from services.decision.api.forgotten import is_erased, page_without_erased, refuse_erased
from services.decision.api.forms import Shape
from services.decision.arrivals import stamp
from services.decision.audit import replay as replaying
from services.decision.audit.replay import Asked
from services.decision.lifecycle import store as packs
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.store import Source
from services.decision.packs import Published
from services.decision.store import replays
from services.decision.store.connection import Connection, Database, borrowed
from services.decision.store.remains import WORD
from services.decision.store.replays import Kept, Replay
from shared.problems import Problem, problem_responses
from shared.stopping import told_to_stop

router = APIRouter(tags=["audit"])

SILENT_S = 120.0
LOOK_EVERY_S = 30.0

_log = structlog.get_logger("milepost.decision")


class ReplayAsked(BaseModel):
    """Everything of the tenant, or one athlete's; as known then, or as corrected now; under the recorded packs, or `protocol` instead."""

    model_config = ConfigDict(extra="forbid")

    athlete: str | None = Field(None, min_length=1, max_length=200)
    since: str | None = Field(None, max_length=64, description="Only decisions made at or after this moment")
    until: str | None = Field(None, max_length=64, description="Only decisions made at or before this moment")
    view: Literal["known", "corrected"] = "known"
    protocol: str | None = Field(None, max_length=200, description="`id`, `id@version` or content hash, in place of every recorded version")


class ReplayForm(Shape):
    id: str
    state: Literal["running", "done", "failed"]
    asked: dict[str, Any]
    athletes: int
    done: int
    erased: int
    decisions: int
    differences: int


class ReplayWithDifferences(ReplayForm):
    items: list[dict[str, Any]]
    next: str | None


@router.post(
    "/v1/audit/replays",
    summary="Decide history again and compare",
    status_code=202,
    response_model=ReplayForm,
    responses=problem_responses(400, 401, 403, 404, 410, 422, 503),
)
async def start(request: Request, principal: Auditor, form: ReplayAsked) -> Response:
    """As known then and under the recorded packs, every decision must come out byte for byte. Follow the replay at
    `/v1/audit/replays/{replay}`.
    """
    for name in ("since", "until"):
        moment_of(getattr(form, name), name)
    async with working(request) as connection:
        hash = None if form.protocol is None else await _hash(request, connection, principal.tenant, form.protocol)
        asked = Asked(form.athlete, form.since, form.until, form.view, form.protocol, hash)
        if form.athlete is not None:
            await refuse_erased(request, connection, principal.tenant, named(form.athlete, "athlete"))
        try:
            id = await replaying.start(connection, principal.tenant, principal.key_id, asked)
        except replays.NoSuchAthlete:
            raise not_found("athlete") from None
        found = await replays.read(connection, id)
    assert found is not None, "it was written above"
    runs: Replays = request.app.state.replays
    runs.start(id)
    return Response(orjson.dumps(_shown(found)), 202, media_type=JSON)


@router.get(
    "/v1/audit/replays/{replay}",
    summary="How far a replay is, and what differs",
    response_model=ReplayWithDifferences,
    responses=problem_responses(400, 401, 403, 404, 422, 503),
)
async def read(
    request: Request,
    replay: Annotated[str, Path(description="The replay's id")],
    principal: Auditor,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Response:
    """Differences in the order found, each with both records side by side; at most 10,000 are kept, all are counted."""
    listing = f"replay {replay}"
    after = place_of(request, principal, listing, cursor) or [0]
    async with reading(request, principal.tenant) as connection:
        found = await replays.read(connection, replay) if "\0" not in replay else None
        if found is None or found.tenant != principal.tenant:
            raise not_found("replay")
        tenant, count = principal.tenant, limit + 1

        async def behind(n: int) -> list[Kept]:
            return await replays.differences(connection, replay, n, count)

        kept = await page_without_erased(request, connection, tenant, behind, after[0], count, lambda one: one.athlete, lambda one: one.n)
        asked_of = found.asked.get("athlete")
        if asked_of is not None and await is_erased(request, connection, tenant, asked_of):
            found = found._replace(asked=found.asked | {"athlete": WORD})
    following = None
    if len(kept) > limit:
        following = request.app.state.cursors.make(listing, principal.tenant, [kept[limit - 1].n])
    return answer({**_shown(found), "items": replaying.shown(kept[:limit]), "next": following})


def _shown(replay: Replay) -> dict[str, Any]:
    return {
        "id": replay.id,
        "state": replay.state,
        "because": replay.because,
        "asked": {name: value for name, value in replay.asked.items() if value is not None},
        "started_at": stamp(replay.started_at),
        "ended_at": None if replay.ended_at is None else stamp(replay.ended_at),
        "athletes": replay.athletes,
        "done": replay.done,
        "erased": replay.erased,
        "decisions": replay.decisions,
        "differences": replay.differences,
    }


async def _hash(request: Request, connection: Connection, tenant: str, protocol: str) -> str:
    library: Published = request.app.state.packs
    await library.refresh(connection)
    found = library.of(tenant).resolve(protocol)
    if found is None:
        raise not_found("protocol")
    if found.hash in library.unread:
        detail = f"this release cannot run {found.id}@{found.version} ({library.unread[found.hash][2]}): name another protocol"
        raise Problem(422, "Protocol cannot be run", detail, "protocol-unread")
    return found.hash


class Replays:
    """The replays that this process runs; `watch` also takes over those of processes that ended."""

    def __init__(self, engine: AsyncEngine, database: Database, library: Published, pool: Pool) -> None:
        self._engine = engine
        self._database = database
        self._library = library
        self._pool = pool
        self._running: set[asyncio.Task[None]] = set()

    def start(self, id: str) -> None:
        task = asyncio.create_task(self._run(id))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def watch(self) -> None:
        while not told_to_stop():
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with borrowed(self._engine) as connection:
                    silent = await replays.claim(connection, SILENT_S)
            except Exception as fault:
                _log.warning("replays could not be looked for", exc_info=fault)
                continue
            for id in silent:
                self.start(id)

    async def close(self) -> None:
        """Stops what runs; it goes on where it was, with whoever looks next."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, id: str) -> None:
        try:
            async with borrowed(self._engine) as connection:
                replay = await replays.read(connection, id)
                source = None if replay is None else await self._source(connection, replay)
            await replaying.run(self._engine, self._database, self._pool, id, source)
        except Exception as fault:
            _log.error("a replay failed", exc_info=fault)

    async def _source(self, connection: Connection, replay: Replay) -> Source | None:
        """The text of the pack that was asked for in place of the recorded ones."""
        asked = Asked(**replay.asked)
        if asked.pack_hash is None:
            return None
        for pack in self._library.shipped.packs:
            if pack.protocol.hash == asked.pack_hash:
                return Source(pack.source.raw, tuple(floor.raw for floor in pack.floors))
        known = self._library.by_hash[asked.pack_hash]
        scopes = (replay.tenant or "", packs.SHARED)
        return (await packs.sources(connection, [(scope, known.id, asked.pack_hash) for scope in scopes]))[asked.pack_hash]

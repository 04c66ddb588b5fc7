"""Backtests of drafts over stored history, and approved packs in shadow.

Counts are for whoever reads packs, athletes and their decisions only for whoever reads decisions.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from services.decision.api import pack_forms as forms
from services.decision.api.common import (
    JSON,
    PAGE,
    ClinicalLead,
    Cursor,
    DecisionsReader,
    Limit,
    ProtocolsReader,
    ProtocolsWriter,
    answer,
    named,
    not_found,
    page,
    place_of,
    reading,
    working,
)
from services.decision.api.forgotten import page_without_erased, without_erased
from services.decision.api.pack_life import answered, done, office, who
from services.decision.lifecycle import past
from services.decision.lifecycle.backtest import UNOBSERVED, Backtests, state_of
from services.decision.lifecycle.past import Kept, Run
from services.decision.lifecycle.trials import Trials
from services.decision.rules.check import Lived
from services.decision.rules.check.dead import looked_at
from services.decision.store.connection import Connection
from shared.auth import requires
from shared.problems import Problem, problem_responses

router = APIRouter(tags=["protocols"])

WAIT_S: Final = 25.0
"""How long a request for tests waits for their end before it says where to follow them."""

_REFUSALS = problem_responses(400, 401, 403, 404, 409, 422, 503)
ReadsProtocols = Depends(requires("protocols:read"))


@router.post(
    "/v1/protocols/{id}/test",
    summary="Run the draft's tests",
    response_model=forms.PackLife,
    responses={202: {"model": forms.PackLife, "description": "The tests still run: follow `testing`"}, **_REFUSALS},
)
async def test(request: Request, id: str, principal: ProtocolsWriter, form: forms.HashForm) -> Response:
    """Every story, every recorded case (or the borders made of the pack), and every mutant of the pack; `revision.test` says which end
    otherwise, what share of the mutants is noticed, and which survive. A pack whose survivors are not explained, or that notices fewer than
    95 %, is not tested. Where that takes long the answer is 202, and `testing` names the run to follow at `/tests/{run}`.
    """
    trials: Trials = request.app.state.trials
    id = named(id, "protocol")
    async with working(request) as connection:
        run = await done(trials.start(connection, principal.tenant, id, who(principal), form.hash))
    await trials.wait(run.id, WAIT_S)
    async with working(request) as connection:
        shown = _tests(await _run(connection, principal.tenant, id, run.id, "test"))
        life = await done(office(request).life(connection, principal.tenant, id))
    if shown["state"] == "failed":
        raise Problem(503, "Not available", shown["because"], "not-available")
    going = shown["state"] == "running"
    return Response(orjson.dumps(forms.life(id, life) | {"testing": shown if going else None}), 202 if going else 200, media_type=JSON)


@router.get(
    "/v1/protocols/{id}/tests/{run}",
    summary="How far the tests of a draft are",
    response_model=forms.TestsForm,
    responses=problem_responses(401, 403, 404, 503),
)
async def tests(request: Request, id: str, run: str, principal: ProtocolsReader) -> Response:
    async with reading(request, principal.tenant) as connection:
        return answer(_tests(await _run(connection, principal.tenant, id, run, "test")))


@router.post("/v1/protocols/{id}/tests/{run}/cancel", summary="Stop the tests", response_model=forms.TestsForm, responses=_REFUSALS)
async def cancel_tests(request: Request, id: str, run: str, principal: ProtocolsWriter) -> Response:
    """The draft stays as it was. Tests that have ended stay as they are."""
    async with working(request) as connection:
        await _run(connection, principal.tenant, id, run, "test")
        await past.end(connection, principal.tenant, run, "cancelled", f"cancelled by key {principal.key_id}")
        return answer(_tests(await _run(connection, principal.tenant, id, run, "test")))


@router.post(
    "/v1/protocols/{id}/backtests",
    summary="Run the draft over stored history",
    status_code=202,
    response_model=forms.BacktestForm,
    responses=_REFUSALS,
)
async def start(request: Request, id: str, principal: ProtocolsWriter, form: forms.BacktestAsked) -> Response:
    """Every decision of the tenant's courses under this protocol is decided again by the draft, with the same facts. Follow the run at
    `/backtests/{backtest}`. Outcomes under the other rule remain unobserved.
    """
    runs: Backtests = request.app.state.backtests
    id = named(id, "protocol")
    async with working(request) as connection:
        run = await done(runs.start(connection, principal.tenant, id, who(principal), form.hash, form.over))
    return Response(orjson.dumps(_shown(run)), 202, media_type=JSON)


@router.get(
    "/v1/protocols/{id}/backtests",
    summary="The runs of a pack, the newest first",
    response_model=forms.BacktestsForm,
    responses=problem_responses(401, 403, 404, 503),
)
async def runs(request: Request, id: str, principal: ProtocolsReader) -> Response:
    async with reading(request, principal.tenant) as connection:
        await done(office(request).life(connection, principal.tenant, named(id, "protocol")))
        found = await past.runs(connection, principal.tenant, id)
    return answer({"items": [_shown(run, whole=False) for run in found]})


@router.get(
    "/v1/protocols/{id}/backtests/{backtest}",
    summary="How far a run is, and what it found",
    response_model=forms.BacktestForm,
    responses=problem_responses(401, 403, 404, 503),
)
async def one_run(request: Request, id: str, backtest: str, principal: ProtocolsReader) -> Response:
    async with reading(request, principal.tenant) as connection:
        return answer(_shown(await _run(connection, principal.tenant, id, backtest)))


@router.post("/v1/protocols/{id}/backtests/{backtest}/cancel", summary="Stop a run", response_model=forms.BacktestForm, responses=_REFUSALS)
async def cancel(request: Request, id: str, backtest: str, principal: ProtocolsWriter) -> Response:
    """What it found until now stays. A run that has ended stays as it is."""
    async with working(request) as connection:
        await _run(connection, principal.tenant, id, backtest)
        await past.end(connection, principal.tenant, backtest, "cancelled", f"cancelled by key {principal.key_id}")
        return answer(_shown(await _run(connection, principal.tenant, id, backtest)))


@router.get(
    "/v1/protocols/{id}/backtests/{backtest}/differences",
    summary="Each decision that would have been another",
    response_model=forms.DifferencesPage,
    responses=problem_responses(400, 401, 403, 404, 422, 503),
    dependencies=[ReadsProtocols],
)
async def differences(
    request: Request,
    id: str,
    backtest: str,
    principal: DecisionsReader,
    direction: Annotated[Literal["more_permissive", "more_conservative", "not_comparable"] | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Response:
    """Who and when, both decisions with their whole explanation, and what differs."""
    listing = f"differences {id} {backtest} {direction}"
    after = place_of(request, principal, listing, cursor) or [0]
    async with reading(request, principal.tenant) as connection:
        await _run(connection, principal.tenant, id, backtest)
        tenant, count = principal.tenant, limit + 1

        async def behind(n: int) -> list[Kept]:
            return await past.differences(connection, tenant, backtest, direction, n, count)

        rows = await page_without_erased(request, connection, tenant, behind, after[0], count, lambda one: one.athlete, lambda one: one.n)
    return page(request, principal, listing, rows, limit, _opened, lambda row: [row.n])


@router.post("/v1/protocols/{id}/shadow", summary="Run what is approved in shadow", response_model=forms.PackLife, responses=_REFUSALS)
async def shadow(request: Request, id: str, principal: ClinicalLead, form: forms.HashForm) -> Response:
    """From now on beside what is live: the same facts at the same moments, kept apart, told to nobody."""
    id = named(id, "protocol")
    async with working(request) as connection:
        pack = await done(office(request).shadow(connection, principal.tenant, id, who(principal), form.hash))
    return answered(id, pack)


@router.post("/v1/protocols/{id}/shadow/end", summary="End the shadow", response_model=forms.PackLife, responses=_REFUSALS)
async def end_shadow(request: Request, id: str, principal: ClinicalLead, form: forms.HashForm) -> Response:
    """It stays approved; what it would have decided stays to be read."""
    id = named(id, "protocol")
    async with working(request) as connection:
        pack = await done(office(request).note(connection, principal.tenant, id, who(principal), "shadow_ended", form.hash))
    return answered(id, pack)


@router.get(
    "/v1/protocols/{id}/shadow",
    summary="What the shadow would have decided otherwise",
    response_model=forms.ShadowForm,
    responses=problem_responses(401, 403, 404, 422, 503),
    dependencies=[ReadsProtocols],
)
async def shadow_report(
    request: Request, id: str, principal: DecisionsReader, hash: forms.Hash | None = None, limit: Limit = PAGE
) -> Response:
    """Counts by direction, and the latest decisions that differ or that it could not follow. `hash`: of an earlier shadow."""
    async with reading(request, principal.tenant) as connection:
        life = await done(office(request).life(connection, principal.tenant, named(id, "protocol")))
        wanted = hash or (None if life.revision is None else life.revision.hash)
        counts = {} if wanted is None else await past.shadow_counts(connection, principal.tenant, id, wanted)
        found = [] if wanted is None else await past.shadow_differences(connection, principal.tenant, id, wanted, limit)
        rows = await without_erased(request, connection, principal.tenant, found, lambda one: one.athlete)
    return answer({"id": id, "hash": wanted, "counts": counts, "note": UNOBSERVED, "items": [_opened(row) for row in rows]})


async def _run(connection: Connection, tenant: str, id: str, run: str, kind: past.Kind = "backtest") -> Run:
    found = await past.run(connection, tenant, named(id, "protocol"), named(run, kind), kind)
    if found is None:
        raise not_found(kind)
    return found


def _tests(run: Run) -> dict[str, Any]:
    state, because = state_of(run, datetime.now(UTC))
    told = {"id": run.id, "protocol": run.pack, "hash": run.hash, "state": state, "because": because}
    return {**told, "mutants": run.athletes, "done": run.athletes if state == "done" else run.done}


def _shown(run: Run, whole: bool = True) -> dict[str, Any]:
    """`whole`: with what the stored decisions say of each rule, condition and step."""
    state, because = state_of(run, datetime.now(UTC))
    counts = {name: one for name, one in run.counts.items() if name != "lived"}
    lived = Lived.of_json(run.counts["lived"]) if whole and "lived" in run.counts else None
    history = {} if lived is None else {"looked_at": looked_at(lived), "history": [one._asdict() for one in lived.said()]}
    return {
        "id": run.id,
        "protocol": run.pack,
        "hash": run.hash,
        "over": run.over,
        "by": run.actor,
        "state": state,
        "because": because,
        "started": forms.stamp(run.started_at),
        "ended": None if run.ended_at is None else forms.stamp(run.ended_at),
        "athletes": run.athletes,
        "done": run.done,
        "counts": counts,
        "note": UNOBSERVED,
        **history,
    }


def _opened(row: Kept) -> dict[str, Any]:
    return {
        "direction": row.direction,
        "athlete": row.athlete,
        "course": row.course,
        "seq": row.seq,
        "because": row.because,
        "before": None if row.before is None else orjson.Fragment(row.before),
        "after": None if row.after is None else orjson.Fragment(row.after),
    }

"""The athlete's right to see: everything that history holds of one athlete, as one file."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.decision.api.common import AthleteId, named, not_found, packs_now, reading
from services.decision.api.forgotten import erased
from services.decision.api.forms import Shape
from services.decision.export import NothingKnown, as_csv, as_json, gather
from shared.auth import Principal, requires
from shared.problems import Problem, problem_responses

router = APIRouter(tags=["athletes"])

AT_ONCE: Final = 3
"""Exports under way in one process: each holds a connection for as long as its reader takes."""

Exporter = Annotated[Principal, Depends(requires("athletes:export"))]
Accept = Annotated[str | None, Header(include_in_schema=False)]
_CSV: Final = ("application/zip", "text/csv")


class ExportForm(Shape):
    """A list per table; docs/export.md says what each column means. `counts`: how many records each list has."""

    milepost_export: int
    made_at: str
    tenant: str
    subject: str
    events: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    courses: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    notices: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    acknowledgements: list[dict[str, Any]]
    terms: list[dict[str, Any]]
    packs: list[dict[str, Any]]
    counts: dict[str, int]


class _Export(StreamingResponse):
    """Gives the connection back at once when the reader leaves."""

    body_iterator: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


@router.get(
    "/v1/athletes/{athlete}/export",
    summary="Everything that history holds of an athlete",
    response_model=ExportForm,
    responses={200: {"content": {"application/zip": {}}}, **problem_responses(401, 403, 404, 410, 422, 503)},
)
async def export(
    request: Request,
    athlete: AthleteId,
    principal: Exporter,
    format: Annotated[
        Literal["json", "csv"] | None, Query(description="`csv`: a zip of tables; default: as `Accept` says, else JSON")
    ] = None,
    accept: Accept = None,
) -> _Export:
    """Events, what became of them, decisions in plain words, answers, what was told to whom, terms, rule packs, as of one moment. 410 for
    an athlete that was erased.
    """
    named(athlete, "athlete")
    tables = format == "csv" or (format is None and _prefers_tables(accept))
    under_way: asyncio.Semaphore = request.app.state.exports
    if under_way.locked():
        detail = "as many exports as this process serves at once are under way; repeat the request after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "5"})
    pieces = _pieces(request, under_way, principal.tenant, athlete, tables)
    try:
        first = await anext(pieces)
    except NothingKnown as fault:
        if fault.erased:
            raise erased() from None
        raise not_found("athlete") from None
    name = "export.zip" if tables else "export.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return _Export(_rest(first, pieces), media_type="application/zip" if tables else "application/json", headers=headers)


async def _pieces(request: Request, under_way: asyncio.Semaphore, tenant: str, athlete: str, tables: bool) -> AsyncGenerator[bytes, None]:
    async with under_way, reading(request, tenant, packs=True) as connection:
        library, key = packs_now(request), request.app.state.settings.pseudonym_key_bytes
        async with aclosing(gather(connection, library, key, tenant, athlete)) as records:
            written = as_csv(records) if tables else as_json(records, tenant, athlete)
            async with aclosing(written) as pieces:
                async for piece in pieces:
                    yield piece


async def _rest(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def _prefers_tables(accept: str | None) -> bool:
    """Whether the reader asks for a zip or CSV and not for JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in (accept or "").split(",")]
    return any(kind in _CSV for kind in kinds) and "application/json" not in kinds

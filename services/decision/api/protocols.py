"""The protocols that courses may follow."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from services.decision.api import forms
from services.decision.api.common import ProtocolsReader, answer, not_found, refreshed, working
from services.decision.core.protocol import Protocol
from shared.problems import problem_responses

router = APIRouter(tags=["protocols"])


@router.get(
    "/v1/protocols",
    summary="The published protocols",
    response_model=forms.ProtocolsForm,
    responses=problem_responses(401, 403, 503),
)
async def protocols(request: Request, principal: ProtocolsReader) -> Response:
    async with working(request) as connection:
        packs = await refreshed(request, connection)
    mine = packs.of(principal.tenant)
    prepared = [
        {"id": pack, "version": life.revision.version, "hash": life.revision.hash, "state": life.revision.state}
        for (tenant, pack), life in sorted(packs.lives.items())
        if tenant == principal.tenant and life.revision is not None and life.revision.state != "live"
    ]
    live = [pack for name in mine.names() if (pack := mine.resolve(name)) is not None]
    return answer({"items": [_brief(pack, packs.shipped.by_hash) for pack in live], "in_preparation": prepared})


@router.get(
    "/v1/protocols/{id}",
    summary="A protocol: ladder, rules, rates and sources",
    response_model=forms.ProtocolForm,
    responses=problem_responses(401, 403, 404, 503),
)
async def protocol(request: Request, id: str, principal: ProtocolsReader) -> Response:
    """`id`, or `id@version`; without a version, the one that new courses get."""
    async with working(request) as connection:
        packs = await refreshed(request, connection)
    found = packs.of(principal.tenant).resolve(id)
    if found is None:
        raise not_found("protocol")
    return answer(_whole(found, packs.shipped.by_hash))


def _brief(pack: Protocol, shipped: Mapping[str, Protocol]) -> dict[str, Any]:
    """`expired` packs are shown and say so: every course on one holds."""
    return {
        "origin": "shipped" if pack.hash in shipped else "own",
        "expires": None if pack.expires is None else pack.expires.isoformat(),
        "expired": pack.expires is not None and pack.expires < datetime.now(UTC).date(),
        "id": pack.id,
        "version": pack.version,
        "hash": pack.hash,
        "title": pack.title,
        "steps": [step.id for step in pack.ladder],
        "tissues": list(pack.population.tissues),
        "sites": list(pack.population.sites),
    }


def _whole(pack: Protocol, shipped: Mapping[str, Protocol]) -> dict[str, Any]:
    return {
        **_brief(pack, shipped),
        "ladder": [{"id": step.id, "dose": step.dose, "raises": list(step.raises)} for step in pack.ladder],
        "rules": [
            {
                "id": rule.id,
                "kind": rule.kind,
                "text": rule.text,
                "steps": rule.steps,
                "tissues": rule.tissues,
                "citation": list(rule.cite),
                "grade": rule.grade,
            }
            for rule in pack.rules
        ],
        "rates": list(pack.rates),
        "rest_days": dict(pack.rest_days),
        "stop_if": list(pack.stop_if),
        "sources": dict(pack.sources),
    }

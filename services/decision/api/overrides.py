"""How often clinicians decide otherwise than recommended: by the rule that decided, and by the reason they gave."""

from collections import Counter
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from services.decision.api import forms
from services.decision.api.common import DecisionsReader, InstantText, answer, moment_of, reading
from services.decision.api.forgotten import without_erased
from services.decision.store import overrides as rows
from shared.problems import problem_responses

router = APIRouter(tags=["recommendations"])

NO_REASON = ""


@router.get(
    "/v1/overrides",
    summary="Answers that overrode a recommendation, by rule and by reason",
    response_model=forms.OverridesForm,
    responses=problem_responses(401, 403, 422, 503),
)
async def overrides(
    request: Request,
    principal: DecisionsReader,
    since: InstantText = None,
    until: InstantText = None,
    protocol: Annotated[str | None, Query(max_length=200, description="Only answers to decisions by this protocol's id")] = None,
) -> Response:
    """An answer overrides when it declines or modifies. `by_rule` counts, for each rule that spoke in the decision answered, how its
    recommendations were answered; `by_reason` counts the reasons as they were given, upper and lower case alike."""
    begin, end = moment_of(since, "since"), moment_of(until, "until")
    async with reading(request, principal.tenant) as connection:
        known = await rows.answers(connection, principal.tenant, begin, end)
        found = await without_erased(request, connection, principal.tenant, known, lambda one: one.athlete)
    total: Counter[str] = Counter()
    rules: dict[tuple[str, str], Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for one in found:
        decision = orjson.loads(one.decision)
        if protocol is not None and decision["protocol"]["id"] != protocol:
            continue
        total[one.answer] += 1
        for rule, outcome in sorted({(reason["rule"], reason["outcome"]) for reason in decision["reasons"] if _spoke(reason)}):
            rules.setdefault((rule, outcome), Counter())[one.answer] += 1
        if one.answer != "accepted":
            reasons.setdefault(" ".join((one.reason or NO_REASON).casefold().split()), Counter())[one.answer] += 1
    return answer(
        {
            **_counted(total),
            "by_rule": [{"rule": rule, "outcome": outcome, **_counted(rules[rule, outcome])} for rule, outcome in sorted(rules)],
            "by_reason": [
                {"reason": reason or None, "declined": count["declined"], "modified": count["modified"]}
                for reason, count in sorted(reasons.items(), key=lambda item: (-item[1].total(), item[0]))
            ],
        }
    )


def _spoke(reason: dict[str, Any]) -> bool:
    return reason["outcome"] not in ("not_met", "unknown")


def _counted(answers: Counter[str]) -> dict[str, Any]:
    overridden = answers["declined"] + answers["modified"]
    share = round(overridden / answers.total(), 4) if answers.total() else None
    named = {name: answers[name] for name in ("accepted", "declined", "modified")}
    return {"answers": answers.total(), **named, "override_share": share}

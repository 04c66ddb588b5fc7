"""OVERLAP: where two rules of different kinds speak of the same athlete, and which of them wins."""

from collections.abc import Iterator

from services.decision.core.protocol import TISSUES, Rule
from services.decision.core.question import applies
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import listed
from services.decision.rules.prove.boxes import boxes, common, said

CODE = "OVERLAP"
STRICTEST = ("refer", "regress", "hold")


def check(case: Case) -> Iterator[Finding]:
    """Only rules that hold, send back or refer: that they speak of one fact at once is meant, but worth knowing."""
    protocol, space = case.protocol, case.proof.space
    rules = [rule for rule in protocol.rules if rule.kind != "advance"]
    shapes = {rule.id: boxes(protocol, rule, space) for rule in rules}
    scopes = {rule.id: _scope(case, rule) for rule in rules}
    for n, one in enumerate(rules):
        for other in rules[n + 1 :]:
            if one.kind == other.kind or not scopes[one.id][0] & scopes[other.id][0] or not scopes[one.id][1] & scopes[other.id][1]:
                continue
            shared = common(shapes[one.id], shapes[other.id])
            if shared is None:
                continue
            winner, loser = sorted((one, other), key=lambda rule: STRICTEST.index(rule.kind))
            told = f"{winner.id} ({winner.kind}) and {loser.id} ({loser.kind}) both speak where {listed(list(said(shared, space)))}"
            yield Finding(CODE, "info", *case.at_rule(loser.id, "when"), f"{told}: the stricter wins")


def _scope(case: Case, rule: Rule) -> tuple[set[str], set[str]]:
    steps = {step for step in case.protocol.steps if any(applies(rule, step, tissue) for tissue in TISSUES)}
    return steps, {tissue for tissue in TISSUES if any(applies(rule, step, tissue) for step in case.protocol.steps)}

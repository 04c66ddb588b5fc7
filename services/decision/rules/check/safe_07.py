"""SAFE-07: between advancing and going back on one measure there is a band that holds."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import Condition, Rule
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, number
from services.decision.rules.prove.boxes import cells_of

CODE = "SAFE-07"

MEASURED = ("pain", "swelling", "stiffness", "function", "technique", "wellness", "readiness")
"""Families of what is measured or felt and can waver from one report to the next; dates and counts of sessions cannot."""


def check(case: Case) -> Iterator[Finding]:
    protocol = case.protocol
    for rule in protocol.rules:
        if rule.kind != "regress":
            continue
        for at, entry in enumerate(rule.when):
            for one in flat([entry]):
                fact = protocol.facts[protocol.slots[one.slot].fact]
                if fact.kind == "boolean" or fact.family not in MEASURED or fact.worse not in ("higher", "lower"):
                    continue
                if one.encoded == 0 and one.op in ("above", "at_least") and one.cite:
                    continue  # A cited ceiling of zero: the first sign of it sends back, and there is no room for a band.
                told = _without_band(case, rule, one)
                if told is not None:
                    yield Finding(
                        CODE,
                        "error",
                        *case.at_rule(rule.id, f"when[{at}]"),
                        f"{label(fact)} leads straight from advancing to going back: no value in between holds",
                        told,
                        "Let a hold begin before the regress does, at least one step of the scale earlier.",
                    )


def _without_band(case: Case, rule: Rule, condition: Condition) -> str | None:
    """An athlete who advances on the value next to the first that sends back, where there is one."""
    protocol, proof = case.protocol, case.proof
    name = protocol.slots[condition.slot].fact
    domain = proof.space[name]
    cells = list(domain.cells())
    mask = cells_of(protocol, condition, domain)
    rising = domain.fact.worse == "higher"
    order = list(range(len(cells))) if rising else list(reversed(range(len(cells))))
    first = next((n for n, cell in enumerate(order) if mask >> cell & 1), None)
    if not first:
        return None
    last_good = order[first - 1]
    value = cells[last_good][1] if rising else cells[last_good][0]
    here = [proof.state.is_known[name], proof.state.up_to(name, cells[last_good][1])]
    here.append(proof.solver.no(proof.state.up_to(name, cells[last_good][0] - 1)))
    scope = proof.encoding.scopes[protocol.rules.index(rule)]
    model = proof.find(CODE, proof.verdict.advance, scope, *here, well=(proof.state,))
    if model is None:
        return None
    athlete = proof.confirmed(proof.athlete(model, proof.state, (name,)), "advance")
    worse = cells[order[first]][0] if rising else cells[order[first]][1]
    told = f"{label(domain.fact)} {number(domain.fact, value)}"
    return f"An athlete at {athlete.step} with {told}, all else well, would be advanced; with {number(domain.fact, worse)} sent back."

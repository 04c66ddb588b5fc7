"""SUBSUMED: no condition says again what the others of its rule say already."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import AnyOf, Condition
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, listed

CODE = "SUBSUMED"

BOUND_TOGETHER = ("session.rise_next_morning", "session.pain_higher_next_morning")
"""Facts that say something of each other."""


def check(case: Case) -> Iterator[Finding]:
    proof, protocol = case.proof, case.protocol
    for rule in protocol.rules:
        facts = [_facts(case, entry) for entry in rule.when]
        for at, entry in enumerate(rule.when):
            others = [other for n, other in enumerate(rule.when) if n != at]
            if not any(facts[at] & facts[n] for n in range(len(rule.when)) if n != at):
                continue
            met, _ = proof.encoding.entries([entry], proof.state, {})
            rest, _ = proof.encoding.entries(others, proof.state, {})
            if not proof.solver.possible(CODE, rest, proof.solver.no(met)):
                said = listed([label(protocol.facts[name]) for name in sorted(_facts(case, entry, widened=False))])
                yield Finding(
                    CODE,
                    "warning",
                    *case.at_rule(rule.id, f"when[{at}]"),
                    f"the condition of {rule.id} on {said} follows from the others of the rule",
                    fix="Take it out, or mend the threshold that makes it follow.",
                )
                break


def _facts(case: Case, entry: Condition | AnyOf, widened: bool = True) -> set[str]:
    names = {case.protocol.slots[one.slot].fact for one in flat([entry])}
    return names | set(BOUND_TOGETHER) if widened and names & set(BOUND_TOGETHER) else names

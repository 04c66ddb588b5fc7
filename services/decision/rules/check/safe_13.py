"""SAFE-13: sources that say different things are shown to the reader."""

from collections.abc import Iterator
from itertools import combinations

from services.decision.core.conditions import flat
from services.decision.core.protocol import TISSUES, Condition, FactType, Protocol, Rule
from services.decision.core.question import applies
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, number

CODE = "SAFE-13"


def check(case: Case) -> Iterator[Finding]:
    """Two rules of one kind, at one step for one tissue, put different published thresholds to one fact."""
    protocol = case.protocol
    read: dict[tuple[str, str, str], list[tuple[Rule, Condition]]] = {}
    for rule in protocol.rules:
        for one in flat(rule.when):
            slot = protocol.slots[one.slot]
            if protocol.facts[slot.fact].kind == "number" and isinstance(one.encoded, int) and _published(protocol, one):
                direction = "up" if one.op in ("at_least", "above") else "down"
                read.setdefault((slot.fact, rule.kind, direction), []).append((rule, one))
    for (name, kind, _), found in read.items():
        for (a, one), (b, other) in combinations(found, 2):
            if a is b or one.encoded == other.encoded or set(_published(protocol, one)) & set(_published(protocol, other)):
                continue
            if a.then != b.then or not _same_scope(protocol, a, b):
                continue  # Different consequences or a narrower population are different questions.
            if a.disagreement or b.disagreement or protocol.disagreement:
                continue
            fact = protocol.facts[name]
            later = b if not case.of_floor(b.id) else a
            yield Finding(
                CODE,
                "error",
                *case.at_rule(later.id),
                f"{a.id} and {b.id} both {kind} on {label(fact)}, at {_at(fact, one)} and at {_at(fact, other)}, from different sources",
                f"An athlete between the two is judged by {_at(fact, one)} of {one.cite[0]}; {other.cite[0]} says {_at(fact, other)}.",
                "Say so under `disagreement`, on the rule or on the pack; the more cautious of the two wins either way.",
            )


def _at(fact: FactType, condition: Condition) -> str:
    assert isinstance(condition.encoded, int)
    return number(fact, condition.encoded)


def _published(protocol: Protocol, condition: Condition) -> list[str]:
    return [cite for cite in condition.cite if protocol.grades.get(cite) in ("primary", "secondary")]


def _same_scope(protocol: Protocol, a: Rule, b: Rule) -> bool:
    return all(applies(a, step, tissue) == applies(b, step, tissue) for step in protocol.steps for tissue in TISSUES)

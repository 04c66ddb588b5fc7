"""The full trace: every condition of every rule of the pack, with value, threshold, margin and verdict."""

from collections.abc import Sequence
from fractions import Fraction

from services.decision.core.citing import cited, plain
from services.decision.core.conditions import each, holds, together
from services.decision.core.explain import headed
from services.decision.core.facts.registry import encode
from services.decision.core.protocol import Condition, FactType, Rule
from services.decision.core.question import applies
from services.decision.core.sessions import Fact
from services.decision.core.telling import Record
from services.decision.core.trivalent import Unknown
from services.decision.core.verdict import Judge, Verdict
from shared.events.canonical import parsed


def trace(judge: Judge, verdict: Verdict) -> list[Record]:
    """One entry per rule, by id. A rule with `in_scope` false takes no part in the decision, whatever its conditions say.

    `any_of` numbers, from 1, the alternatives that a condition belongs to; it is null where the condition has to be met itself.
    `margin` is how far the value lies inside the threshold, in the fact's unit, negative outside; null where it is unknown or yes or no.
    """
    course = verdict.view.course
    facts = judge.read_all(verdict.view)
    values = [
        None if isinstance(fact.value, Unknown) else encode(judge.protocol.facts[slot.fact], fact.value)
        for fact, slot in zip(facts, judge.protocol.slots, strict=True)
    ]
    told = [_traced(judge, rule, facts, values, applies(rule, course.step, course.tissue)) for rule in judge.protocol.rules]
    return sorted(told, key=lambda entry: entry["rule"])


def _traced(judge: Judge, rule: Rule, facts: Sequence[Fact], values: Sequence[int | None], in_scope: bool) -> Record:
    numbers = _alternatives(judge, rule)
    found = []
    for point in judge.outlines[rule.id]:
        fact = facts[point.condition.slot]
        slot = judge.protocol.slots[point.condition.slot]
        told = parsed(cited(point, fact, holds(point.condition, values)).encoded)
        told["margin"] = margin(judge.protocol.facts[slot.fact], point.condition, values[point.condition.slot])
        told["any_of"] = numbers.get(point.entry)
        told["max_age_days"], told["assessor"] = slot.max_age_days, slot.assessor
        told["citation"] = list(point.condition.cite)
        found.append(told)
    return {
        **headed(rule, together(rule.when, values), found),
        "kind": rule.kind,
        "in_scope": in_scope,
        "on_unknown": "hold" if rule.kind == "advance" else rule.unknown,
        "conditions": [tri.word for tri in each(rule.when, values)],
    }


def _alternatives(judge: Judge, rule: Rule) -> dict[int, int]:
    entries = dict.fromkeys(point.entry for point in judge.outlines[rule.id] if point.alternative)
    return {entry: number for number, entry in enumerate(sorted(entries), 1)}


def margin(kind: FactType, condition: Condition, value: int | None) -> int | float | None:
    """How far `value`, as the engines compare it, lies inside the threshold, negative outside, in the fact's unit or in grades."""
    threshold = condition.encoded
    if value is None or isinstance(threshold, tuple) or kind.kind == "boolean":
        return None
    if condition.op in ("at_most", "below"):
        inside = threshold - value
    elif condition.op in ("at_least", "above"):
        inside = value - threshold
    else:
        inside = -abs(value - threshold)
    scaled: int | float = plain(float(Fraction(inside, kind.scale)))
    return scaled

"""Rules as boxes: for each fact the cells of its domain that a rule allows. What two rules have in common is read off, not searched."""

from collections.abc import Iterator, Mapping
from itertools import islice, product

from services.decision.core.conditions import holds
from services.decision.core.protocol import AnyOf, Condition, Protocol, Rule
from services.decision.core.trivalent import Tri
from services.decision.rules.prove.athlete import label, number
from services.decision.rules.prove.space import Domain

Box = dict[str, int]
"""Fact to a bit for each cell that is allowed; a fact that is not named may be anything."""

MOST = 64
"""Boxes of one rule that are looked at; a rule with more alternatives has these and others."""


def cells_of(protocol: Protocol, condition: Condition, domain: Domain) -> int:
    """The cells in which the condition is met."""
    values: list[int | None] = [None] * len(protocol.slots)
    mask = 0
    for bit, (first, _) in enumerate(domain.cells()):
        values[condition.slot] = first
        if holds(condition, values) is Tri.MET:
            mask |= 1 << bit
    return mask


def boxes(protocol: Protocol, rule: Rule, space: Mapping[str, Domain]) -> list[Box]:
    """The rule as a union of boxes."""
    found: list[Box] = []
    choices = [entry.conditions if isinstance(entry, AnyOf) else (entry,) for entry in rule.when]
    for picked in islice(product(*choices), MOST):
        box: Box = {}
        for condition in picked:
            name = protocol.slots[condition.slot].fact
            box[name] = box.get(name, -1) & cells_of(protocol, condition, space[name])
        if all(box.values()):
            found.append(box)
    return found


def common(one: list[Box], other: list[Box]) -> Box | None:
    """A box inside both, named by the facts they share; None where they have nothing in common or share no fact."""
    for a in one:
        for b in other:
            shared = {name: a[name] & b[name] for name in a if name in b}
            if shared and all(shared.values()):
                return shared
    return None


def said(box: Box, space: Mapping[str, Domain]) -> Iterator[str]:
    """Each fact of a box with its values: `pain now 3 to 10 of 10`."""
    for name, mask in box.items():
        domain = space[name]
        cells = [cell for bit, cell in enumerate(domain.cells()) if mask >> bit & 1]
        low, high = cells[0][0], cells[-1][1]
        if domain.fact.kind == "number":
            first, last = number(domain.fact, low), number(domain.fact, high)
            yield f"{label(domain.fact)} {first}" if low == high else f"{label(domain.fact)} {first.split(' ')[0]} to {last}"
        else:
            values = [number(domain.fact, value) for first, last in cells for value in range(first, last + 1)]
            yield f"{label(domain.fact)}: {' or '.join(values)}"

"""What stays the same of every condition's evidence, laid out once per protocol: a decision fills in what it found."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.decision.core.protocol import AnyOf, Condition, Operator, Protocol

SYMBOLS: dict[Operator, str] = {
    "at_most": "<=",
    "at_least": ">=",
    "below": "<",
    "above": ">",
    "is": "=",
    "one_of": "in",
    "not_one_of": "not in",
}


class Point(NamedTuple):
    """One condition of a list of conditions."""

    entry: int
    """Which entry of the list it stands in; the alternatives of an `AnyOf` share theirs."""
    alternative: bool
    condition: Condition
    form: Mapping[str, Any]
    """The evidence without what was found."""


def outline(conditions: Sequence[Condition | AnyOf], protocol: Protocol) -> tuple[Point, ...]:
    """Every condition, those inside `AnyOf` included, in the order in which evidence is written."""
    points = [
        Point(entry, isinstance(one, AnyOf), condition, form(condition, protocol))
        for entry, one in enumerate(conditions)
        for condition in (one.conditions if isinstance(one, AnyOf) else (one,))
    ]
    return tuple(sorted(points, key=lambda point: order(point.form)))


def form(condition: Condition, protocol: Protocol) -> dict[str, Any]:
    kind = protocol.facts[protocol.slots[condition.slot].fact]
    threshold = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    return {"fact": kind.name, "value": None, "unit": kind.unit, "op": SYMBOLS[condition.op], "threshold": threshold}


def order(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """How evidence is sorted: by fact, comparison and threshold."""
    return (found["fact"], found["op"], str(found["threshold"]))

"""What stays the same of every condition's evidence, laid out once per protocol: a decision fills in what it found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.decision.core.protocol import AnyOf, Condition, Operator, Protocol
from services.decision.core.sessions import Evidence
from shared.events.canonical import canonical_record

SYMBOLS: dict[Operator, str] = {
    "at_most": "<=",
    "at_least": ">=",
    "below": "<",
    "above": ">",
    "is": "=",
    "one_of": "in",
    "not_one_of": "not in",
}


@dataclass(slots=True, eq=False)
class Point:
    """One condition of a list of conditions."""

    entry: int
    """Which entry of the list it stands in; the alternatives of an `AnyOf` share theirs."""
    alternative: bool
    condition: Condition
    fact: str
    op: str
    threshold: Any
    order: tuple[str, str, str]
    """How evidence is sorted: by fact, comparison and threshold."""
    stem: bytes
    """What is written of the evidence between the events and the value."""
    unknown: dict[str, Evidence] = field(default_factory=dict)
    """Why it is not known to the evidence that it is not, where there is no event to name. It rests on nothing of a course, so courses and
    threads may share it.
    """


def outline(conditions: Sequence[Condition | AnyOf], protocol: Protocol) -> tuple[Point, ...]:
    """Every condition, those inside `AnyOf` included, in the order in which evidence is written."""
    points = [
        _point(entry, isinstance(one, AnyOf), condition, protocol)
        for entry, one in enumerate(conditions)
        for condition in (one.conditions if isinstance(one, AnyOf) else (one,))
    ]
    return tuple(sorted(points, key=lambda point: point.order))


def _point(entry: int, alternative: bool, condition: Condition, protocol: Protocol) -> Point:
    kind, op = protocol.facts[protocol.slots[condition.slot].fact], SYMBOLS[condition.op]
    threshold = list(condition.value) if isinstance(condition.value, tuple) else condition.value
    form = {"fact": kind.name, "op": op, "threshold": threshold, "unit": kind.unit}
    stem = b"," + canonical_record(form)[1:-1] + b',"value":'
    return Point(entry, alternative, condition, kind.name, op, threshold, (kind.name, op, str(threshold)), stem)

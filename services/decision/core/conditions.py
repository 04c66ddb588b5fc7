"""One condition over one value, and lists of them: the meaning that every engine must have."""

import operator
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TypeVar

from services.decision.core.protocol import AnyOf, Condition, Operator
from services.decision.core.trivalent import MET, NOT_MET, UNKNOWN, Tri, any_of

T = TypeVar("T")

_COMPARE: dict[Operator, Callable[[int, int | tuple[int, ...]], bool]] = {
    "at_most": operator.le,
    "at_least": operator.ge,
    "below": operator.lt,
    "above": operator.gt,
    "is": operator.eq,
    "one_of": lambda found, wanted: found in wanted,  # type: ignore[operator]
    "not_one_of": lambda found, wanted: found not in wanted,  # type: ignore[operator]
}


def holds(condition: Condition, values: Sequence[int | None]) -> Tri:
    """Met, not met, or unknown where the slot's value is None."""
    found = values[condition.slot]
    if found is None:
        return UNKNOWN
    return MET if _COMPARE[condition.op](found, condition.encoded) else NOT_MET


def met_by(condition: Condition, value: int) -> bool:
    """Whether a known value meets the condition."""
    return _COMPARE[condition.op](value, condition.encoded)


def each(conditions: Sequence[Condition | AnyOf], values: Sequence[int | None]) -> list[Tri]:
    """The verdict of every condition; an `AnyOf` counts as one."""
    return [
        any_of(holds(one, values) for one in condition.conditions) if isinstance(condition, AnyOf) else holds(condition, values)
        for condition in conditions
    ]


def together(conditions: Sequence[Condition | AnyOf], values: Sequence[int | None]) -> Tri:
    """The conjunction of all."""
    found = MET
    for condition in conditions:
        tri = holds(condition, values) if isinstance(condition, Condition) else any_of(each(condition.conditions, values))
        if tri < found:
            if tri is NOT_MET:
                return tri
            found = tri
    return found


def flat(conditions: Sequence[Condition | AnyOf]) -> list[Condition]:
    """Every single condition, those inside `AnyOf` included."""
    return [one for condition in conditions for one in (condition.conditions if isinstance(condition, AnyOf) else (condition,))]


def picked(slots: Sequence[int]) -> Callable[[Sequence[T]], tuple[T, ...]]:
    """What picks, of one thing for each slot, those of these slots, in their order and at once."""
    if len(slots) < 2:
        return lambda things: tuple([things[slot] for slot in slots])
    return itemgetter(*slots)

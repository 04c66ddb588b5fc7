"""Three-valued logic: a condition is met, not met, or unknown with the reason why.

Absent is a type here, never `None` passed along: what is unknown can hold or regress, it can never advance.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import final

from shared.events.frozen import frozen


class Tri(IntEnum):
    """Ordered so that `min` is a conjunction and `max` a disjunction (Kleene)."""

    NOT_MET = 0
    UNKNOWN = 1
    MET = 2

    @property
    def word(self) -> str:
        """`met`, `not_met` or `unknown`, as the decision record writes it."""
        return ("not_met", "unknown", "met")[self]


NOT_MET, UNKNOWN, MET = Tri
"""For what is asked a hundred times a decision: a member is read of its class ten times as slowly."""


@final
@frozen
class Unknown:
    """A value that is not known, and why: absent, stale, not comparable, by somebody not entitled."""

    reason: str


def all_of(parts: Iterable[Tri]) -> Tri:
    """Met when every part is met; not met when any part is not met.

    >>> all_of([Tri.MET, Tri.UNKNOWN]).word
    'unknown'
    """
    return min(parts, default=Tri.MET)


def any_of(parts: Iterable[Tri]) -> Tri:
    """Met when any part is met; not met when every part is not met.

    >>> any_of([Tri.NOT_MET, Tri.UNKNOWN]).word
    'unknown'
    """
    return max(parts, default=Tri.NOT_MET)

"""What was told of a course at the last decision, piece by piece, with each piece as it is written, so that the next one tells anew only
what has changed since.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.decision.core.sessions import Evidence, Fact, Session
from services.decision.core.trivalent import Tri

Record = dict[str, Any]
Piece = tuple[int, bytes]
"""A field of the record as it is written, with its place among the fields."""


class Told(NamedTuple):
    """A rule of which a decision tells, and what follows from it for the lists of what stands in the way."""

    reason: Record
    encoded: bytes
    """The reason as it is written."""
    way: str | None
    """The rule's own text where it is met and protects."""
    spoken: tuple[str, ...]
    """The facts by which it is met."""
    short: tuple[tuple[str, str], ...]
    """Conditions of another rule that are not met: the fact and its sentence."""
    unknown: tuple[str, ...]
    """A sentence for each condition that is not known."""


@dataclass(slots=True)
class Telling:
    """Of one course at one step. Not shared between threads."""

    stale: dict[int, None]
    """Places in the scope of the rules that read a fact that has changed since they were told."""
    of_rule: dict[str, Told] = field(default_factory=dict)
    evidence: dict[tuple[str, int], tuple[Fact, Tri, Evidence]] = field(default_factory=dict)
    """(rule, number of the condition) to the evidence with what it was made of; of what a session lacks to be clean its id,
    and a number from -1 down.
    """
    told: list[Told] = field(default_factory=list)
    """By the ids of the rules. Another list whenever any of it is told anew."""
    advancing: bool | None = None
    sessions: tuple[Session, ...] = ()
    """The sessions that an advance rule was told with."""
    of: tuple[object, object] | None = None
    """The list and what was settled that `record` and `pieces` were made of."""
    record: Record = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()

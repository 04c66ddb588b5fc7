"""What was told of a course at the last decision, piece by piece, with each piece as it is written, so that the next one tells anew only
what has changed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.decision.core.sessions import Evidence, Fact, Session
from services.decision.core.trivalent import Tri

Record = dict[str, Any]


class Told(NamedTuple):
    """A rule of which a decision tells, and what follows from it for the lists of what stands in the way."""

    outcome: str
    encoded: bytes
    """The reason as it is written."""
    way: str | None
    """The rule's own text where it is met and protects."""
    spoken: tuple[str, ...]
    """The facts by which it is met."""
    short: tuple[tuple[str, str], ...]
    """Conditions of another rule that are not met: the fact and its sentence."""
    unknown: dict[str, None]
    """A sentence for each condition that is not known."""


@dataclass(slots=True, eq=False)
class Head:
    """A rule under one verdict: what is told of it whatever it found."""

    outcome: str
    """The kind of a rule that is met, else `not_met` or `unknown`."""
    open_still: bool
    """Whether it is not met or not known."""
    way: str | None
    """Its text where it is met and protects."""
    before: bytes
    """What is written of the reason before the evidence."""
    behind: bytes
    told: dict[tuple[str, ...], Told] = field(default_factory=dict)
    """Of each condition why it is not known, where there is no event to name, to the reason. It rests on nothing of a course,
    so courses and threads may share it.
    """


@dataclass(slots=True)
class Telling:
    """Of one course at one step. Not shared between threads."""

    stale: dict[int, None]
    """Places in the scope of the rules that read a fact that has changed since they were told."""
    of_rule: dict[str, Told] = field(default_factory=dict)
    evidence: dict[object, tuple[Fact, Tri, Evidence]] = field(default_factory=dict)
    """Point of a rule to the evidence with what it was made of."""
    lacking: dict[tuple[str, object], tuple[Fact, Tri, Evidence]] = field(default_factory=dict)
    """The same of what a session lacks to be clean, by its id and the point."""
    prescribed: dict[str, tuple[tuple[object, ...], Evidence]] = field(default_factory=dict)
    """Session to why it was not done as prescribed, with what that was made of."""
    told: list[Told] = field(default_factory=list)
    """By the ids of the rules. Another list whenever any of it is told anew."""
    advancing: bool | None = None
    sessions: tuple[Session, ...] = ()
    """The sessions that an advance rule was told with."""
    of: tuple[object, object] | None = None
    """The list and what was settled that the fields which follow were made of; each is as it is written in a record."""
    blocking: bytes = b""
    missing: bytes = b""
    reasons: bytes = b""
    summary: bytes = b""

    def forget_all_but(self, sessions: Sequence[Session]) -> None:
        """What was kept of sessions that are told of no more: a course may stay at one step for years."""
        ids = [session.id for session in sessions]
        self.lacking = {name: one for name, one in self.lacking.items() if name[0] in ids}
        self.prescribed = {id: one for id, one in self.prescribed.items() if id in ids}

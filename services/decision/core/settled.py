"""What follows from an answer, kept while nothing that it rests on changes: most reports change what is told, not what is recommended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from services.decision.core.protocol import Rule
from services.decision.core.question import Question
from services.decision.core.sessions import Fact
from services.decision.core.standing import Standing


class Frame(NamedTuple):
    """A decision record as it is written, with `%b` in place of each field that rests on more than what was settled."""

    before: bytes
    """What stands before `hash`."""
    behind: bytes


UNWRITTEN = Frame(b"", b"")


@dataclass(slots=True)
class Settled:
    """The fields after `heard` are filled by whoever reckons them first."""

    question: Question
    facts: tuple[Fact, ...]
    """Of the verdict that it was made for first."""
    met: Sequence[Rule]
    """Rules in scope that are met, but those that advance."""
    heard: Sequence[Rule]
    """Rules in scope that tell of a disagreement between sources and are met or not known."""
    standing: Standing
    eligible_from: date | None
    valid_until: date | None
    record: dict[str, Any] | None = None
    """The fields of a decision record that follow from this alone."""
    frame: Frame = UNWRITTEN

"""What changes between two packs: by text (`text`), in what is fixed beside the rules (`settings`), and by meaning (`regions`).

Reads compiled protocols only. What past decisions would have been is for whoever has a history: they implement `History`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol as Port

from services.decision.core.protocol import Protocol
from services.decision.rules.difference.regions import Region, regions
from services.decision.rules.difference.settings import Changed, settings
from services.decision.rules.difference.text import text

__all__ = ["Changed", "Difference", "Direction", "History", "Past", "PastDecisions", "Region", "difference", "regions", "settings", "text"]


Direction = Literal["same", "more_permissive", "more_conservative", "not_comparable"]


@dataclass(frozen=True, slots=True)
class Past:
    """One past decision, number `seq` of its course, that would have been another."""

    tenant: str
    athlete: str
    course: str
    seq: int
    as_of: str
    was: str
    """What the old pack decided, in words."""
    would_be: str | None
    """None where the new pack could not decide."""
    direction: Direction
    because: str
    """What differs, or why the two cannot be compared."""


@dataclass(frozen=True, slots=True)
class PastDecisions:
    """What both packs make of stored decisions. `counts` has all of them, by direction; `differing` is bounded."""

    athletes: int
    counts: Mapping[Direction, int]
    differing: tuple[Past, ...]
    made_otherwise: int
    """How many were made under other content than the old pack's: there the old pack was asked again too."""
    unread: tuple[str, ...] = ()
    """Athletes whose history could not be followed, and why; none of their decisions is counted."""

    def of(self, direction: Direction) -> list[Past]:
        return [one for one in self.differing if one.direction == direction]


class History(Port):
    """Whoever has past decisions and can make them again under another pack."""

    def differing(self, old: Protocol, new: Protocol) -> PastDecisions: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that changes. `complete` is False where more regions differ than were listed."""

    text: tuple[str, ...]
    settings: tuple[Changed, ...]
    regions: tuple[Region, ...]
    complete: bool
    past: PastDecisions | None = None
    """None where no history was asked."""

    @property
    def changes(self) -> tuple[Changed | Region, ...]:
        """Settings and regions, each with its id, its words and whether it is more permissive."""
        return (*self.settings, *self.regions)

    @property
    def more_permissive(self) -> tuple[Changed | Region, ...]:
        """What an approver has to acknowledge."""
        return tuple(one for one in self.changes if one.more_permissive)

    def __bool__(self) -> bool:
        return bool(self.text or self.settings or self.regions)


def difference(old: Protocol, new: Protocol, history: History | None = None) -> Difference:
    """What changes from `old` to `new`. Raises `Unproved` where a region could not be settled within its bound."""
    found, complete = regions(old, new)
    past = None if history is None else history.differing(old, new)
    return Difference(tuple(text(old, new)), tuple(settings(old, new)), tuple(found), complete, past)

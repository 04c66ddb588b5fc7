"""What changes between two packs: by text (`text`), in what is fixed beside the rules (`settings`), and by meaning (`regions`).

Reads compiled protocols only. What past decisions would have been is for whoever has a history: they implement `History`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol as Port

from services.decision.core.protocol import Protocol
from services.decision.rules.difference.regions import Region, regions
from services.decision.rules.difference.settings import Changed, settings
from services.decision.rules.difference.text import text

__all__ = ["Changed", "Difference", "History", "Past", "Region", "difference", "regions", "settings", "text"]


@dataclass(frozen=True, slots=True)
class Past:
    """One past decision that would have been another."""

    athlete: str
    decision: str
    was: str
    would_be: str
    direction: Literal["more_permissive", "more_conservative", "not_comparable"]


class History(Port):
    """Whoever has past decisions and can make them again under another pack."""

    def differing(self, old: Protocol, new: Protocol) -> Sequence[Past]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that changes. `complete` is False where more regions differ than were listed."""

    text: tuple[str, ...]
    settings: tuple[Changed, ...]
    regions: tuple[Region, ...]
    complete: bool
    past: tuple[Past, ...] = ()

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
    past = () if history is None else tuple(history.differing(old, new))
    return Difference(tuple(text(old, new)), tuple(settings(old, new)), tuple(found), complete, past)

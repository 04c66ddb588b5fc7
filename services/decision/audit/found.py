"""What a verification saw."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

NAMED: Final = 100
"""Faults that one process names; more are counted."""


@dataclass
class Found:
    """`faults` is empty when history is what was written."""

    events: int = 0
    rows: int = 0
    erased: int = 0
    """Rows of athletes whose keys were destroyed: proven by their commitments, no longer readable."""
    unproven: int = 0
    """Events from before there were commitments."""
    checkpoints: int = 0
    quick: int = 0
    """Stretches of which the bytes were compared with what was proven before."""
    slow: Counter[str] = field(default_factory=Counter)
    """Whole stretches that were checked row by row, by why."""
    gone: set[tuple[str, str]] = field(default_factory=set)
    """(tenant, athlete or pseudonym) of rows whose key is destroyed."""
    asked: set[tuple[str, str]] = field(default_factory=set)
    """(tenant, pseudonym) of erasures that history itself records."""
    faults: list[str] = field(default_factory=list)
    more: int = 0

    def fault(self, sentence: str) -> None:
        if len(self.faults) < NAMED:
            self.faults.append(sentence)
        else:
            self.more += 1

    @property
    def faulted(self) -> int:
        """How many faults there are, named or not."""
        return len(self.faults) + self.more

    def add(self, other: "Found") -> None:
        for name in ("events", "rows", "erased", "unproven", "checkpoints", "quick", "more"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slow.update(other.slow)
        self.faults += other.faults
        self.gone |= other.gone
        self.asked |= other.asked

    def settle(self) -> None:
        """Once every share is in: nobody's rows are gone unless an event of history asked for it."""
        for tenant, name in sorted(self.gone - self.asked):
            self.fault(f"keys.athlete_keys, tenant {tenant}, {name}: rows were erased, and no event of history asked for it")


def told(found: Found) -> Iterable[str]:
    """The faults, the first first."""
    yield from found.faults
    if found.more:
        yield f"… and {found.more} more"

"""What a course still keeps: of each day's reports and sessions those of the last days."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol, TypeVar

from services.decision.core.days import later


class Dated(Protocol):
    @property
    def day(self) -> date: ...


T = TypeVar("T", bound=Dated)


def kept(found: Sequence[T], since: date) -> Sequence[T]:
    """Of what is in the order of its times that of `since` and later dates.

    Where clocks go back over midnight a later time may bear the date before, but none the date before that: two dates beyond `since` the
    rest is kept without a look.
    """
    certain = later(since, 2)
    at, count = 0, len(found)
    while at < count and found[at].day < certain:
        at += 1
    return found if not at else [*[one for one in found[:at] if one.day >= since], *found[at:]]

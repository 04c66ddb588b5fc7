"""How a slot's fact is found: its age and who assessed it count."""

from collections.abc import Callable
from datetime import timedelta

from services.decision.core.days import aged
from services.decision.core.facts.evidence import milestone
from services.decision.core.facts.registry import View, finder_of
from services.decision.core.protocol import Slot
from services.decision.core.sessions import Fact
from services.decision.core.trivalent import Unknown

CLOCKS = timedelta(hours=25)
"""No change of clocks ever took more: in 2011 Samoa left out a whole date."""

Reading = Callable[[View], Fact]


def reading(slot: Slot) -> Reading:
    """How the slot's fact is found: unknown where it is older or more lowly assessed than the slot allows."""
    find_it = finder_of(slot.fact) if slot.assessor is None else _assessed(slot.fact, slot.assessor)
    if slot.max_age_days is None:
        return find_it
    days, surely = slot.max_age_days, timedelta(days=slot.max_age_days) - CLOCKS

    def not_too_old(view: View) -> Fact:
        found = find_it(view)
        # Nearly always evidence is far from too old, and the local clock need not be asked.
        if found.at is not None and view.passed(found.at + surely) and view.passed(aged(found.at, days, view.course.zone)):
            return Fact(Unknown(f"is older than {days} days"), found.keys, found.at)
        return found

    return not_too_old


def _assessed(name: str, assessor: str) -> Reading:
    _, test, part = name.split(".")
    return lambda view: milestone(view, test, part, assessor)

"""What an event contributes to the folds of the courses it was placed on."""

from services.decision.core.days import Key
from services.decision.core.places import Name, Place
from services.decision.core.placing import Placing
from shared.events import Event

Contribution = tuple[str, Key, Event, str]
"""(course, key, event, facet)"""


def entries_of(placing: Placing, name: Name) -> list[Contribution]:
    """Everything an event contributes to the folds."""
    place = placing.places.get(name)
    found = [] if place is None else contributed(place)
    first = placing.latched.get(name)
    if first is not None:
        found += as_latched(contributed(first))
    gone = placing.gone.get(name)
    if gone is not None and first is None:
        found += as_passed(contributed(gone))
    return found


def as_latched(found: list[Contribution]) -> list[Contribution]:
    """Of a report that was corrected or retracted, the flags that it raised: no later report is compared with it any more."""
    return [(course, key, event, _as_latched(facet)) for course, key, event, facet in found]


def _as_latched(facet: str) -> str:
    return "latched" if facet == "whole" else f"followed\n{facet[8:]}" if facet.startswith("carried\n") else facet


def as_passed(found: list[Contribution]) -> list[Contribution]:
    """Of an event that was retracted, that its time was reached."""
    return [(course, key, event, "none") for course, key, event, facet in found if facet != "start"]


def contributed(place: Place) -> list[Contribution]:
    if place.event is None or place.status != "accepted":
        return []
    return [(course, place.event.key, place.event, facet) for course, facet in place.courses]

"""What an event contributes to the folds of the courses it was placed on."""

from services.decision.core.course import key_of
from services.decision.core.days import Key
from services.decision.core.places import Name
from services.decision.core.placing import Placing
from shared.events import Event


def entries_of(placing: Placing, name: Name) -> list[tuple[str, Key, Event, str]]:
    """(course, key, event, facet) of everything an event contributes to the folds."""
    place = placing.places.get(name)
    found: list[tuple[str, Key, Event, str]] = []
    if place is not None and place.status == "accepted" and place.event is not None:
        found += [(course, key_of(place.event), place.event, facet) for course, facet in place.courses]
    first = placing.latched.get(name)
    if first is not None and first.status == "accepted" and first.event is not None:
        found += [(course, key_of(first.event), first.event, "latched" if facet == "whole" else facet) for course, facet in first.courses]
    gone = placing.gone.get(name)
    if gone is not None and gone.status == "accepted" and gone.event is not None and first is None:
        found += [(course, key_of(gone.event), gone.event, "none") for course, facet in gone.courses if facet != "start"]
    return found

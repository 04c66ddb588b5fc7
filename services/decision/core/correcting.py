"""Corrections and retractions: which of them hold, and what they make of the events they speak of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.decision.core.course import key_of
from services.decision.core.places import META, NAMING, PERSONAL, Name, Place, parked, refused
from shared.events import Event, EventFault, validate_data


@dataclass(frozen=True, slots=True)
class Corrected:
    """All events but the corrections themselves, with the correction in force; `places` are those of the corrections."""

    effective: dict[Name, Event]
    places: dict[Name, Place]
    withdrawn: dict[Name, Event]
    """Starts of courses since retracted, as they were."""


def target_of(event: Event) -> Name:
    """The event that a correction or retraction speaks of."""
    word = "corrects" if event.type == META[0] else "retracts"
    return event.data.get(f"{word}_source", event.source), event.data[word]


def corrected(originals: Mapping[Name, Event]) -> Corrected:
    """The latest correction by the fold's order wins; a retraction beats all."""
    metas = sorted((event for event in originals.values() if event.type in META), key=key_of)
    effective = {name: event for name, event in originals.items() if event.type not in META}
    places: dict[Name, Place] = {}
    gone: dict[Name, None] = {}
    for meta in metas:
        target = originals.get(target_of(meta))
        place = _place(meta, target)
        places[meta.source, meta.id] = place
        if place.status != "accepted" or target is None:
            continue
        name = (target.source, target.id)
        if meta.type == META[1]:
            gone[name] = None
        else:
            effective[name] = as_corrected(target, meta)
    withdrawn: dict[Name, Event] = {}
    for name in gone:
        was = effective.pop(name)
        if was.type == "milepost.course.started":
            withdrawn[name] = was
    return Corrected(effective, places, withdrawn)


def _place(meta: Event, target: Event | None) -> Place:
    word = "corrects" if meta.type == META[0] else "retracts"
    if target is None:
        return parked(f"data.{word}", "the event it speaks of has not arrived")
    if target.type in META or target.type in NAMING[3:]:
        return refused(f"data.{word}", f"a {target.type} can be neither corrected nor retracted; send a new event instead")
    by = meta.data.get("by")
    if meta.type == META[1] and by is not None and by["role"] != "clinician" and _personal(target):
        return refused("data.by.role", "expected clinician: what a clinician recorded only a clinician takes back")
    if meta.type == META[0]:
        try:
            validate_data(target.type, meta.data["data"])
        except EventFault as fault:
            first = fault.faults[0]
            return refused(f"data.{first.path}", f"expected {first.expected}")
        if "by" in target.data and meta.data["data"].get("by") != target.data["by"]:
            return refused("data.data.by", "expected the same person as in the event it corrects")
        if meta.data["data"].get("start_step") != target.data.get("start_step"):
            return refused("data.data.start_step", "a start step is set by a clinician: send milepost.course.adjusted instead")
        if meta.data["data"].get("course") != target.data.get("course"):
            return refused("data.data.course", "expected the same course as in the event it corrects")
    return Place("accepted")


def _personal(event: Event) -> bool:
    return event.type in PERSONAL or "start_step" in event.data


def as_corrected(target: Event, meta: Event) -> Event:
    """The event as the correction says it; it keeps its time unless the correction gives one."""
    time = datetime.fromisoformat(meta.data["time"]) if "time" in meta.data else target.time
    return replace(target, data=meta.data["data"], time=time)

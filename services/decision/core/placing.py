"""The place of every event known of one athlete.

The answer is a function of the set of events known, never of their arrival order: that is what any-order rests on.
"""

from collections.abc import Iterable, Mapping

from services.decision.core.belonging import belongs
from services.decision.core.correcting import corrected, target_of
from services.decision.core.course import key_of
from services.decision.core.days import Key
from services.decision.core.following import following
from services.decision.core.places import FAR, META, MIGRATED, PERSONAL, SHARED, Name, Packs, Place, Span, parked, refused
from services.decision.core.protocol import COMPLETE, ENTRY, Protocol
from shared.events import Event


class Placing:
    """All events known of one athlete, placed."""

    def __init__(self, packs: Packs, pins: Mapping[Name, str]) -> None:
        self._packs = packs
        self._pins = pins
        self.spans: dict[str, Span] = {}
        self.moves: dict[str, list[tuple[Key, Protocol]]] = {}
        """Course to the protocols it went on under, each from its event on."""
        self.sessions: dict[str, tuple[Name, tuple[str, ...]]] = {}
        """Session id to the event that completed it and its courses."""
        self.once: dict[str, None] = {}
        """Ids of all sessions ever sent: where one was refused, retracted or renamed since, its reports keep counting, without it."""
        self.places: dict[Name, Place] = {}
        self.corrected: dict[Name, Event] = {}
        """Events with the correction in force worked in."""
        self.gone: dict[Name, Place] = {}
        """Events since retracted: without effect, but their time was known."""
        self.latched: dict[Name, Place] = {}
        """Reports since corrected or retracted, as first sent: a referral they opened stands until its review."""

    @classmethod
    def of(cls, known: Iterable[Event], packs: Packs, pins: Mapping[Name, str]) -> "Placing":
        """Place every event anew, in the fold's order of their effective times."""
        placing = cls(packs, pins)
        originals = {(event.source, event.id): event for event in known}
        found = corrected(originals)
        effective = found.effective
        placing.places.update(found.places)
        placing.once = {event.data["session"]: None for event in originals.values() if event.type == "milepost.session.completed"}
        placing.corrected = {name: event for name, event in effective.items() if event is not originals[name]}
        ordered = sorted((event for event in effective.values()), key=key_of)
        for event in ordered:
            if event.type == "milepost.course.started":
                placing.places[event.source, event.id] = placing._start(event)
        for event in sorted(found.withdrawn.values(), key=key_of):
            if event.data["course"] not in placing.spans and placing._start(event).status == "accepted":
                placing.spans[event.data["course"]] = placing.spans[event.data["course"]]._replace(until=event.time, withdrawn=True)
        for event in ordered:
            if event.type == "milepost.course.ended":
                placing._end(event)
        for event in ordered:
            if event.type == MIGRATED:
                placing.add(event)
        for kind in ("sessions", "others"):
            for event in ordered:
                name = (event.source, event.id)
                if name not in placing.places and (event.type == "milepost.session.completed") == (kind == "sessions"):
                    placing.add(event)
        placing._follow(originals)
        return placing

    def _start(self, event: Event) -> Place:
        data = event.data
        course = data["course"]
        taken = self.spans.get(course)
        if taken is not None:
            return refused(
                "data.course", f"course was already started by event {taken.start.id} of {taken.start.source}; choose another course id"
            )
        named = data["protocol"]
        pinned = self._pins.get((event.source, event.id))
        protocol = None if pinned is None else self._packs.resolve(pinned)
        if protocol is None or named not in (protocol.id, f"{protocol.id}@{protocol.version}"):
            protocol = self._packs.resolve(named)
        if protocol is None:
            return refused("data.protocol", f"expected one of {', '.join(self._packs.names())}")
        step = data.get("start_step")
        if step is not None and step not in [rung.id for rung in protocol.ladder]:
            return refused("data.start_step", f"expected a step of {protocol.id}: {', '.join(s.id for s in protocol.ladder)}")
        self.spans[course] = Span(event, protocol, event.time, FAR)
        return Place("accepted", courses=((course, "start"),), event=event)

    def _end(self, event: Event) -> None:
        span = self.spans.get(event.data["course"])
        if span is not None and span.until == FAR and event.time >= span.since:
            self.spans[event.data["course"]] = span._replace(until=event.time)

    def add(self, event: Event) -> Place:
        """Place one event that changes the place of no other, except of those that await its session."""
        place = belongs(self, event)
        if place.status == "accepted":
            place = self._checked(event, place)
        place = following(self, event, place)
        if place.status == "accepted" and event.type == "milepost.session.completed":
            self.sessions[event.data["session"]] = ((event.source, event.id), tuple([course for course, _ in place.courses]))
        self.places[event.source, event.id] = place
        return place

    def _checked(self, event: Event, place: Place) -> Place:
        """What the course and its protocol have to say of the event."""
        data = event.data
        if event.type in PERSONAL and data["by"]["role"] != "clinician":
            return refused("data.by.role", "expected clinician: clearances, answers and adjustments are a clinician's")
        if event.type in SHARED and data.get("step") in (ENTRY, COMPLETE):
            return refused("data.step", "expected a step of the ladder: at entry and at complete there is no session to do")
        if event.type == MIGRATED:
            return self._moved(event, place)
        for path, step in _steps(data) if "step" in data or "of" in data else ():
            courses = [course for course, _ in place.courses]
            knowing = [course for course in courses if step in self.in_force(course, event).place]
            if not knowing:
                protocol = self.in_force(courses[0], event)
                return refused(path, f"expected a step of {protocol.id}: {', '.join(protocol.steps)}")
        session = data.get("session")
        if event.type == "milepost.session.completed":
            holder = self.sessions.get(data["session"])
            if holder is not None and holder[0] != (event.source, event.id):
                return refused(
                    "data.session", f"session was already completed by event {holder[0][1]} of {holder[0][0]}; give each its own id"
                )
        elif session is not None:
            holder = self.sessions.get(session)
            if holder is None and session not in self.once:
                return parked("data.session", f"session {session} has not arrived")
        return place

    def _moved(self, event: Event, place: Place) -> Place:
        protocol = self._packs.resolve(event.data["to_hash"])
        if protocol is None:
            return refused("data.to_hash", f"expected the content of a published protocol: {', '.join(self._packs.names())}")
        step = event.data.get("step")
        if step is not None and step not in protocol.place:
            return refused("data.step", f"expected a step of {protocol.id}: {', '.join(protocol.steps)}")
        moves = self.moves.setdefault(event.data["course"], [])
        moves.append((key_of(event), protocol))
        moves.sort(key=lambda move: move[0])
        return place

    def in_force(self, course: str, event: Event) -> Protocol:
        """The protocol that the course follows when the event happens."""
        earlier = [protocol for key, protocol in self.moves.get(course, ()) if key < key_of(event)]
        return earlier[-1] if earlier else self.spans[course].protocol

    def _follow(self, originals: dict[Name, Event]) -> None:
        """A correction or retraction touches the courses of what it speaks of; flags that opened a referral stay latched."""
        for name, place in list(self.places.items()):
            meta = originals[name]
            if meta.type not in META or place.status != "accepted":
                continue
            target = originals[target_of(meta)]
            was = self.alone(target)
            now = self.places.get((target.source, target.id))
            courses = dict.fromkeys(c for c, _ in (*was.courses, *(now.courses if now is not None else ())))
            facet = "withdrawn" if target.type == "milepost.course.started" and meta.type == META[1] else "none"
            touched = tuple((course, facet if self.spans[course].withdrawn else "none") for course in courses)
            self.places[name] = Place("accepted", courses=touched, event=meta)
        gone_or_changed = dict.fromkeys(
            target_of(originals[name]) for name, place in self.places.items() if originals[name].type in META and place.status == "accepted"
        )
        self.latched = {
            name: self.alone(originals[name])
            for name in gone_or_changed
            if originals[name].type == "milepost.symptom.reported" and self._stands(name, originals[name])
        }
        self.gone = {name: self.alone(originals[name]) for name in gone_or_changed if name not in self.places}

    def _stands(self, name: Name, original: Event) -> bool:
        """Whether the report as first sent may have opened a referral: where it still waits for its session, by flags that it ticked."""
        now = self.places.get(name)
        return now is None or now.status == "accepted" or (now.status == "parked" and bool(original.data.get("flags")))

    def come_in(self, original: Event) -> Place:
        """Place an event that was parked, with the correction in force, as `of` would have placed it."""
        name = (original.source, original.id)
        place = self.add(self.corrected.get(name, original))
        if place.status == "accepted" and name in self.corrected and original.type == "milepost.symptom.reported":
            self.latched[name] = self.alone(original)
        return place

    def alone(self, event: Event) -> Place:
        """Where the event as first sent belongs, without entering it."""
        if event.type == "milepost.course.started":
            course = event.data["course"]
            return Place("accepted", courses=((course, "start"),) if course in self.spans else (), event=event)
        return following(self, event, belongs(self, event))


def _steps(data: Mapping[str, object]) -> list[tuple[str, str]]:
    """Every step an event names, with its path."""
    found: list[tuple[str, str]] = []
    if isinstance(step := data.get("step"), str):
        found.append(("data.step", step))
    of = data.get("of")
    if isinstance(of, Mapping):
        found += [(f"data.of.{name}", of[name]) for name in ("from_step", "to_step")]
    return found

"""Which courses an event belongs to, and whether it can take effect: accepted, parked or refused.

The answer is a function of the set of events known, never of their arrival order: that is what any-order rests on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol as Port

from services.decision.core.course import key_of
from services.decision.core.days import Key
from services.decision.core.flags import MOMENT_FLAGS, NEW_OR_RISING_ONLY
from services.decision.core.protocol import COMPLETE, ENTRY, Protocol
from shared.events import Event, EventFault, validate_data

Name = tuple[str, str]
"""An event's identity within its tenant: (source, id)."""
META = ("milepost.event.corrected", "milepost.event.retracted")
PERSONAL = ("milepost.clearance.recorded", "milepost.recommendation.answered", "milepost.course.adjusted", "milepost.course.migrated")
NAMING = (
    "milepost.course.paused",
    "milepost.course.resumed",
    "milepost.course.ended",
    "milepost.time.reached",
    "milepost.engine.faulted",
    "milepost.course.migrated",
)
OF_SESSION = ("milepost.sensor.summarised", "milepost.symptom.reported")
SHARED = ("milepost.session.completed", "milepost.session.skipped", "milepost.wellness.reported")
MIGRATED = "milepost.course.migrated"
FAR = datetime(9999, 1, 1, tzinfo=UTC)


class Packs(Port):
    """The protocols there are."""

    def resolve(self, reference: str) -> Protocol | None:
        """By `id` (the live version), `id@version`, or content hash (which may have been retired since); None when there is none."""
        ...

    def names(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """What becomes of an event. `courses` pairs each course it takes effect on with the facet that counts there."""

    status: Literal["accepted", "refused", "parked"]
    path: str | None = None
    reason: str | None = None
    courses: tuple[tuple[str, str], ...] = ()
    event: Event | None = None
    """With the correction in force worked in."""
    session: tuple[str, ...] = ()


class Span(NamedTuple):
    """A course and the time it is open."""

    start: Event
    protocol: Protocol
    since: datetime
    until: datetime
    withdrawn: bool = False
    """Its start was retracted: it stands ended, and its id may be started anew."""


def refused(path: str, reason: str) -> Place:
    return Place("refused", path, reason)


def parked(path: str, reason: str) -> Place:
    return Place("parked", path, reason)


def target_of(event: Event) -> Name:
    """The event that a correction or retraction speaks of."""
    word = "corrects" if event.type == META[0] else "retracts"
    return event.data.get(f"{word}_source", event.source), event.data[word]


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
        self._withdrawn: dict[Name, Event] = {}
        """Starts of courses since retracted."""
        self.latched: dict[Name, Place] = {}
        """Reports since corrected or retracted, as first sent: a referral they opened stands until its review."""

    @classmethod
    def of(cls, known: Iterable[Event], packs: Packs, pins: Mapping[Name, str]) -> "Placing":
        """Place every event anew, in the fold's order of their effective times."""
        placing = cls(packs, pins)
        originals = {(event.source, event.id): event for event in known}
        effective = placing._corrected(originals)
        placing.once = {event.data["session"]: None for event in originals.values() if event.type == "milepost.session.completed"}
        placing.corrected = {name: event for name, event in effective.items() if event is not originals[name]}
        ordered = sorted((event for event in effective.values()), key=key_of)
        for event in ordered:
            if event.type == "milepost.course.started":
                placing.places[event.source, event.id] = placing._start(event)
        for event in sorted(placing._withdrawn.values(), key=key_of):
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

    def _corrected(self, originals: dict[Name, Event]) -> dict[Name, Event]:
        """Originals with the correction in force, without those retracted; places the corrections themselves."""
        metas = sorted((event for event in originals.values() if event.type in META), key=key_of)
        effective = {name: event for name, event in originals.items() if event.type not in META}
        gone: dict[Name, None] = {}
        for meta in metas:
            target = originals.get(target_of(meta))
            place = self._meta(meta, target)
            self.places[meta.source, meta.id] = place
            if place.status != "accepted" or target is None:
                continue
            name = (target.source, target.id)
            if meta.type == META[1]:
                gone[name] = None
            else:
                effective[name] = _with_correction(target, meta)
        for name in gone:
            was = effective.pop(name)
            if was.type == "milepost.course.started":
                self._withdrawn[name] = was
        return effective

    def _meta(self, meta: Event, target: Event | None) -> Place:
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
        place = self._belongs(event)
        if place.status == "accepted":
            place = self._checked(event, place)
        if place.status == "accepted" and event.type == "milepost.session.completed":
            self.sessions[event.data["session"]] = ((event.source, event.id), tuple(course for course, _ in place.courses))
        self.places[event.source, event.id] = place
        return place

    def _belongs(self, event: Event) -> Place:
        place = self._own(event)
        if place.status != "accepted" or (facet := self._carried(event, place)) is None:
            return place
        held = dict(place.courses)
        later = sorted(course for course, span in self.spans.items() if span.since > event.time and course not in held)
        stood_on = held if facet == "review" else [*held, *later]
        facet = "\n".join((facet, *sorted(stood_on)))
        return replace(place, courses=(*place.courses, *((course, facet) for course in later)))

    def _carried(self, event: Event, place: Place) -> str | None:
        """As what it counts on courses that start later: a red flag follows the athlete until a clinician has reviewed it."""
        data = event.data
        if event.type == "milepost.clearance.recorded":
            return "review" if data["gate"] == "red_flag_review" and data["granted"] else None
        if event.type != "milepost.symptom.reported":
            return None
        tissues = {self.spans[course].start.data["injury"]["tissue"]: None for course, _ in place.courses}
        flags = data.get("flags", ())
        if all(tissue in NEW_OR_RISING_ONLY for tissue in tissues):
            return "carried" if any(flag not in MOMENT_FLAGS.values() for flag in flags) else None
        at_rest = "bone" in tissues and data["when"] in MOMENT_FLAGS and data.get("pain_nrs", 0) >= 1
        return "carried_all" if flags or at_rest else None

    def _own(self, event: Event) -> Place:
        named = event.data["course"] if event.type in NAMING else event.course
        if named is not None:
            span = self.spans.get(named)
            if span is None or span.withdrawn:
                return parked("course", f"course {named} has not started")
            if event.type == "milepost.course.ended" and event.time < span.since:
                return refused("time", "the course had not started by then; a course ends after it starts")
            if event.time > span.until and event.type not in NAMING[3:5]:
                return refused("course", "the course had ended by then; start a new course")
            return Place("accepted", courses=((named, "whole"),), event=event)
        session = event.data.get("session") if event.type in OF_SESSION else None
        of_session = None if session is None else self.sessions.get(session)
        if session is not None and of_session is None and session not in self.once:
            # Whose it is its session will say: to judge it ambiguous now would make arrival order matter.
            return parked("data.session", f"session {session} has not arrived")
        if of_session is not None and (event.type == OF_SESSION[0] or len(of_session[1]) == 1):
            courses = of_session[1]
            flagged = [course for course in self._open_at(event) if course not in courses] if event.data.get("flags") else []
            return Place("accepted", courses=(*((c, "whole") for c in courses), *((c, "flags") for c in flagged)), event=event)
        spans = {course: span for course, span in self.spans.items() if not span.withdrawn}
        running = self._open_at(event)
        if not running:
            # Before any start it belongs to the course that starts first: a later course takes nothing away from it.
            first = min((span.since for span in spans.values() if event.time < span.since), default=None)
            running = sorted(course for course, span in spans.items() if span.since == first)
            if not running:
                return (
                    parked("course", "no course had started by then")
                    if not spans
                    else refused("course", "no course of the athlete was open then; name the course")
                )
        if len(running) == 1 or event.type in SHARED or event.type == "milepost.sensor.summarised":
            return Place("accepted", courses=tuple((course, "whole") for course in running), event=event)
        return self._one_of(event, running)

    def _open_at(self, event: Event) -> list[str]:
        """The courses that are open when the event happens."""
        return sorted(c for c, span in self.spans.items() if not span.withdrawn and span.since <= event.time <= span.until)

    def _one_of(self, event: Event, running: list[str]) -> Place:
        """Of several open courses, the one whose injury the report's site and side match; its red flags go to all."""
        site, side = event.data.get("site"), event.data.get("side")
        matched: list[str] = []
        if event.type in ("milepost.symptom.reported", "milepost.milestone.assessed") and (site or side):
            for course in running:
                injury = self.spans[course].start.data["injury"]
                if site in (None, injury["site"]) and (side in (None, injury["side"]) or injury["side"] == "bilateral"):
                    matched.append(course)
        flagged = bool(event.data.get("flags"))
        if len(matched) == 1:
            rest = tuple((course, "flags") for course in running if course not in matched) if flagged else ()
            return Place("accepted", courses=((matched[0], "whole"), *rest), event=event)
        if flagged:
            return Place("accepted", courses=tuple((course, "flags") for course in running), event=event)
        return refused("course", f"several courses are open ({', '.join(running)}): name the course, or a site and side that match one")

    def _checked(self, event: Event, place: Place) -> Place:
        """What the course and its protocol have to say of the event."""
        data = event.data
        if event.type in PERSONAL and data["by"]["role"] != "clinician":
            return refused("data.by.role", "expected clinician: clearances, answers and adjustments are a clinician's")
        courses = tuple(course for course, _ in place.courses)
        if event.type in SHARED and data.get("step") in (ENTRY, COMPLETE):
            return refused("data.step", "expected a step of the ladder: at entry and at complete there is no session to do")
        if event.type == MIGRATED:
            return self._moved(event, place)
        for path, step in _steps(data):
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
            return replace(place, session=(session,))
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
            was = self._alone(target)
            now = self.places.get((target.source, target.id))
            courses = dict.fromkeys(c for c, _ in (*was.courses, *(now.courses if now is not None else ())))
            facet = "withdrawn" if target.type == "milepost.course.started" and meta.type == META[1] else "none"
            touched = tuple((course, facet if self.spans[course].withdrawn else "none") for course in courses)
            self.places[name] = Place("accepted", courses=touched, event=meta)
        gone_or_changed = dict.fromkeys(
            target_of(originals[name]) for name, place in self.places.items() if originals[name].type in META and place.status == "accepted"
        )
        self.latched = {
            name: self._alone(originals[name])
            for name in gone_or_changed
            if originals[name].type == "milepost.symptom.reported" and (name not in self.places or self.places[name].status == "accepted")
        }
        self.gone = {name: self._alone(originals[name]) for name in gone_or_changed if name not in self.places}

    def come_in(self, original: Event) -> Place:
        """Place an event that was parked, with the correction in force, as `of` would have placed it."""
        name = (original.source, original.id)
        place = self.add(self.corrected.get(name, original))
        if place.status == "accepted" and name in self.corrected and original.type == "milepost.symptom.reported":
            self.latched[name] = self._alone(original)
        return place

    def _alone(self, event: Event) -> Place:
        """Where the event as first sent belongs, without entering it."""
        if event.type == "milepost.course.started":
            course = event.data["course"]
            return Place("accepted", courses=((course, "start"),) if course in self.spans else (), event=event)
        return self._belongs(event)


def _personal(event: Event) -> bool:
    return event.type in PERSONAL or "start_step" in event.data


def _with_correction(target: Event, meta: Event) -> Event:
    time = datetime.fromisoformat(meta.data["time"]) if "time" in meta.data else target.time
    return replace(target, data=meta.data["data"], time=time)


def _steps(data: Mapping[str, object]) -> list[tuple[str, str]]:
    """Every step an event names, with its path."""
    found: list[tuple[str, str]] = []
    if isinstance(step := data.get("step"), str):
        found.append(("data.step", step))
    of = data.get("of")
    if isinstance(of, Mapping):
        found += [(f"data.of.{name}", of[name]) for name in ("from_step", "to_step")]
    return found


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

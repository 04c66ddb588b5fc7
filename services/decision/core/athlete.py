"""Everything known of one athlete, and what each further event brings: an outcome, decisions, and events that were waiting for it.

Each event that takes effect makes exactly one decision for each course it touches; duplicates, refused and parked events make none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol as Port

from services.decision.core.carrying import referred_before
from services.decision.core.contributing import entries_of
from services.decision.core.correcting import target_of
from services.decision.core.days import rewritten, written
from services.decision.core.decision import Decision, Latest, content, record, state, tell
from services.decision.core.explain import facts_of
from services.decision.core.explanation import explanation
from services.decision.core.former import Former
from services.decision.core.line import Entry, Line
from services.decision.core.places import META, MIGRATED, Name, Packs
from services.decision.core.placing import Placing
from services.decision.core.protocol import Protocol
from services.decision.core.rising import Rises
from services.decision.core.stages import Staged, whole
from services.decision.core.telling import Record
from services.decision.core.tracing import trace
from services.decision.core.verdict import Judge
from shared.events import Event
from shared.events.frozen import frozen

STRUCTURAL = ("milepost.course.started", "milepost.course.ended", MIGRATED, *META)
"""Events that may change the place of others."""


class Library(Packs, Port):
    """The protocols and their judges."""

    def judge(self, protocol: Protocol) -> Judge: ...


class CourseMark(NamedTuple):
    """The latest decision of a course in history."""

    seq: int
    body: Record

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.body["as_of"])


@frozen
class Resolution:
    """An earlier event whose status this arrival changed."""

    source: str
    id: str
    status: str
    path: str | None
    reason: str | None


@frozen
class Receipt:
    status: Literal["accepted", "duplicate", "conflict", "refused", "parked"]
    path: str | None = None
    reason: str | None = None
    decisions: tuple[Decision, ...] = ()
    resolved: tuple[Resolution, ...] = ()


class Athlete:
    """Mutable, in memory, rebuilt from history at any time. One thread at a time."""

    def __init__(self, packs: Library, pins: Mapping[Name, str] | None = None) -> None:
        """`pins` names the content hash that a `course.started` stands on where that is known, as in a replay."""
        self._packs = packs
        self._known: dict[Name, Event] = {}
        self._digests: dict[Name, bytes] = {}
        self._pins: dict[Name, str] = dict(pins or {})
        self._marks: dict[str, Latest] = {}
        self._placing = Placing(packs, self._pins)
        self._lines: dict[str, Line] = {}
        self._for_session: dict[str, list[Name]] = {}
        """Events by the session they wait for: those parked, and reports of which the red flags count already."""
        self._spoken_of: dict[Name, None] = {}
        """Events that a parked correction or retraction waits for."""
        self._former = Former(packs)
        self._rises = Rises()
        self._refers = False
        """Whether a rule of a pack ever referred: only then has a later course, or what was corrected since, to hear of it."""

    @classmethod
    def restore(cls, packs: Library, received: Sequence[tuple[Event, bytes, str]], marks: Mapping[str, CourseMark]) -> "Athlete":
        """From (event, content digest, recordedtime) in arrival order and the latest decision of each course."""
        athlete = cls(packs)
        for event, digest, _ in received:
            athlete._known[event.source, event.id] = event
            athlete._digests[event.source, event.id] = digest
        athlete._marks = dict(marks)
        moved: dict[str, str] = {}
        for event in athlete._known.values():
            if event.type == MIGRATED:
                moved.setdefault(event.data["course"], event.data["from_hash"])
        for name, event in athlete._known.items():
            mark = marks.get(event.data["course"]) if event.type == "milepost.course.started" else None
            if mark is not None:
                athlete._pins[name] = moved.get(event.data["course"]) or _pin(packs, mark.body["protocol"])
        athlete._placing = Placing.of(athlete._known.values(), packs, athlete._pins)
        athlete._rebuild(athlete._known, ())
        athlete._index_parked()
        return athlete

    def receive(self, event: Event, digest: bytes) -> Receipt:
        """Take in one event. Never raises for what the event says; `event.recordedtime` is its `as_at`."""
        return whole(self.receiving(event, digest))

    def receiving(self, event: Event, digest: bytes) -> Staged[Receipt]:
        """`receive` in its stages, to be gone through before the athlete is asked for anything else."""
        name = (event.source, event.id)
        if name in self._known:
            if self._digests[name] == digest:
                return Receipt("duplicate")
            return Receipt(
                "conflict", "id", "an event with this source and id has other content; the first stays: send a correction instead"
            )
        self._known[name] = event
        self._digests[name] = digest
        as_at = rewritten(event.recordedtime) if event.recordedtime else written(event.time)
        return self._restructure(event, as_at) if self._structural(event) else (yield from self._add(event, as_at))

    def _structural(self, event: Event) -> bool:
        if event.type in STRUCTURAL or (event.source, event.id) in self._spoken_of:
            return True
        if event.type != "milepost.session.completed":
            return False
        session = event.data["session"]
        if self._former.worlds:
            # What was said before a correction may have waited for it as well.
            return True
        waiting = self._for_session.get(session, ())
        return session in self._placing.sessions or any(self._placing.places[name].status == "accepted" for name in waiting)

    def _add(self, event: Event, as_at: str) -> Staged[Receipt]:
        """The common case: the event changes the place of no other, save those that wait for its session."""
        if event.type == "milepost.session.completed":
            self._placing.once[event.data["session"]] = None
        place = self._placing.add(event)
        if place.waits:
            self._park(event)
        decisions = (yield from self._take((event.source, event.id), event, as_at)) if place.status == "accepted" else []
        resolved: list[Resolution] = []
        if event.type == "milepost.session.completed":
            waiting = [self._known[name] for name in self._for_session.pop(event.data["session"], ())]
            for other in sorted(waiting, key=_order):
                found = self._placing.come_in(other)
                if found.status == "parked":
                    self._park(other)
                    continue
                resolved.append(Resolution(other.source, other.id, found.status, found.path, found.reason))
                decisions += yield from self._take((other.source, other.id), other, as_at)
        return Receipt(place.status, place.path, place.reason, tuple(decisions), tuple(resolved))

    def _park(self, parked: Event) -> None:
        event = self._placing.corrected.get((parked.source, parked.id), parked)
        if event.type in META:
            self._spoken_of[target_of(event)] = None
        elif "session" in event.data:
            self._for_session.setdefault(event.data["session"], []).append((event.source, event.id))

    def _index_parked(self) -> None:
        self._for_session, self._spoken_of = {}, {}
        for name, place in self._placing.places.items():
            if place.waits:
                self._park(self._known[name])

    def _take(self, name: Name, cause: Event, as_at: str) -> Staged[list[Decision]]:
        """Put the event into its folds; one decision for each course it touches."""
        touched: dict[str, None] = {}
        for course, key, event, facet in entries_of(self._placing, name):
            if facet == "start":
                continue
            yield from self._lines[course].inserting(Entry(key, event, facet))
            touched[course] = None
        self._former.take(self._placing, name)
        touched.update(self._refer_on(self._rises.take(self._known, self._placing, name)))
        decisions = []
        for course in sorted(touched):
            decisions.append((yield from self._deciding(course, cause, as_at)))
        return decisions

    def _restructure(self, event: Event, as_at: str) -> Receipt:
        """Place everything anew; fold again only from the first difference."""
        own = (event.source, event.id)
        if event.type == "milepost.course.started":
            self._keep_pin(event)
        before = self._placing.places
        self._placing = Placing.of(self._known.values(), self._packs, self._pins)
        for span in self._placing.spans.values():
            self._pins[span.start.source, span.start.id] = span.protocol.hash
        after = self._placing.places
        newly = [
            name
            for name, place in after.items()
            if name != own
            and place.status == "accepted"
            and (name not in before or before[name].status != "accepted")
            and self._known[name].type != "milepost.course.started"
        ]
        changed = self._rebuild(self._known, newly)
        self._index_parked()
        place = after.get(own)
        if place is not None and place.status == "accepted":
            changed.update(dict.fromkeys(course for course, _ in place.courses))
        else:
            # It takes no effect itself; what it lets take effect decides below.
            changed = {}
        decisions = [whole(self._deciding(course, event, as_at)) for course in sorted(changed) if course in self._lines]
        for name in sorted(newly, key=lambda one: _order(self._known[one])):
            decisions += whole(self._take(name, self._known[name], as_at))
        resolved = tuple(
            Resolution(name[0], name[1], now.status, now.path, now.reason)
            for name, now in sorted(after.items())
            if name != own and name in before and _differs(before[name], now)
        )
        if place is None:
            return Receipt("accepted", decisions=tuple(decisions), resolved=resolved)
        return Receipt(place.status, place.path, place.reason, tuple(decisions), resolved)

    def _keep_pin(self, start: Event) -> None:
        """A course id that is started anew keeps the content it was first given, where it names the same protocol: one answer, whatever
        went live meanwhile and in whatever order the starts and the retraction are read.
        """
        for name, other in self._known.items():
            if other.type == start.type and other.data["course"] == start.data["course"] and name in self._pins:
                pinned = self._packs.resolve(self._pins[name])
                if pinned is not None and pinned.id == start.data["protocol"].partition("@")[0]:
                    self._pins.setdefault((start.source, start.id), self._pins[name])
                    return

    def _rebuild(self, names: Mapping[Name, Event], left_out: Sequence[Name]) -> dict[str, None]:
        """Make every line hold what is placed on it, `left_out` excepted; the courses that changed."""
        lists: dict[str, list[Entry]] = {course: [] for course in self._placing.spans}
        out = dict.fromkeys(left_out)
        for name in names:
            if name not in out:
                for course, key, event, facet in entries_of(self._placing, name):
                    if facet != "start" and course in lists:
                        lists[course].append(Entry(key, event, facet))
        for course in [course for course in self._lines if course not in lists]:
            del self._lines[course]
        self._former.look(self._known, self._placing, [name for name in names if name not in out])
        self._rises.look(self._known, self._placing)
        changed: dict[str, None] = {}
        for course in sorted(lists, key=lambda one: self._placing.spans[one].since):
            entries = [*lists[course], *self._referred(course)]
            entries.sort(key=lambda entry: entry.place)
            self._refers = self._refers or any(entry.from_before for entry in entries)
            span = self._placing.spans[course]
            judge = self._packs.judge(span.protocol)
            if course not in self._lines:
                self._lines[course] = Line(span.start, judge, self._packs)
                self._lines[course].become(span.start, judge, entries)
                changed[course] = None
            elif self._lines[course].become(span.start, judge, entries):
                changed[course] = None
        return changed

    def _refer_on(self, anew: bool) -> dict[str, None]:
        """Bring the courses up to date with what rules referred on earlier ones, or before a correction; the courses that changed. `anew`:
        what a rise referred before a correction is another.
        """
        self._refers = self._refers or bool(self._former.worlds) or any(line.course.referred for line in self._lines.values())
        if not anew and (not self._refers or (len(self._lines) < 2 and not self._former.worlds)):
            return {}
        changed: dict[str, None] = {}
        for course in sorted(self._lines, key=lambda one: self._placing.spans[one].since):
            line = self._lines[course]
            own = [entry for entry in line.entries if not entry.from_before]
            entries = sorted([*own, *self._referred(course)], key=lambda entry: entry.place)
            if line.become(line.start, line.first, entries):
                changed[course] = None
        return changed

    def _referred(self, course: str) -> list[Entry]:
        """What rules referred on earlier courses, and on this one rules and rises before a correction or retraction."""
        risen = self._rises.entries.get(course, ())
        return self._former.referred(course, [*referred_before(course, self._placing.spans, self._lines), *risen])

    def _deciding(self, course: str, cause: Event, as_at: str) -> Staged[Decision]:
        line, before = self._lines[course], self._marks.get(course)
        seq = 1 if before is None else before.seq + 1
        made_by, kind = (cause.source, cause.id, cause.type), _kind(cause, before)
        yield
        told = tell(line.judge, line.course, line.verdict)
        yield
        decision = record(line.judge, line.course, line.verdict, told, cause.subject, seq, made_by, as_at, kind, before, line.fields)
        self._marks[course] = decision
        return decision

    @property
    def courses(self) -> tuple[str, ...]:
        return tuple(sorted(self._lines))

    @property
    def parked(self) -> list[tuple[Event, str, str]]:
        """Events that still wait: (event, path, what for), in the fold's order."""
        waiting = [(self._known[name], place) for name, place in self._placing.places.items() if place.status == "parked"]
        return [(event, place.path or "", place.reason or "") for event, place in sorted(waiting, key=lambda one: _order(one[0]))]

    def state(self, course: str) -> Record:
        """The course as it stands."""
        return state(self._lines[course].course)

    def facts(self, course: str) -> list[Record]:
        """Every fact the course's protocol reads, as it stands."""
        line = self._lines[course]
        return facts_of(line.judge, line.verdict)

    def content(self, course: str) -> Record:
        """What the latest decision says, whatever the arrival of its events."""
        line = self._lines[course]
        return content(line.judge, line.course, line.verdict)

    def explanation(self, course: str) -> Record:
        """The smallest change that would advance and what to measure next, as it stands."""
        line = self._lines[course]
        return explanation(line.judge, line.verdict)

    def trace(self, course: str) -> list[Record]:
        """Every condition of every rule of the pack, as it stands."""
        line = self._lines[course]
        return trace(line.judge, line.verdict)


def _pin(packs: Packs, protocol: Mapping[str, str]) -> str:
    """The very content that decided; where only its name is known here, that."""
    known = packs.resolve(protocol["hash"])
    return f"{protocol['id']}@{protocol['version']}" if known is None else known.hash


def _order(event: Event) -> tuple[Any, str, str]:
    return (event.time, event.source, event.id)


def _kind(cause: Event, before: Latest | None) -> str | None:
    """Why this decision may supersede: its cause is a correction, a retraction, or late."""
    if cause.type in META:
        return "correction" if cause.type == META[0] else "retraction"
    return "late" if before is not None and cause.time < before.at else None


def _differs(before: Any, now: Any) -> bool:
    return (before.status, before.path, before.reason) != (now.status, now.path, now.reason)

"""The fold of one course: its events in order, the state after them, and checkpoints to fold again from.

An event in order costs one step. A late one costs its distance to the checkpoint before it.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Protocol as Port

from services.decision.core.course import Course, begin
from services.decision.core.days import Key
from services.decision.core.migrating import migrate
from services.decision.core.places import MIGRATED
from services.decision.core.protocol import Protocol
from services.decision.core.recall import Recall
from services.decision.core.referring import refer
from services.decision.core.stages import Staged, whole
from services.decision.core.standing import Standing
from services.decision.core.taking import apply
from services.decision.core.verdict import Judge, Verdict
from shared.events import Event
from shared.events.frozen import frozen

EVERY = 32
"""Events between checkpoints."""
MEASURED = ("milepost.session.completed", "milepost.recommendation.answered", MIGRATED)
"""Events that are measured against what stands at their time."""
REFERRED = "referred\n"
"""Begins the facet of what says only that a rule referred: on an earlier course, or here before a correction."""
RECENT = 8
"""The last so many events each have a checkpoint: most late events are only a little late."""


@frozen
class Entry:
    key: Key
    event: Event
    facet: str

    @property
    def place(self) -> tuple[Key, str]:
        """Total order: one event may stand twice, as itself and as the referral it opened before it was corrected."""
        return (self.key, self.facet)

    @property
    def from_before(self) -> bool:
        """Whether it says only that a rule referred: on an earlier course, or here before a correction or retraction."""
        return self.facet.startswith(REFERRED)


@frozen
class Checkpoint:
    taken: int
    """How many entries are folded in."""
    course: tuple[Any, ...]
    """Its fields: `Course(*fields)` makes it again, which is seldom asked for."""
    verdict: Verdict


class Judges(Port):
    """The protocols that the course may go on under."""

    def resolve(self, reference: str) -> Protocol | None: ...

    def judge(self, protocol: Protocol) -> Judge: ...


@dataclass(slots=True)
class Line:
    start: Event
    first: Judge
    """Of the protocol that the course began under."""
    packs: Judges
    entries: list[Entry] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    course: Course = field(init=False)
    verdict: Verdict = field(init=False)
    recall: Recall = field(init=False, default_factory=Recall)

    def __post_init__(self) -> None:
        self._fold_from(0)

    @property
    def judge(self) -> Judge:
        """Of the protocol in force."""
        return self.first if self.course.protocol is self.first.protocol else self.packs.judge(self.course.protocol)

    @property
    def fields(self) -> tuple[Any, ...]:
        """Of the course as it stands: nothing changes it between two entries."""
        return self.checkpoints[-1].course

    @property
    def protocol(self) -> Protocol:
        return self.course.protocol

    def insert(self, entry: Entry) -> None:
        """Take in one more event at its place; one that stands there already changes nothing."""
        whole(self.inserting(entry))

    def inserting(self, entry: Entry) -> Staged[None]:
        """`insert` in its stages."""
        entries = self.entries
        if not entries or entries[-1].key < entry.key:
            entries.append(entry)
            yield
            judge = self._apply(entry)
            yield
            self._judged(judge, entry, len(entries))
            return
        at = bisect_left(entries, entry.place, key=lambda one: one.place)
        if at < len(entries) and entries[at].place == entry.place:
            return
        entries.insert(at, entry)
        self._fold_from(at)

    def twin(self) -> "Line":
        """Another fold of the same entries, which goes on by itself from the same checkpoints."""
        other = Line(self.start, self.first, self.packs)
        other.entries, other.checkpoints = list(self.entries), list(self.checkpoints)
        other.course, other.verdict = self.course.copy(), self.verdict
        return other

    def become(self, start: Event, judge: Judge, entries: list[Entry]) -> bool:
        """Hold exactly these entries (sorted); True when that changed anything."""
        if judge is not self.first or start.key != self.start.key or start.data != self.start.data:
            self.start, self.first, self.entries, self.checkpoints = start, judge, entries, []
            self._fold_from(0)
            return True
        shared = min(len(entries), len(self.entries))
        first = next((n for n in range(shared) if not _same(entries[n], self.entries[n])), shared)
        if first == len(entries) == len(self.entries):
            return False
        self.entries = entries
        self._fold_from(first)
        return True

    def _fold_from(self, at: int) -> None:
        while self.checkpoints and self.checkpoints[-1].taken > at:
            self.checkpoints.pop()
        if not self.checkpoints:
            course = begin(self.start, self.first.protocol)
            verdict = self._decided(self.first, course, self.start)
            self.checkpoints.append(Checkpoint(0, course.fields, verdict))
        last = self.checkpoints[-1]
        self.course, self.verdict = Course(*last.course), last.verdict
        if last.taken == len(self.entries):
            # A verdict looks at the course it was made of, which was folded on since.
            self.verdict = self.judge.decide(self.course, self.recall)
        for n in range(last.taken, len(self.entries)):
            self._judged(self._apply(self.entries[n]), self.entries[n], n + 1)

    def _standing_at(self, event: Event) -> Standing:
        """What stands when the event happens: dates that passed since the last one count, whether or not anything was reported."""
        course = self.course
        if event.type in MEASURED and event.time > course.as_of and course.day(event.time) != course.day(course.as_of):
            course.as_of = event.time
            return self.judge.standing(course, self.recall)
        return self.verdict.standing

    def _apply(self, entry: Entry) -> Judge:
        """Folds it in; who judges from here on."""
        standing, judge = self._standing_at(entry.event), self.judge
        apply(self.course, entry.event, standing, judge, entry.facet)
        if entry.event.type == MIGRATED and entry.facet == "whole":
            protocol = self.packs.resolve(entry.event.data["to_hash"])
            assert protocol is not None, "placing refuses what is not at hand"
            judge = self.packs.judge(protocol)
            migrate(self.course, entry.event, standing, protocol, judge)
        return judge

    def _judged(self, judge: Judge, entry: Entry, taken: int) -> None:
        self.verdict = self._decided(judge, self.course, entry.event)
        self.checkpoints.append(Checkpoint(taken, self.course.fields, self.verdict))
        if len(self.checkpoints) > RECENT and self.checkpoints[-RECENT].taken % EVERY:
            del self.checkpoints[-RECENT]

    def _decided(self, judge: Judge, course: Course, event: Event) -> Verdict:
        """What follows, with the referrals that it opens itself."""
        verdict = judge.decide(course, self.recall)
        return judge.decide(course, self.recall) if refer(judge, course, verdict, event) else verdict


def _same(one: Entry, other: Entry) -> bool:
    return one.place == other.place and (one.event is other.event or one.event.data == other.event.data)

"""What was said before each correction and retraction: a referral that a rule of a pack opened then stands until its review.

One rule may rest on several events, so it is not enough to look at the one that was corrected: the course is folded as it was known until
the correction was made. Corrections and retractions are taken in the order of their times, so that the answer rests on the events and not
on their arrival. Courses under packs without a rule that refers have nothing of this.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from services.decision.core.contributing import Contribution, as_latched, as_passed, contributed, entries_of
from services.decision.core.correcting import as_corrected, target_of
from services.decision.core.course import key_of
from services.decision.core.days import Key
from services.decision.core.line import REFERRED, Entry, Judges, Line
from services.decision.core.places import META, MIGRATED, Name
from services.decision.core.placing import Placing
from shared.events import Event

STRUCTURE = ("milepost.course.started", "milepost.course.ended", MIGRATED)
"""What a correction of these changes is which course there is, not what was said on it."""


class World(NamedTuple):
    """What was said until one correction or retraction."""

    meta: Name
    until: Key
    of: Name
    """The event that the correction or retraction speaks of."""
    said: Mapping[Name, list[Contribution]]
    """What events contributed of which something else was said later."""

    def entries(self, placing: Placing, name: Name) -> list[Contribution]:
        """What the event contributed then; what it speaks of always, whatever times the two bear."""
        found = self.said[name] if name in self.said else entries_of(placing, name)
        return [one for one in found if one[3] != "start" and (one[1] < self.until or name == self.of)]


class Former:
    """The former worlds of one athlete, the earliest first, and the folds of the courses in them whose packs have rules that refer."""

    def __init__(self, packs: Judges) -> None:
        self._packs = packs
        self.worlds: list[World] = []
        self._lines: dict[tuple[str, Name], Line] = {}

    def look(self, known: Mapping[Name, Event], placing: Placing, names: Iterable[Name]) -> None:
        """Finds the worlds anew, holding what the named events contributed in each."""
        referring = [course for course in placing.spans if self._refers(placing, course)]
        self.worlds = worlds(known, placing) if referring else []
        entries: dict[tuple[str, Name], list[Entry]] = {(course, world.meta): [] for course in referring for world in self.worlds}
        known_names = list(names) if self.worlds else []
        for world in self.worlds:
            for name in known_names:
                for course, key, event, facet in world.entries(placing, name):
                    if (course, world.meta) in entries:
                        entries[course, world.meta].append(Entry(key, event, facet))
        before, self._lines = self._lines, {}
        for course in referring:
            span, last = placing.spans[course], None
            judge = self._packs.judge(span.protocol)
            for world in self.worlds:
                line = before.get((course, world.meta)) or (Line(span.start, judge, self._packs) if last is None else last.twin())
                line.become(span.start, judge, sorted(entries[course, world.meta], key=lambda entry: entry.place))
                self._lines[course, world.meta] = last = line

    def take(self, placing: Placing, name: Name) -> None:
        """Takes in one more event that changes the place of no other."""
        for world in self.worlds:
            for course, key, event, facet in world.entries(placing, name):
                line = self._lines.get((course, world.meta))
                if line is not None:
                    line.insert(Entry(key, event, facet))

    def referred(self, course: str, before: Iterable[Entry]) -> list[Entry]:
        """`before`, which says what rules referred on earlier courses, and what rules referred here in former worlds."""
        found = {entry.place: entry for entry in before}
        for world in self.worlds:
            line = self._lines.get((course, world.meta))
            if line is None:
                continue
            entries = [entry for entry in line.entries if not entry.from_before] + [one for one in found.values() if one.key < world.until]
            line.become(line.start, line.first, sorted(entries, key=lambda entry: entry.place))
            for rule, event in line.course.referred:
                entry = Entry(key_of(event), event, f"{REFERRED}{rule}")
                found.setdefault(entry.place, entry)
        return list(found.values())

    def _refers(self, placing: Placing, course: str) -> bool:
        protocols = [placing.spans[course].protocol, *(protocol for _, protocol in placing.moves.get(course, ()))]
        return any(self._packs.judge(protocol).referring for protocol in protocols)


def worlds(known: Mapping[Name, Event], placing: Placing, of_types: Collection[str] = ()) -> list[World]:
    """The world before each correction and retraction, the earliest first; `of_types`: of events of these types alone, else of all that do
    not change which course there is.
    """

    def told(meta: Event) -> bool:
        kind = known[target_of(meta)].type
        return kind in of_types if of_types else kind not in STRUCTURE

    metas = [known[name] for name, place in placing.places.items() if place.status == "accepted" and known[name].type in META]
    metas = sorted(filter(told, metas), key=key_of)
    said = {target_of(meta): _said(placing, known[target_of(meta)], known[target_of(meta)]) for meta in metas}
    found: list[World] = []
    for n, meta in enumerate(metas):
        later = dict.fromkeys(target_of(one) for one in metas[n:])
        of = target_of(meta)
        found.append(World((meta.source, meta.id), key_of(meta), of, {name: said[name] for name in later}))
        gone = meta.type == META[1] or any(target_of(one) == of and one.type == META[1] for one in metas[:n])
        said[of] = _said(placing, known[of], None if gone else as_corrected(known[of], meta))
    return found


def _said(placing: Placing, original: Event, now: Event | None) -> list[Contribution]:
    """What the event contributes where `now` is said in the place of the original; None once it was retracted."""
    first = contributed(placing.alone(original))
    if now is original:
        return first
    found = as_passed(first) if now is None else contributed(placing.alone(now))
    return found + as_latched(first) if original.type == "milepost.symptom.reported" else found

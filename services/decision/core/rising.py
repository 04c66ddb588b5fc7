"""What reports referred before a correction, and do not as things are said now, stands until its review.

A report's own flags stand as first sent. But a correction may have ticked some until the next, and whether rest or night pain rose rests on
the reports before and on the start as well. So the reports are looked at as they were said until each correction or retraction of a report
or a start. Nothing else is folded.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from services.decision.core.contributing import Contribution, entries_of
from services.decision.core.correcting import as_corrected, target_of
from services.decision.core.course import KEEP_REPORT_DAYS, key_of
from services.decision.core.days import Key, zone
from services.decision.core.flags import MOMENT_FLAGS, elsewhere, raised_flags, red_flags
from services.decision.core.former import World, worlds
from services.decision.core.line import REFERRED, Entry
from services.decision.core.places import META, Name
from services.decision.core.placing import Placing
from services.decision.core.sessions import Data, Report
from shared.events import Event

REPORTED = "milepost.symptom.reported"
STARTED = "milepost.course.started"

Raised = dict[tuple[Key, str], Event]
"""The report that raised a flag, by its key and the flag."""


class Rises:
    """What was raised in the former worlds of one athlete and is not as things are said now, by course."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {}
        self._until: Key | None = None
        """What bears a later time than this was judged by nothing that was corrected since."""

    def look(self, known: Mapping[Name, Event], placing: Placing) -> bool:
        """Finds them anew; whether that changed anything."""
        before, self.entries, self._until = self.entries, {}, None
        starts = {course: _starts(known, placing, span.start) for course, span in placing.spans.items()}
        former = [one for one in worlds(known, placing, (REPORTED, STARTED)) if _matters(known, one)]
        if former:
            self._until = former[-1].until
            names = [name for name, event in known.items() if event.type == REPORTED]
            for course in starts:
                self.entries[course] = _lost(placing, starts[course], course, former, names)
        return self.entries != before

    def take(self, known: Mapping[Name, Event], placing: Placing, name: Name) -> bool:
        """As `look`, once one more event has its place."""
        until = self._until
        if until is None or known[name].type != REPORTED or all(key > until for _, key, _, _ in entries_of(placing, name)):
            return False
        return self.look(known, placing)


def _matters(known: Mapping[Name, Event], world: World) -> bool:
    """Whether it says anything that a referral could rest on. What was said until one that does not was said until the next as well."""
    if known[world.of].type == STARTED:
        return True
    meta = known[world.meta]
    said = [event.data for _, _, event, _ in world.said[world.of]] + ([meta.data["data"]] if meta.type == META[0] else [])
    return any(map(_tells, said))


def _tells(data: Data) -> bool:
    """Whether a report ticks a flag, or is of rest or night pain."""
    return data["when"] in MOMENT_FLAGS or bool(data.get("flags"))


def _lost(placing: Placing, starts: list[tuple[Key, Event]], course: str, former: list[World], names: list[Name]) -> list[Entry]:
    own = [(name, one) for name in names for one in entries_of(placing, name) if one[0] == course]
    now = _raised(starts[-1][1], [one for _, one in own])
    found: dict[tuple[Key, str], Entry] = {}
    for world in former:
        said = [one for name, one in own if one[1] < world.until and name not in world.said]
        said += [one for name in world.said for one in world.entries(placing, name) if one[0] == course]
        for (key, flag), event in _raised(_until(starts, world.until), said).items():
            if (key, flag) not in now:
                found.setdefault((key, flag), Entry(key, event, f"{REFERRED}{flag}"))
    return list(found.values())


def _raised(start: Event, said: list[Contribution]) -> Raised:
    """The flags that these reports of one course raise, as the fold judges them."""
    injury, baseline, local = start.data["injury"], start.data.get("baseline", {}).get("pain_nrs"), zone(start.data["timezone"])
    reports: list[Report] = []
    kept = date.min
    found: Raised = {}
    for _, key, event, facet in sorted(said, key=_place):
        away = elsewhere(event.data, injury["side"])
        if facet == "flags" or (away and facet in ("whole", "latched")):
            ticked = event.data.get("flags", ()) if facet == "whole" else red_flags(event.data, injury["tissue"], injury["side"])
            found.update({(key, flag): event for flag in ticked})
        if away or facet not in ("whole", "latched"):
            continue
        day = event.time.astimezone(local).date()
        if _tells(event.data):
            report = Report(key, event.time, day, event.data["when"], event.data)
            there = [one for one in reports if one.day >= kept]
            earlier = next((one for one in reversed(there) if one.when == report.when), None)
            carried = tuple({flag: None for one in there for flag in one.data.get("flags", ())}) if event.data.get("flags") else ()
            raised = raised_flags(report, injury["tissue"], earlier, baseline, carried)
            found.update({(key, flag): event for flag in raised})
            reports = [*there, report] if facet == "whole" else there
        if facet == "latched":
            continue
        kept = day - timedelta(days=KEEP_REPORT_DAYS)
    return found


def _place(one: Contribution) -> tuple[Key, str]:
    return one[1], one[3]


def _starts(known: Mapping[Name, Event], placing: Placing, start: Event) -> list[tuple[Key, Event]]:
    """The start as first sent and as each correction says it, each from its key on."""
    name = (start.source, start.id)
    metas = [event for event in known.values() if event.type == META[0] and target_of(event) == name]
    metas = sorted((one for one in metas if placing.places[one.source, one.id].status == "accepted"), key=key_of)
    return [(key_of(known[name]), known[name]), *((key_of(meta), as_corrected(known[name], meta)) for meta in metas)]


def _until(starts: list[tuple[Key, Event]], until: Key) -> Event:
    """The start as it was said until then."""
    return next((event for key, event in reversed(starts) if key < until), starts[0][1])

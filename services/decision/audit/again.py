"""One athlete's history decided again, and held against what was decided. Pure.

As known then: events in the order they arrived; every decision must come out byte for byte. As corrected now: what each decision would
have said had everything that is known now been known at its `as_of`. Under other packs, only the content can be compared.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple

import orjson

from services.decision.audit.packs import Instead, Pinned
from services.decision.core import correcting
from services.decision.core.athlete import Athlete, Library
from services.decision.core.correcting import target_of
from services.decision.core.decision import ARRIVAL_FIELDS, Decision
from services.decision.core.places import META
from services.decision.core.protocol import Protocol
from services.decision.core.stages import Staged, abreast, whole
from shared.events import Event, parse

View = Literal["known", "corrected"]

Name = tuple[str, str]


class Stored(NamedTuple):
    """An event of history in its place, and what became of it when it came: (status, path, reason), None where that was not asked for."""

    seq: int
    body: bytes
    digest: bytes
    became: tuple[str, str | None, str | None] | None = None


class Made(NamedTuple):
    """A decision of history."""

    course: str
    seq: int
    event_seq: int
    body: bytes


class Difference(NamedTuple):
    """`what`: decision, outcome, or missing and extra decisions; `fields` that differ; both records as JSON."""

    course: str | None
    seq: int | None
    what: str
    fields: tuple[str, ...]
    stored: bytes | None
    again: bytes | None


@dataclass(slots=True)
class Past:
    """Everything of one athlete that a replay needs, in the order of arrival."""

    tenant: str
    athlete: str
    events: list[Stored] = field(default_factory=list)
    decisions: list[Made] = field(default_factory=list)

    @property
    def pins(self) -> dict[str, str]:
        """Course to the pack of its first decision."""
        return {made.course: orjson.loads(made.body)["protocol"]["hash"] for made in self.decisions if made.seq == 1}


def known_then(past: Past, packs: Library, others: Mapping[str, Protocol]) -> Iterator[Difference]:
    """What differs when the events come as they came."""
    for again in _again(past, packs, others):
        yield from whole(again)


def known_then_abreast(pasts: Sequence[Past], packs: Sequence[Library], others: Mapping[str, Protocol]) -> list[list[Difference]]:
    """`known_then` of each of these pasts by its library; event by event, each stage for all before the next."""
    found: list[list[Difference]] = [[] for _ in pasts]
    going = [(found[n], _again(past, library, others)) for n, (past, library) in enumerate(zip(pasts, packs, strict=True))]
    while going:
        asked = [(each, again, next(again, None)) for each, again in going]
        going = [(each, again) for each, again, staged in asked if staged is not None]
        for (each, _), differences in zip(going, abreast([staged for _, _, staged in asked if staged is not None]), strict=True):
            each += differences
    return found


def _again(past: Past, packs: Library, others: Mapping[str, Protocol]) -> Iterator[Staged[list[Difference]]]:
    """What differs for each event in turn, to be found before the next is asked for; in the end what was never decided again."""
    library = Pinned(Instead(packs, others) if others else packs, {} if others else past.pins)
    athlete = Athlete(library)
    stored: dict[int, list[Made]] = {}
    for made in past.decisions:
        stored.setdefault(made.event_seq, []).append(made)
    # All are parsed before any is folded: between folds the processor would have forgotten how, and takes twice as long.
    for one, event in zip(past.events, [parse(orjson.loads(one.body), internal=True) for one in past.events], strict=True):
        library.about(event)
        yield _received(athlete, one, event, stored.pop(one.seq, ()), byte_for_byte=not others)
    for rest in stored.values():
        yield _never_again(rest)


def _received(athlete: Athlete, one: Stored, event: Event, then: Sequence[Made], byte_for_byte: bool) -> Staged[list[Difference]]:
    receipt = yield from athlete.receiving(event, one.digest)
    found: list[Difference] = []
    if one.became is not None and byte_for_byte:
        became = (receipt.status, receipt.path, receipt.reason)
        if became != one.became:
            found.append(Difference(None, one.seq, "outcome", ("status",), _json(one.became), _json(became)))
    again = receipt.decisions
    if len(then) != len(again) or not all(map(_same, then, again)):
        found += _compared(_named(then), {(made.course, made.seq): made.encoded for made in again}, byte_for_byte)
    return found


def _never_again(rest: Sequence[Made]) -> Staged[list[Difference]]:
    yield
    return list(_compared(_named(rest), {}, byte_for_byte=True))


def corrected_now(past: Past, packs: Library, others: Mapping[str, Protocol]) -> Iterator[Difference]:
    """What each decision would have said, had all that is known now been known then."""
    line = corrected(past, Instead(packs, others) if others else packs, {} if others else past.pins)
    for made in past.decisions:
        then = orjson.loads(made.body)
        found = line.at(made.course, datetime.fromisoformat(then["as_of"]))
        if found is None:
            yield Difference(made.course, made.seq, "no longer decided", (), made.body, None)
            continue
        fields = _fields(then, found.body)
        if fields:
            yield Difference(made.course, made.seq, "decision", fields, made.body, found.encoded)


@dataclass(slots=True)
class Corrected:
    """The decisions of each course as all knowledge makes them, in the order of the times until which events were taken in."""

    decisions: dict[str, list[tuple[datetime, Decision]]] = field(default_factory=lambda: defaultdict(list))

    def at(self, course: str, moment: datetime) -> Decision | None:
        """The one that stands at this moment; None before the course began."""
        made = self.decisions.get(course, [])
        count = bisect_right(made, moment, key=itemgetter(0))
        return made[count - 1][1] if count else None


def corrected(past: Past, packs: Library, pins: Mapping[str, str]) -> Corrected:
    """The athlete folded in the order of the events' times, each correction and retraction directly behind what it speaks of."""
    library = Pinned(packs, pins)
    athlete, found = Athlete(library), Corrected()
    for time, event, digest in in_order((parse(orjson.loads(one.body), internal=True), one.digest) for one in past.events):
        library.about(event)
        for decision in athlete.receive(event, digest).decisions:
            found.decisions[decision.course].append((time, decision))
    return found


def in_order(events: Iterable[tuple[Event, bytes]]) -> list[tuple[datetime, Event, bytes]]:
    """(when it takes effect, event, digest), by the fold's order, as if corrections had been known from the start."""
    known = list(events)
    by_name: dict[Name, Event] = {(event.source, event.id): event for event, _ in known}
    effective = correcting.corrected(by_name).effective

    def place(event: Event) -> tuple[datetime, str, str, int, datetime, str]:
        target = by_name.get(target_of(event)) if event.type in META else None
        spoken = event if target is None else target
        # A correction that holds may have moved it; what was retracted stays where it was.
        time = effective.get((spoken.source, spoken.id), spoken).time
        return (time, spoken.source, spoken.id, int(target is not None), event.time, event.id)

    return sorted(((place(event)[0], event, digest) for event, digest in known), key=lambda one: place(one[1]))


def _same(then: Made, again: Decision) -> bool:
    return then.body == again.encoded and then.seq == again.seq and then.course == again.course


def _named(made: Iterable[Made]) -> dict[tuple[str, int], bytes]:
    return {(one.course, one.seq): one.body for one in made}


def _compared(stored: Mapping[tuple[str, int], bytes], again: Mapping[tuple[str, int], bytes], byte_for_byte: bool) -> Iterator[Difference]:
    for course, seq in sorted(stored.keys() | again.keys()):
        one, other = stored.get((course, seq)), again.get((course, seq))
        if one == other:
            continue
        if one is None or other is None:
            yield Difference(course, seq, "no longer decided" if other is None else "decided anew", (), one, other)
            continue
        fields = _fields(orjson.loads(one), orjson.loads(other), everything=byte_for_byte)
        if fields or byte_for_byte:
            yield Difference(course, seq, "decision", fields, one, other)


_OF_THE_PACK: Final = ("protocol", "supersedes", "superseded_because", *ARRIVAL_FIELDS)


def _fields(one: Mapping[str, Any], other: Mapping[str, Any], everything: bool = False) -> tuple[str, ...]:
    names = sorted(one.keys() | other.keys())
    return tuple(name for name in names if (everything or name not in _OF_THE_PACK) and one.get(name) != other.get(name))


def _json(became: Sequence[str | None]) -> bytes:
    return orjson.dumps(dict(zip(("status", "path", "reason"), became, strict=True)))

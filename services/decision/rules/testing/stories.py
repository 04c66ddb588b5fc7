"""Stories: a course told day by day in the pack, folded by the pack itself, and held against what it says must come of it.

Day 0 is Monday, 2 March 2026, in Berlin; the course starts on it at 08:00.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.decision.core.athlete import Athlete
from services.decision.core.decision import Decision
from services.decision.core.protocol import Protocol
from services.decision.core.question import Engine
from services.decision.core.verdict import Judge
from services.decision.rules.faults import PackFault
from services.decision.rules.library import Pack
from services.decision.rules.model import ExpectText, StoriesText, StoryText
from shared.events import Event, EventFault, content_digest, parse

DAY_0: Final = date(2026, 3, 2)
ZONE: Final = "Europe/Berlin"
COURSE: Final = "story"
RUN: Final = "run"
_AT = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_KINDS: Final = {"hold": "hold", "regress": "regress", "refer": "refer", "advance": "advance"}


class FaultyStory(Exception):
    """A story that cannot be told: (path below the story, sentence)."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Told:
    """A story after it was told: what differs from what it expects, and the last decision."""

    story: str
    differs: tuple[str, ...]
    last: Decision


class OnePack:
    """A library of one protocol."""

    def __init__(self, protocol: Protocol, engine: Engine) -> None:
        self.protocol = protocol
        self._judge = Judge(protocol, engine)

    def resolve(self, reference: str) -> Protocol | None:
        return self.protocol if reference.partition("@")[0] == self.protocol.id else None

    def names(self) -> list[str]:
        return [self.protocol.id]

    def judge(self, protocol: Protocol) -> Judge:
        return self._judge


@dataclass(frozen=True, slots=True)
class Written:
    """A story as events with their digests and as expectations, in order: what is the same for every mutant of a pack."""

    story: StoryText
    steps: tuple[tuple[str, Event | ExpectText, bytes], ...]


def written_out(protocol: Protocol, stories: StoriesText, story: StoryText) -> Written:
    """Raises `FaultyStory` where an event of it is not one."""
    steps = _steps(protocol, stories, story)
    return Written(story, tuple((path, one, content_digest(one.wire()) if isinstance(one, Event) else b"") for path, one in steps))


def tell(protocol: Protocol, engine: Engine, stories: StoriesText, story: StoryText) -> Told:
    """The story folded; raises `FaultyStory` where an event of it is not one, or is refused."""
    return told_of(OnePack(protocol, engine), written_out(protocol, stories, story))


def told_of(pack: OnePack, written: Written) -> Told:
    """The same of a story that is written out already; raises `FaultyStory` where an event of it is refused."""
    story, protocol = written.story, pack.protocol
    athlete = Athlete(pack)
    differs: list[str] = []
    last: Decision | None = None
    for path, step, digest in written.steps:
        if isinstance(step, ExpectText):
            if last is not None:
                differs += [f"{path}: {one}" for one in differences(protocol, step, last)]
            continue
        receipt = athlete.receive(step, digest)
        if receipt.status != "accepted":
            raise FaultyStory(path, f"the event is {receipt.status}: {receipt.path or ''} {receipt.reason or ''}".rstrip())
        last = receipt.decisions[-1] if receipt.decisions else last
    assert last is not None, "the start of the course decides"
    return Told(story.story, (*differs, *(f"expect: {one}" for one in differences(protocol, story.expect, last))), last)


def tell_all(pack: Pack, engine: Engine) -> tuple[list[Told], list[PackFault]]:
    """Every story of the pack, and a fault with its place for each that cannot be told or ends otherwise."""
    told, faults = [], []
    stories = stories_of(pack)
    own = len(pack.source.text.stories.told)
    floors = [(floor, n) for floor in pack.floors for n, story in enumerate(floor.text.told) if pack.protocol.id not in story.not_under]
    for number, story in enumerate(stories.told):
        floor, n = floors[number - own] if number >= own else (None, number)
        where = f"stories.told[{n}]" if floor is None else f"told[{n}]"
        fault = pack.source.fault if floor is None else floor.fault
        try:
            one = tell(pack.protocol, engine, stories, story)
        except FaultyStory as faulty:
            faults.append(fault(f"{where}.{faulty.path}", f"story “{story.story}”: {faulty.sentence}"))
            continue
        told.append(one)
        for difference in one.differs:
            path, _, sentence = difference.partition(": ")
            faults.append(fault(f"{where}.{path}", f"story “{story.story}”, under {pack.protocol.id}: {sentence}"))
    return told, faults


def stories_of(pack: Pack) -> StoriesText:
    """The pack's stories, and those of the floor where the pack says what a run is."""
    own = pack.source.text.stories
    if RUN not in own.often:
        return own
    floor = [story for floor in pack.floors for story in floor.text.told if pack.protocol.id not in story.not_under]
    return StoriesText(usual=own.usual, often=own.often, told=[*own.told, *floor])


def differences(protocol: Protocol, expect: ExpectText, decision: Decision) -> list[str]:
    """What the decision has otherwise, in words."""
    body = decision.body
    found: list[str] = []
    for name in ("from_step", "to_step"):
        wanted = _step(protocol, getattr(expect, name))
        if wanted is not None and body[name] != wanted:
            found.append(f"{name} is {body[name]}, expected {wanted}; it says: {body['summary']}")
    for name in ("action", "axis", "running", "urgency", "modifier", "rest_days"):
        wanted = getattr(expect, name)
        if wanted is not None and body[name] != wanted:
            found.append(f"{name} is {body[name]}, expected {wanted}; it says: {body['summary']}")
    if expect.not_before_day is not None:
        day = (DAY_0 + timedelta(days=expect.not_before_day)).isoformat()
        if body["not_before"] != day:
            found.append(f"not_before is {body['not_before']}, expected day {expect.not_before_day}, which is {day}")
    outcomes = {reason["rule"]: reason["outcome"] for reason in body["reasons"]}
    found += [
        f"{rule} was to decide; it is {outcomes.get(rule, 'not among the reasons')}"
        for rule in expect.because
        if outcomes.get(rule) not in _KINDS
    ]
    found += [f"{rule} was to have nothing to say; it is {outcomes[rule]}" for rule in expect.silent if rule in outcomes]
    found += [
        f"{rule} was to be not met or unknown; it is {outcomes.get(rule, 'not among the reasons')}"
        for rule in expect.unmet
        if outcomes.get(rule) not in ("not_met", "unknown")
    ]
    lacking = "\n".join(body["missing"])
    found += [f"missing does not name “{words}”; it names: {lacking or 'nothing'}" for words in expect.missing if words not in lacking]
    return found


def _steps(protocol: Protocol, stories: StoriesText, story: StoryText) -> Iterator[tuple[str, Event | ExpectText]]:
    usual = stories.usual
    start = {
        "course": COURSE,
        "protocol": protocol.id,
        "timezone": ZONE,
        **usual.get("course", {}),
        **story.course,
    }
    if "start_step" in start:
        start["start_step"] = _step(protocol, start["start_step"])
    yield "course", _event("course", "milepost.course.started", _moment(0, "08:00", "course"), start, "story-0")
    for n, told in _spelled_out(stories, story):
        path = f"events[{int(n.partition('.')[0]) - 1}]"
        if "expect" in told:
            yield path, _expectation(path, told["expect"])
            continue
        kind, day, at = told.pop("event", None), told.pop("day", None), told.pop("at", None)
        if not isinstance(kind, str) or not isinstance(day, int) or not isinstance(at, str):
            raise FaultyStory(path, "an event of a story has `day` (a whole number), `at` (as 18:00) and `event` (as session.completed)")
        data = {name: value for name, value in {**usual.get(kind, {}), **told}.items() if value is not None}
        if "step" in data:
            data["step"] = _step(protocol, data["step"])
        yield path, _event(path, f"milepost.{kind}", _moment(day, at, path), data, f"story-{n}")


def _spelled_out(stories: StoriesText, story: StoryText) -> Iterator[tuple[str, dict[str, Any]]]:
    """(number of the line, number of its part) and the event; a line of several events in order of their time of day."""
    for n, said in enumerate(story.events, 1):
        name = said.get("often")
        if name is None:
            yield f"{n}", dict(said)
            continue
        path = f"events[{n - 1}]"
        if name not in stories.often:
            raise FaultyStory(path, f"{name} is not a line of `often`; it knows {', '.join(stories.often) or 'none'}")
        parts = stories.often[name]
        without = said.get("without", [])
        days = said.get("days", [said.get("day")])
        others = {key: value for key, value in said.items() if key not in ("often", "day", "days", "without")}
        unknown = [key for key in (*others, *without) if key not in parts]
        if unknown or not all(isinstance(day, int) for day in days):
            raise FaultyStory(
                path, f"{name} has a `day` or `days` and the parts {', '.join(parts)}; {', '.join(unknown) or 'no day'} is none"
            )
        for place, day in enumerate(days):
            for m, (part, event) in enumerate(parts.items()):
                if part not in without:
                    spelled = {**event, **others.get(part, {})}
                    spelled["day"] = day + spelled.pop("on", 0)
                    if spelled.get("session") == "own":
                        spelled["session"] = f"{name}-{day}"
                    yield f"{n}.{place}.{m}", spelled


def _step(protocol: Protocol, named: Any) -> Any:
    """A step by its number on the ladder."""
    return protocol.ladder[named - 1].id if isinstance(named, int) and 0 < named <= len(protocol.ladder) else named


def _expectation(path: str, said: object) -> ExpectText:
    try:
        return ExpectText.model_validate(said)
    except ValueError as fault:
        raise FaultyStory(f"{path}.expect", f"is not an expectation: {str(fault).splitlines()[-2].strip()}") from None


def _moment(day: int, at: str, path: str) -> datetime:
    if not _AT.fullmatch(at):
        raise FaultyStory(f"{path}.at", f"{at} is not a time of day; write it as 18:00")
    local = datetime.combine(DAY_0 + timedelta(days=day), time.fromisoformat(at), ZoneInfo(ZONE))
    return local.astimezone(UTC)


def _event(path: str, kind: str, moment: datetime, data: Mapping[str, Any], name: str) -> Event:
    try:
        return parse(
            {
                "specversion": "1.0",
                "id": name,
                "source": "urn:milepost:story",
                "type": kind,
                "subject": "athlete",
                "time": moment.isoformat().replace("+00:00", "Z"),
                "data": _plain(data),
            },
            internal=kind == "milepost.time.reached",
        )
    except EventFault as fault:
        first = fault.faults[0]
        raise FaultyStory(path, f"{first.path}: {first.sentence()}") from None


def _plain(value: Any) -> Any:
    """Dates as events write them."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value

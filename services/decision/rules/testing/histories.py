"""Short histories at the border of what a pack counts: clean sessions, steps under a rate cap, weeks of loading, a second setback.

Rules compare facts; these numbers make facts, so they are asked of the core on a course built for the purpose.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from services.decision.core.conditions import flat
from services.decision.core.course import Course, Setback
from services.decision.core.facts.registry import View, find
from services.decision.core.protocol import TISSUES, Dose, Protocol, RateCap, Rule
from services.decision.core.question import Answer, Engine, applies
from services.decision.core.recovery import deload_due, lighter, room
from services.decision.core.sessions import Before, Fact, Session
from services.decision.core.trivalent import Tri
from services.decision.core.verdict import Judge

DAY_0: Final = date(2026, 3, 2)
_STATES: Final = {"": (0, False), " after it led back": (1, False), " below the step of a break": (0, True)}
_COUNTED = re.compile(r"(?P<step>\S+?)(?P<state>(?: after it led back| below the step of a break)?), (?P<days>[^:]+)")
_SESSIONS = re.compile(r"(not clean|clean) on (?:day|days) ([\d ]+)")
_CAPPED = re.compile(r"(?P<step>\S+), (?P<steps>[\w. -]+) run and gained on day 1, asked on day (?P<day>\d+)")
_LOADED = re.compile(r"(?P<step>\S+), (?P<days>\d+) days of loading")
_AGAIN = re.compile(r"(?P<step>\S+), (?P<days>\d+) days after a setback, (?P<rule>\S+) met")


@dataclass(frozen=True, slots=True)
class Counted:
    """Sessions at a step, clean or not, and how many clean ones are still to be done."""

    step: str
    state: str
    sessions: tuple[tuple[int, bool], ...]
    """Day and whether it was clean, in order."""

    def words(self) -> str:
        parts = [
            f"{told} on {'days' if len(days) > 1 else 'day'} {' '.join(days)}"
            for told, wanted in (("clean", True), ("not clean", False))
            if (days := [str(day) for day, clean in self.sessions if clean is wanted])
        ]
        return f"{self.step}{self.state}, {' and '.join(parts) or 'no session'}"

    def outcome(self, protocol: Protocol) -> str:
        failures, broke = _STATES[self.state]
        rung = protocol.place[self.step]
        sessions = tuple(_session(self.step, day, clean) for day, clean in self.sessions)
        course = _course(protocol, self.step, 60, sessions)
        course.failures = {self.step: failures} if failures else {}
        course.rebuild_to = rung + 1 if broke else -1
        found = find("step.clean_sessions_short", _view(course)).value
        return f"{found} clean {'session' if found == 1 else 'sessions'} short"


@dataclass(frozen=True, slots=True)
class Capped:
    """Steps gained, with a session at each, on day 1, and for how many there is room on another day."""

    step: str
    gained: tuple[str, ...]
    day: int

    def words(self) -> str:
        return f"{self.step}, {' '.join(self.gained)} run and gained on day 1, asked on day {self.day}"

    def outcome(self, protocol: Protocol) -> str:
        course = _course(protocol, self.step, self.day, tuple(_session(step, 1, True) for step in self.gained))
        course.gained = tuple((_day(1), step) for step in self.gained)
        return f"room for {room(course, _day(self.day))}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Days since a block of loading began, and whether a lighter week is due, with what it leaves of the step."""

    step: str
    days: int

    def words(self) -> str:
        return f"{self.step}, {self.days} days of loading"

    def outcome(self, protocol: Protocol) -> str:
        course = _course(protocol, self.step, self.days)
        course.block_start = DAY_0
        if not deload_due(course, _day(self.days)):
            return "no lighter week"
        rung = protocol.step(self.step)
        assert rung is not None
        dose = lighter(course, rung.dose)
        numbers = [field.name for field in fields(Dose) if isinstance(getattr(dose, field.name), int) and field.name != "quality"]
        return f"a lighter week, {', '.join(f'{name} {getattr(dose, name)}' for name in numbers)}"


@dataclass(frozen=True, slots=True)
class Again:
    """A rule that leads back is met some days after an earlier setback."""

    step: str
    days: int
    rule: str

    def words(self) -> str:
        return f"{self.step}, {self.days} days after a setback, {self.rule} met"

    def outcome(self, protocol: Protocol) -> str:
        index = next((n for n, rule in enumerate(protocol.rules) if rule.id == self.rule), None)
        if index is None:
            return f"there is no rule {self.rule}"
        verdicts = tuple(Tri.MET if n == index else Tri.NOT_MET for n in range(len(protocol.rules)))
        course = _course(protocol, self.step, 60, (_session(self.step, 60, False),))
        course.setbacks = (Setback(_day(60 - self.days), self.step),)
        standing = Judge(protocol, _Met(Answer(verdicts, "regress"))).decide(course).standing
        return f"{standing.action} to {standing.to_step}" + ("" if standing.urgency == "routine" else f", {standing.urgency}")


History = Counted | Capped | Loaded | Again


class _Met(Engine):
    """An engine that gives one answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def judge(self, protocol: Protocol, values: Sequence[int | None], rung: int, tissue: int) -> Answer:
        return self._answer


def history_of(protocol: Protocol, words: str) -> History | None:
    """The reverse of `words`; None where they say nothing of this pack."""
    found = _CAPPED.fullmatch(words) or _LOADED.fullmatch(words) or _AGAIN.fullmatch(words) or _COUNTED.fullmatch(words)
    if found is None or found["step"] not in protocol.place:
        return None
    said = found.groupdict()
    if "rule" in said:
        return Again(said["step"], int(said["days"]), said["rule"])
    if "steps" in said:
        steps = tuple(said["steps"].split())
        return Capped(said["step"], steps, int(said["day"])) if all(step in protocol.place for step in steps) else None
    if "state" not in said:
        return Loaded(said["step"], int(said["days"])) if protocol.step(said["step"]) is not None else None
    parts = [_SESSIONS.fullmatch(part) for part in said["days"].split(" and ")] if said["days"] != "no session" else []
    sessions = [(int(day), part[1] == "clean") for part in parts if part is not None for day in part[2].split()]
    return None if None in parts else Counted(said["step"], said["state"], tuple(sorted(sessions)))


def histories(protocol: Protocol) -> Iterator[History]:
    """Each border once."""
    yield from _counted(protocol)
    for n in range(len(protocol.rates)):
        yield from _capped(protocol, n)
    yield from _loaded(protocol)
    yield from _again(protocol)


def _counted(protocol: Protocol) -> Iterator[History]:
    ladder, progress = protocol.ladder, protocol.progress
    step = ladder[len(ladder) // 2].id
    needs = {"": progress.clean_sessions, " after it led back": progress.after_failure, " below the step of a break": progress.on_rebuild}
    for state, need in needs.items():
        for done in (need - 1, need):
            yield Counted(step, state, tuple((1 + 2 * n, True) for n in range(done)))
    state, need = max(needs.items(), key=lambda one: one[1])
    yield Counted(step, state, tuple((1 + n, True) for n in range(need)))
    apart = tuple((1 + 2 * n, True) for n in range(need))
    yield Counted(step, state, (*apart[:1], (2, False), *apart[1:]))


def _capped(protocol: Protocol, n: int) -> Iterator[History]:
    cap = protocol.rates[n]
    places = [(here, to) for here, to in zip(protocol.steps, protocol.steps[1:], strict=False) if to in cap.steps]
    ladder = [step.id for step in protocol.ladder if cap.axis is None or cap.axis in step.raises]
    if not places or not ladder:
        return
    low = min(cap.max_steps, len(protocol.ladder)) - 1
    here, _ = min(places, key=lambda place: (_stricter(protocol, cap, place[1]), protocol.place[place[0]] < low))
    before = [step for step in ladder if protocol.place[step] <= protocol.place[here]] or ladder
    gained = [before[-1 - (m % len(before))] for m in range(cap.max_steps)]
    if len(gained) > 1:
        yield Capped(here, tuple(gained[1:]), cap.in_days)
    for day in (cap.in_days, cap.in_days + 1):
        yield Capped(here, tuple(gained), day)


def _stricter(protocol: Protocol, cap: RateCap, to: str) -> int:
    """How many other caps speak for a step."""
    return sum(to in other.steps for other in protocol.rates if other is not cap)


def _loaded(protocol: Protocol) -> Iterator[History]:
    deload = protocol.deload
    if deload is None:
        return
    whole = [
        step for step in protocol.ladder if step.dose.sessions_per_week_max and (step.dose.run_s or step.dose.distance_m or step.dose.run_m)
    ]
    step = (whole or protocol.ladder)[-1].id
    for days in (deload.after_days - 1, deload.after_days, deload.after_days + deload.days - 1, deload.after_days + deload.days):
        yield Loaded(step, days)


def _again(protocol: Protocol) -> Iterator[History]:
    second = protocol.second_setback
    if second is None:
        return
    step = protocol.ladder[-1].id
    able = [rule for rule in protocol.rules if _leads_back(protocol, rule, step)]
    if able:
        rule = min(able, key=lambda one: one.then.steps_back)
        for days in (second.within_days - 1, second.within_days):
            yield Again(step, days, rule.id)


def _leads_back(protocol: Protocol, rule: Rule, step: str) -> bool:
    """A regress that goes back some steps and is not for days without running alone."""
    reads = {protocol.slots[one.slot].fact for one in flat(rule.when)}
    here = any(applies(rule, step, tissue) for tissue in protocol.population.tissues)
    return rule.kind == "regress" and not rule.then.to_entry and reads != {"break.days"} and here


def _day(number: int) -> date:
    return DAY_0 + timedelta(days=number)


def _at(number: int, hour: int) -> datetime:
    return datetime.combine(_day(number), time(hour), UTC)


def _session(step: str, day: int, clean: bool) -> Session:
    session = Session(
        key=(_at(day, 17), "", f"s{day}"),
        id=f"s{day}",
        time=_at(day, 17),
        day=_day(day),
        runs=True,
        planned=True,
        step=step,
        rpe_cap=None,
        data={},
        prescribed=Fact(True),
        departures=(),
        above=False,
        above_step=False,
        technique=Fact(True),
        before=Before(0, 0, 0, ()),
    )
    session.judged(Tri.MET if clean else Tri.NOT_MET)
    return session


def _course(protocol: Protocol, step: str, day: int, sessions: tuple[Session, ...] = ()) -> Course:
    begun = (_at(0, 6), "", "")
    tissue = next((one for one in TISSUES if one in protocol.population.tissues and one != "bone"), protocol.population.tissues[0])
    return Course(
        id="asked",
        protocol=protocol,
        started={"course": "asked", "injury": {"tissue": tissue, "site": "knee", "side": "left"}, "timezone": "UTC", "birth_year": 1990},
        start_key=begun,
        heard=begun[0],
        as_of=_at(day, 18),
        step=step,
        tissue=tissue,
        side="left",
        sessions=sessions,
        ran=sessions,
        judged=sessions,
        step_since=begun,
    )


def _view(course: Course) -> View:
    today = course.day(course.as_of)
    return View(course, course.as_of, today, course.last_session, today)

"""One session, the reports that belong to it, and what can be said of it: dose, symptoms, technique.

Every answer is a `Fact`: a value or `Unknown` with its reason, and the events it was read from. Where a word and a number disagree, or
several reports speak of one moment, the worse counts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from services.decision.core.days import Key
from services.decision.core.noting import noted
from services.decision.core.trivalent import Tri, Unknown
from shared.events.frozen import frozen

Data = Mapping[str, Any]
Value = int | float | bool | str

SWELLING = ("none", "trace", "1+", "2+", "3+")
WHENS = ("before", "warm_up", "during", "after", "next_morning", "next_day", "two_days_after", "rest", "night", "daily")
UNLOADED_SURFACES = ("water", "anti_gravity")
DOSE_BAND_PCT = (90, 110)
"""A measured quantity inside this band of the dose counts as the dose done (expert default)."""


class Fact(NamedTuple):
    """A value with the events it was read from; `at` is when it was observed, for ages."""

    value: Value | Unknown
    keys: tuple[Key, ...] = ()
    at: datetime | None = None


@dataclass(slots=True, eq=False)
class Evidence:
    """One condition with what it found."""

    fact: str
    verdict: Tri
    order: tuple[str, str, str, list[str]]
    """How evidence is sorted: by fact, comparison, threshold and events."""
    encoded: bytes
    """As it is written in a record."""
    said: str
    """In a sentence, where the condition is not met or not known."""


class Report(NamedTuple):
    """A symptom report about the injured place."""

    key: Key
    time: datetime
    day: date
    when: str
    data: Data


class Before(NamedTuple):
    """The level a session's reports compare with: its `before` report, else the last `daily` of 24 h, else the baseline."""

    pain: float | None
    swelling: int | None
    stiffness: float | None
    keys: tuple[Key, ...]


@frozen
class Session:
    key: Key
    id: str
    time: datetime
    day: date
    runs: bool
    planned: bool
    step: str
    """The step it was done at: as sent, or the one recommended when it started."""
    rpe_cap: int | None
    data: Data
    prescribed: Fact
    departures: tuple[str, ...]
    """Why it is not as prescribed."""
    above: bool
    """More than the dose, or a step above the one recommended: the step is repeated first."""
    above_step: bool
    technique: Fact
    before: Before
    reports: tuple[Report, ...] = ()
    sensors: tuple[tuple[Key, Data], ...] = ()
    clean: Tri = Tri.UNKNOWN
    speed_cap: int | None = None
    """The step's highest speed in per cent of maximum."""
    memo: dict[str, Fact] = field(init=False, compare=False, repr=False, default_factory=dict)
    """Facts already found of this very session. One that is made of it takes over those that rest on nothing that changed."""
    rests: dict[str, int] = field(init=False, compare=False, repr=False, default_factory=dict)
    """On which fields, and on reports of which moments, each of them rests: bits of `BITS`."""
    values: list[int | None] = field(init=False, compare=False, repr=False, default_factory=list)
    """What `clean` reads, as the engines want it; filled once."""
    lacks: dict[bytes, Evidence] = field(init=False, compare=False, repr=False, default_factory=dict)
    """Evidence of what it lacks to count at its step, by how it is written; filled once."""

    @property
    def end(self) -> datetime:
        """Start plus measured duration, or plus half an hour where none was sent."""
        return self.time + timedelta(seconds=self.data.get("duration_s", self.data.get("run_s", 900) + self.data.get("walk_s", 900)))

    def told(self, *whens: str) -> list[Report]:
        """The reports of these moments."""
        return [report for report in self.reports if report.when in whens]

    def but(self, **changed: Any) -> "Session":
        """This session with other values of some fields."""
        return self._twin(changed, sum(BITS[name] for name in changed) | (EVERY_MOMENT if "reports" in changed else 0))

    def reported(self, report: Report) -> "Session":
        """This session with one more report."""
        reports = tuple(sorted((*self.reports, report), key=lambda one: one.key))
        return self._twin({"reports": reports}, BITS["reports"] | MOMENTS[report.when])

    def _twin(self, changed: Mapping[str, Any], bits: int) -> "Session":
        twin = object.__new__(Session)
        put = object.__setattr__
        for name in FIELDS:
            put(twin, name, changed[name] if name in changed else getattr(self, name))
        rests = {name: on for name, on in self.rests.items() if not on & bits}
        put(twin, "rests", rests)
        put(twin, "memo", {name: self.memo[name] for name in rests})
        put(twin, "values", [])
        put(twin, "lacks", {})
        return twin


FIELDS = tuple(one.name for one in fields(Session) if one.init)
BITS = {name: 1 << n for n, name in enumerate(FIELDS)}
MOMENTS = {when: 1 << (len(FIELDS) + n) for n, when in enumerate(WHENS)}
EVERY_MOMENT = sum(MOMENTS.values())


class NotedSession(noted(Session, BITS)):  # type: ignore[misc]
    """A session that notes which fields, and reports of which moments, are read."""

    __slots__ = ()

    def told(self, *whens: str) -> list[Report]:
        for when in whens:
            self.read |= MOMENTS[when]
        return self.of.told(*whens)  # type: ignore[no-any-return]


def _number_higher(found: float | None, before: float | None) -> bool | None:
    if found is None:
        return None
    if found == 0:
        return False
    return None if before is None else found > before


def worse_of(word: str | None, number: bool | None) -> bool | None:
    """True when either says higher; False when one denies it and none affirms; None when neither speaks."""
    said = None if word is None else word == "higher"
    if said or number:
        return True
    return None if said is None and number is None else False


def pain_higher(report: Report, before: Before) -> bool | None:
    return worse_of(report.data.get("pain_change"), _number_higher(report.data.get("pain_nrs"), before.pain))


def swelling_higher(report: Report, before: Before) -> bool | None:
    grade = report.data.get("swelling")
    number = None if grade is None else _number_higher(SWELLING.index(grade), before.swelling)
    return worse_of(report.data.get("swelling_change"), number)


def stiffness_higher(report: Report, before: Before) -> bool | None:
    return worse_of(report.data.get("stiffness_change"), _number_higher(report.data.get("stiffness_min"), before.stiffness))


Higher = Callable[[Report, Before], bool | None]


def worst_pain(session: Session, needed: str, *also: str) -> Fact:
    """The highest pain of the reports `needed` or `also`; unknown unless one `needed` gave a number."""
    reports = session.told(needed, *also)
    known = [report for report in reports if "pain_nrs" in report.data]
    keys = tuple(report.key for report in known)
    if not any(report.when == needed for report in known):
        return Fact(Unknown("was not reported"), keys)
    return Fact(max(report.data["pain_nrs"] for report in known), keys, known[-1].time)


def rose(session: Session, higher: Higher, *whens: str) -> Fact:
    """True when any of these reports says higher; False when each moment was reported and none says so."""
    reports = session.told(*whens)
    said = [(report, higher(report, session.before)) for report in reports]
    keys = tuple(report.key for report, answer in said if answer is not None)
    if any(answer for _, answer in said):
        return Fact(True, keys)
    for when in whens:
        if not any(answer is False for report, answer in said if report.when == when):
            told = any(report.when == when for report in reports)
            return Fact(Unknown("cannot be compared, for the level before is not known" if told else "was not reported"), keys)
    return Fact(False, keys)


def settled_within(session: Session, minutes: int) -> Fact:
    """Back to the level before within so many minutes of the end. A clean `after` report shows it; an unsettled one denies it."""
    reports = session.told("after", "next_morning", "next_day")
    keys = tuple(report.key for report in reports)
    late = session.end + timedelta(minutes=minutes)
    clean_by_then = False
    for report in reports:
        data = report.data
        raised = pain_higher(report, session.before)
        if data.get("settled_min", 0) > minutes:
            return Fact(False, keys)
        if report.time >= late and (raised or data.get("settled") is False):
            return Fact(False, keys)
        if "settled_min" in data or (raised is False and data.get("settled") is not False and report.when == "after"):
            clean_by_then = True
    return Fact(True, keys) if clean_by_then else Fact(Unknown("was not reported"), keys)


def unsettled_after_a_day(session: Session, higher: Higher) -> Fact:
    """Still higher 24 h after the session. A morning that is back to the level before denies it; a raised morning alone leaves it open."""
    reports = session.told("next_morning", "next_day", "two_days_after", "after")
    if not reports:
        return Fact(Unknown("was not reported"))
    day_later, before = session.end + timedelta(hours=24), session.before
    keys = tuple([report.key for report in reports])
    denied = False
    for report in reports:
        answer = higher(report, before)
        full_day = report.time >= day_later or report.when in ("next_day", "two_days_after")
        if full_day and (answer or (report.data.get("settled") is False and higher is pain_higher)):
            return Fact(True, keys)
        if report.data.get("settled_min", 0) > 1440 and higher is pain_higher:
            return Fact(True, keys)
        if answer is False and report.when != "after":
            denied = True
    return Fact(False, keys) if denied else Fact(Unknown("was not reported"), keys)


def rise_next_morning(session: Session) -> Fact:
    """Pain next morning minus the level before, in NRS points."""
    mornings = session.told("next_morning")
    reports = [r for r in mornings if "pain_nrs" in r.data]
    keys = (*session.before.keys, *(report.key for report in mornings))
    if not reports:
        if rose(session, pain_higher, "next_morning").value is False:
            return Fact(0, keys)
        return Fact(Unknown("was not reported as a number"), keys)
    worst = max(report.data["pain_nrs"] for report in reports)
    if worst == 0 or session.before.pain is not None:
        return Fact(max(worst - (session.before.pain or 0), 0), keys)
    return Fact(Unknown("cannot be reckoned, for the level before is not known"), keys)


def masked(session: Session) -> Fact:
    """A report under an analgesic can hold or regress, it never supports an advance. Not asked is not masked."""
    keys = tuple(r.key for r in session.reports if r.data.get("analgesic", "none") != "none")
    return Fact(bool(keys), keys)


def from_data(session: Session, field: str) -> Fact:
    value = session.data.get(field)
    return Fact(Unknown("was not reported"), (session.key,)) if value is None else Fact(value, (session.key,))


def stopped_for_pain(session: Session) -> Fact:
    reason = session.data.get("stopped_for")
    if reason is None and session.prescribed.value is not True and session.data.get("completed") is not True:
        return Fact(Unknown("was not reported"), (session.key,))
    return Fact(reason == "pain", (session.key,))


def rpe_over_step(session: Session) -> Fact:
    """Session RPE minus the step's cap: above zero is harder than prescribed."""
    rpe = session.data.get("rpe")
    if rpe is None:
        return Fact(Unknown("was not reported"), (session.key,))
    return Fact(0 if session.rpe_cap is None else rpe - session.rpe_cap, (session.key,))


def before_level(reports: Iterable[Report], daily: Report | None, baseline_pain: float | None) -> Before:
    """What a session's reports compare with, field by field: `before`, else `daily`, else the baseline."""
    sources = [report for report in reports if report.when == "before"]
    if daily is not None:
        sources.append(daily)
    pain = swelling = stiffness = None
    for report in sources:
        data = report.data
        # Of several reports of one moment the lower level counts here: it is the one that makes a later rise visible.
        pain = data.get("pain_nrs") if pain is None or (report.when == "before" and data.get("pain_nrs", pain) < pain) else pain
        stiffness = data.get("stiffness_min") if stiffness is None else stiffness
        if swelling is None and "swelling" in data:
            swelling = SWELLING.index(data["swelling"])
    return Before(baseline_pain if pain is None else pain, swelling, stiffness, tuple(report.key for report in sources))

"""One session and the reports that belong to it, with the facts that were found of it.

A `Fact` is a value or `Unknown` with its reason, and the events it was read from. `comparing.py` finds those of symptoms.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from services.decision.core.days import Key
from services.decision.core.trivalent import Tri, Unknown

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


@dataclass(slots=True)
class Session:
    """One session as it stands. It is not changed once it is kept: what is reported of it since makes another one of it.

    Facts are found of a session once, and another that is made of it takes over those that rest on nothing that changed. A finder is a
    pure function, so it is enough to note what it reads: reports by their moments, sensors, and whether the session is clean. All other
    fields stay as they were recorded; where one does not (`but`), nothing is taken over.
    """

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
    speed_cap: int | None = None
    """The step's highest speed in per cent of maximum."""
    _reports: tuple[Report, ...] = ()
    _sensors: tuple[tuple[Key, Data], ...] = ()
    _clean: Tri = Tri.UNKNOWN
    read: int = field(init=False, compare=False, repr=False, default=0)
    """What has been read since it was set to 0: bits of `BITS`."""
    memo: dict[str, Fact] = field(init=False, compare=False, repr=False, default_factory=dict)
    """Facts already found of this very session, by their names."""
    rests: dict[str, int] = field(init=False, compare=False, repr=False, default_factory=dict)
    """What was read to find each of them."""
    values: list[int | None] = field(init=False, compare=False, repr=False, default_factory=list)
    """What `clean` reads, as the engines want it; all of it but the facts named in `stale`."""
    stale: list[str] = field(init=False, compare=False, repr=False, default_factory=list)
    """Facts that were found of the session that this one was made of, and have to be found anew."""
    lacks: dict[bytes, Evidence] = field(init=False, compare=False, repr=False, default_factory=dict)
    """Evidence of what it lacks to count at its step, by how it is written; filled once."""

    @property
    def reports(self) -> tuple[Report, ...]:
        self.read |= EVERY_MOMENT
        return self._reports

    @property
    def sensors(self) -> tuple[tuple[Key, Data], ...]:
        self.read |= SENSORS
        return self._sensors

    @property
    def clean(self) -> Tri:
        self.read |= CLEAN
        return self._clean

    @property
    def end(self) -> datetime:
        """Start plus measured duration, or plus half an hour where none was sent."""
        data = self.data
        return self.time + seconds(data["duration_s"] if "duration_s" in data else data.get("run_s", 900) + data.get("walk_s", 900))

    def told(self, *whens: str) -> list[Report]:
        """The reports of these moments."""
        for when in whens:
            self.read |= BITS[when]
        return [report for report in self._reports if report.when in whens]

    def but(self, **changed: Any) -> "Session":
        """This session with other values of some fields, of which nothing has been found yet."""
        return replace(self, **changed)

    def reported(self, report: Report) -> "Session":
        """This session with one more report."""
        reports = (*self._reports, report)
        if len(reports) > 1 and reports[-2].key > report.key:
            reports = tuple(sorted(reports, key=_key))
        return self._twin(reports, self._sensors, BITS[report.when])

    def measured(self, sensors: tuple[tuple[Key, Data], ...]) -> "Session":
        """This session with these sensor summaries in place of its own."""
        return self._twin(self._reports, sensors, SENSORS)

    def judged(self, clean: Tri) -> None:
        """Says whether it is clean. Only of a session that nobody keeps yet."""
        if clean is not self._clean:
            self._clean = clean
            self._forget(CLEAN)

    def _twin(self, reports: tuple[Report, ...], sensors: tuple[tuple[Key, Data], ...], bits: int) -> "Session":
        twin = Session(*_recorded(self))
        twin._reports, twin._sensors, twin._clean = reports, sensors, self._clean
        twin.memo, twin.rests, twin.values, twin.stale = self.memo.copy(), self.rests.copy(), self.values.copy(), self.stale.copy()
        twin._forget(bits)
        return twin

    def _forget(self, bits: int) -> None:
        """Drops the facts that rest on any of these."""
        for name in [name for name, on in self.rests.items() if on & bits]:
            del self.memo[name], self.rests[name]
            self.stale.append(name)


BITS: Final = {when: 1 << n for n, when in enumerate(WHENS)}
EVERY_MOMENT: Final = sum(BITS.values())
SENSORS: Final = 1 << len(WHENS)
CLEAN: Final = SENSORS << 1
_key: Final = attrgetter("key")
_recorded: Final = attrgetter(*[one.name for one in fields(Session) if one.init and not one.name.startswith("_")])


@lru_cache(maxsize=1024)
def seconds(count: float) -> timedelta:
    """To make one takes five times as long as to add it."""
    return timedelta(seconds=count)


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

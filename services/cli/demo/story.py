"""The story: two athletes over five weeks, as what is sent and what has to be decided. Pure: the same `today`, the same story.

What an athlete runs is not written here: each run is the dose of the recommendation then in force, recorded by a watch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

Event = dict[str, Any]
Role = Literal["clinician", "integrator"]

ZONE: Final = ZoneInfo("Europe/Berlin")
DAYS: Final = 36
"""Days from the first event to today; the last event is yesterday's, so nothing lies in the future whatever the hour."""

CALM: Final = {"swelling": "none", "swelling_change": "same", "stiffness_change": "same"}


@dataclass(frozen=True, slots=True)
class Batch:
    """Events sent in one request."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as recommended, recorded from `start` and sent as a FIT file; `said` is what the watch cannot know."""

    session: str
    start: datetime
    said: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scene:
    """One row of the table: what comes in, and the decision it has to end in (action, from step, to step)."""

    when: datetime
    words: str
    sends: tuple[Batch | Run, ...]
    expects: tuple[str, str, str]
    role: Role = "integrator"
    supersedes: bool = False
    explained: bool = False
    """Its decision is shown in full at the end."""


@dataclass(frozen=True, slots=True)
class Athlete:
    letter: str
    subject: str
    course: str
    protocol: str
    about: str
    scenes: tuple[Scene, ...]

    @property
    def title(self) -> str:
        return f"Athlete {self.letter}: {self.about}, protocol {self.protocol}"


def athletes(today: date) -> tuple[Athlete, Athlete]:
    """Both athletes, their last events on the day before `today`."""
    first = today - timedelta(days=DAYS)
    return (
        Athlete(
            "A",
            "demo-a",
            "demo-a-knee",
            "progressive-return",
            "pain behind the left kneecap",
            tuple(_setback(_Diary("demo-a", "demo-a-knee", first))),
        ),
        Athlete(
            "B",
            "demo-b",
            "demo-b-knee",
            "mil-knee-overuse",
            "tendon of the right kneecap",
            tuple(_twice(_Diary("demo-b", "demo-b-knee", first))),
        ),
    )


class _Diary:
    """Writes the events of one athlete, numbered in the order written."""

    def __init__(self, subject: str, course: str, first: date) -> None:
        self.subject = subject
        self.course = course
        self._first = first
        self._written = 0

    def at(self, day: int, hour: int, minute: int = 0) -> datetime:
        return datetime.combine(self._first + timedelta(days=day), time(hour, minute), ZONE)

    def event(self, kind: str, moment: datetime, /, **data: Any) -> Event:
        self._written += 1
        event: Event = {
            "specversion": "1.0",
            "id": f"{self.subject}-{self._written:03}",
            "source": "urn:milepost:demo",
            "type": f"milepost.{kind}",
            "subject": self.subject,
            "time": moment.isoformat(),
        }
        named = {} if kind.startswith(("course.", "event.")) else {"course": self.course}
        return event | named | {"data": data}

    def run(self, day: int, rpe: int = 3) -> Run:
        said = {"rpe": str(rpe), "gait_changed": "false", "technique_ok": "true", "technique_by": "clinician", "completed": "true"}
        return Run(self._session(day), self.at(day, 18), said | {"terrain": "flat", "surface": "road"})

    def before(self, day: int) -> Batch:
        """How the athlete stood before the run of that day; it belongs to the next run of the date."""
        return Batch((self.event("symptom.reported", self.at(day, 17, 50), when="before", pain_nrs=0, swelling="none", stiffness_min=0),))

    def evening(self, day: int, during: int = 0) -> Batch:
        """What the run of that day was like and how it was after it, told that evening."""
        session = self._session(day)
        told = (
            (self.at(day, 20), {"when": "during", "pain_nrs": during, "pain_change": "higher" if during else "same"}),
            (self.at(day, 20, 1), {"when": "after", "pain_nrs": 0, "pain_change": "same", "settled_min": 30 if during else 0, **CALM}),
        )
        return Batch(tuple(self.event("symptom.reported", when, session=session, **data) for when, data in told))

    def morning(self, day: int) -> Event:
        """The report of the morning after the run of that day: nothing to report."""
        return self.event("symptom.reported", self.at(day + 1, 7), session=self._session(day), **self.morning_data(0))

    def morning_data(self, pain: int) -> dict[str, Any]:
        return {"when": "next_morning", "pain_nrs": pain, "pain_change": "higher" if pain else "same", **CALM}

    def _session(self, day: int) -> str:
        return f"{self.subject}-run-{day}"


def _setback(diary: _Diary) -> Iterator[Scene]:
    """Entry, three steps up, a setback, back up, a lighter week, and a correction that takes an advance back."""
    at = diary.at
    started = diary.event(
        "course.started",
        at(0, 8),
        course=diary.course,
        protocol="progressive-return",
        injury={"tissue": "joint", "site": "patellofemoral", "side": "left"},
        timezone=ZONE.key,
        birth_year=1990,
        sport="recreational",
        baseline={"pain_nrs": 0, "cadence_spm": 166},
    )
    yield Scene(at(0, 8), "course started", (Batch((started,)),), ("hold", "entry", "entry"))
    calm = [diary.event("symptom.reported", at(day, 9), when="daily", pain_nrs=0, swelling="none") for day in range(7)]
    yield Scene(at(6, 9), "seven daily reports: pain 0, no swelling", (Batch(tuple(calm)),), ("hold", "entry", "entry"))
    tests = [diary.event("milestone.assessed", at(6, 11), assessor="clinician", **test) for test in _ENTRY_TESTS]
    words = f"{len(tests)} entry tests passed: walk, hops, calf, squat, technique, strength"
    yield Scene(at(6, 11), words, (Batch(tuple(tests)),), ("advance", "entry", "W1"), role="clinician")
    for step, above, days in (("W1", "W2", (8, 10)), ("W2", "W3", (12, 15)), ("W3", "W4", (17, 19))):
        yield from _clean(diary, days[0], ("hold", step, step))
        yield from _clean(diary, days[1], ("advance", step, above), waiting=("hold", step, step))
    yield Scene(
        at(22, 20),
        "{fit}; RPE 4; pain 5 of 10 during",
        (diary.before(22), diary.run(22, rpe=4), diary.evening(22, during=5)),
        ("regress", "W4", "W3"),
    )
    yield replace(_next_morning(diary, 22, diary.morning(22), ("regress", "W4", "W3")), explained=True)
    for day in (25, 27, 30):
        yield from _clean(diary, day, ("hold", "W3", "W3"))
    mistaken = diary.morning(34)
    yield _evening(diary, 34, ("hold", "W3", "W3"))
    yield _next_morning(diary, 34, mistaken, ("advance", "W3", "W4"))
    corrected = diary.event(
        "event.corrected", at(35, 12), corrects=mistaken["id"], data=diary.morning_data(4) | {"session": mistaken["data"]["session"]}
    )
    yield Scene(
        at(35, 12),
        "CORRECTION: that morning's pain was 4, not 0",
        (Batch((corrected,)),),
        ("regress", "W3", "W1"),
        supersedes=True,
    )


def _twice(diary: _Diary) -> Iterator[Scene]:
    """Clean throughout: one clean session holds, the second advances."""
    at = diary.at
    started = diary.event(
        "course.started",
        at(24, 8),
        course=diary.course,
        protocol="mil-knee-overuse",
        injury={"tissue": "tendon", "site": "patellar_tendon", "side": "right"},
        timezone=ZONE.key,
        birth_year=1997,
        baseline={"pain_nrs": 0},
    )
    walk = diary.event("milestone.assessed", at(24, 9), test="walk_30_min", passed=True, pain_nrs=0, assessor="clinician")
    daily = diary.event("symptom.reported", at(24, 9, 30), when="daily", pain_nrs=0, swelling="none")
    words = "course started; walks 30 min without pain"
    yield Scene(at(24, 9), words, (Batch((started, walk, daily)),), ("hold", "entry", "entry"))
    cleared = diary.event("clearance.recorded", at(24, 11), gate="physician_clearance", granted=True)
    yield Scene(at(24, 11), "a physician clears the start", (Batch((cleared,)),), ("advance", "entry", "P1"), role="clinician")
    for step, above, days in (("P1", "P2", (26, 28)), ("P2", "P3", (31, 34))):
        yield _evening(diary, days[0], ("hold", step, step), with_morning=True)
        yield _evening(diary, days[1], ("advance", step, above), with_morning=True)


def _clean(diary: _Diary, day: int, expects: tuple[str, str, str], waiting: tuple[str, str, str] | None = None) -> Iterator[Scene]:
    """A run without a complaint: what stands that evening, and after the next morning's report."""
    yield _evening(diary, day, waiting or expects)
    yield _next_morning(diary, day, diary.morning(day), expects)


def _evening(diary: _Diary, day: int, expects: tuple[str, str, str], with_morning: bool = False) -> Scene:
    sends: tuple[Batch | Run, ...] = (diary.before(day), diary.run(day), diary.evening(day))
    if not with_morning:
        return Scene(diary.at(day, 20), "{fit}; RPE 3; pain 0", sends, expects)
    return Scene(diary.at(day, 20), "{fit}; RPE 3; pain 0, next morning too", (*sends, Batch((diary.morning(day),))), expects)


def _next_morning(diary: _Diary, day: int, report: Event, expects: tuple[str, str, str]) -> Scene:
    return Scene(diary.at(day + 1, 7), "next morning: pain 0, no swelling", (Batch((report,)),), expects)


_ENTRY_TESTS: Final[tuple[dict[str, Any], ...]] = (
    {"test": "walk_30_min", "passed": True, "pain_nrs": 0},
    {"test": "hop_in_place", "value": 12, "unit": "count", "pain_nrs": 1},
    {"test": "single_leg_hop", "lsi_pct": 88, "side": "left"},
    {"test": "heel_raises", "value": 24, "unit": "count", "lsi_pct": 94, "side": "left"},
    {"test": "single_leg_squat", "passed": True, "side": "left"},
    {"test": "technique_review", "passed": True},
    {"test": "quadriceps_strength", "lsi_pct": 82, "side": "left"},
    {"test": "hamstring_strength", "lsi_pct": 86, "side": "left"},
)

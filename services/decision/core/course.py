"""One course as it stands after the events so far: the state that the fold carries.

The state is bounded: what lies further back than any rule looks is dropped, so an event costs the same on a long course as on a short one.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Any, NamedTuple

from services.decision.core.days import Key, local_date
from services.decision.core.flags import OpenFlag
from services.decision.core.protocol import ENTRY, Protocol
from services.decision.core.sessions import Data, Fact, Report, Session
from shared.events import Event

ASSESSORS = ("self", "coach", "clinician")
"""Who assesses, by standing."""
KEEP_DAYS = 60
KEEP_REPORT_DAYS = 15


class Result(NamedTuple):
    """One field of a milestone test."""

    key: Key
    value: Any
    assessor: str


class Clearance(NamedTuple):
    key: Key
    granted: bool
    valid_until: str | None


class Limits(NamedTuple):
    key: Key
    values: Data
    until: str | None


class Answered(NamedTuple):
    key: Key
    answer: str
    of: tuple[str, str, str]
    by: str
    at: datetime


class Setback(NamedTuple):
    """A first regress after a session: when, and from which step."""

    day: date
    step: str


@dataclass(slots=True)
class Course:
    """Mutable while folding; keep a `copy`, or its bare fields. Collections are replaced, never changed in place: copies share them."""

    id: str
    protocol: Protocol
    started: Data
    start_key: Key
    as_of: datetime
    heard: datetime
    """The latest time of what was sent; what decision appends of its own accord is not."""
    step: str
    status: str = "open"
    zone: str = "UTC"
    tissue: str = "other"
    side: str = "midline"
    baseline_pain: float | None = None
    entry_since: datetime | None = None
    """When a setback sent the course back to entry: evidence before it no longer counts for the gates."""
    set_at: Key | None = None
    """When a clinician last set the step: sessions before it no longer speak for the step."""
    sessions: tuple[Session, ...] = ()
    """Running sessions, in the fold's order."""
    ran: tuple[Session, ...] = ()
    """The same as they were when recorded, without what was reported of them since: what rests on these alone stands while reports come."""
    judged: tuple[Session, ...] = ()
    """The same as they were when last judged otherwise, clean or not: what rests on that alone stands while reports come that leave it."""
    others: tuple[Session, ...] = ()
    waiting: tuple[Report, ...] = ()
    """Reports whose session has not started yet."""
    measured: tuple[tuple[Key, Data], ...] = ()
    """Sensor summaries dated before the session that they measured."""
    reports: tuple[Report, ...] = ()
    """Every report about the injured place of the last days."""
    elsewhere: tuple[Report, ...] = ()
    before: dict[str, tuple[Report, ...]] = field(default_factory=dict)
    """Rest and night reports of tendons and muscles from before this course, by their course: what the next of them is measured against."""
    step_since: Key | None = None
    """The event by which the step in force was reached."""
    silent_since: datetime | None = None
    """What was heard last when time said that nothing was heard; `stuck_since` likewise, of the step."""
    stuck_since: Key | None = None
    gained: tuple[tuple[date, str], ...] = ()
    raised: Key = (datetime.min.replace(tzinfo=UTC), "", "")
    """The event by which the step was last raised, or set by a clinician."""
    setbacks: tuple[Setback, ...] = ()
    failures: dict[str, int] = field(default_factory=dict)
    block_start: date | None = None
    """First run of the loading block that ends with a deload."""
    rebuild_to: int = -1
    """Rung at which a break began; below it fewer clean sessions may suffice."""
    results: dict[tuple[str, str, str], tuple[Result, ...]] = field(default_factory=dict)
    """(test, side or '', field) to the latest results, several where they bear one time."""
    tested: dict[tuple[str, str, str | None], Fact] = field(default_factory=dict)
    """Milestone facts already found of these results; emptied when they, or the return to entry, change."""
    failed: dict[str, Result] = field(default_factory=dict)
    """Tests of the injured side that were failed and not passed since before anybody of the same standing."""
    clearances: dict[str, Clearance] = field(default_factory=dict)
    flags: tuple[OpenFlag, ...] = ()
    reviews: tuple[OpenFlag, ...] = ()
    """Rest or night pain that does not refer but asks for review."""
    referring: tuple[str, ...] = ()
    """The pack's own rules that referred when last decided."""
    referred: tuple[tuple[str, Event], ...] = ()
    """Every referral that a rule of the pack opened here, and at which event: it follows into courses that start later."""
    reviewed: Key | None = None
    """The last review of red flags that was valid."""
    wellness: tuple[tuple[Key, Data], ...] = ()
    limits: Limits | None = None
    answered: Answered | None = None
    skipped: tuple[tuple[Key, str], ...] = ()
    fault: Key | None = None
    last_key: Key | None = None

    @property
    def fields(self) -> tuple[Any, ...]:
        """The value of every field, as `Course(*fields)` takes them: what folding on does not change."""
        return _values(self)

    def copy(self) -> "Course":
        """A copy that folding on does not change."""
        return Course(*_values(self))

    def day(self, instant: datetime) -> date:
        return local_date(instant, self.zone)

    @property
    def last_session(self) -> Session | None:
        """The last running session that speaks for the step in force."""
        if not self.sessions or self.step == ENTRY:
            return None
        last = self.sessions[-1]
        return None if self.set_at is not None and last.key < self.set_at else last

    @property
    def last_ran(self) -> Session | None:
        """`last_session` as it was recorded."""
        if not self.ran or self.step == ENTRY:
            return None
        last = self.ran[-1]
        return None if self.set_at is not None and last.key < self.set_at else last

    @property
    def at_step(self) -> tuple[Session, ...]:
        """The running sessions since the step in force was reached."""
        return self._since_step(self.sessions)

    @property
    def ran_at_step(self) -> tuple[Session, ...]:
        """`at_step` as they were recorded."""
        return self._since_step(self.ran)

    @property
    def judged_at_step(self) -> tuple[Session, ...]:
        """`at_step` as they were last judged."""
        return self._since_step(self.judged)

    @property
    def last_run_day(self) -> date | None:
        return self.ran[-1].day if self.ran else None

    def _since_step(self, sessions: tuple[Session, ...]) -> tuple[Session, ...]:
        since = self.step_since
        if since is None:
            return ()
        return sessions[bisect_left(sessions, since, key=_key) :]


FIELDS = tuple(one.name for one in fields(Course))
_values = attrgetter(*FIELDS)
_key = attrgetter("key")


def begin(event: Event, protocol: Protocol) -> Course:
    """The course as `course.started` makes it."""
    data, key = event.data, event.key
    injury = data["injury"]
    return Course(
        id=data["course"],
        protocol=protocol,
        started=data,
        start_key=key,
        as_of=event.time,
        heard=event.time,
        step=data.get("start_step", ENTRY),
        zone=data["timezone"],
        tissue=injury["tissue"],
        side=injury["side"],
        baseline_pain=data.get("baseline", {}).get("pain_nrs"),
        last_key=key,
        step_since=key,
        raised=key,
    )


key_of: Callable[[Event], Key] = attrgetter("key")

"""One course as it stands after the events so far: the state that the fold carries.

`apply` takes one event in the fold's order together with the verdict that stood before it. The state is bounded: what lies
further back than any rule looks is dropped, so an event costs the same on a long course as on a short one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from services.decision.core.days import Key, local_date, zone
from services.decision.core.flags import OpenFlag, raised_flags
from services.decision.core.judging import Judging
from services.decision.core.protocol import ENTRY, Protocol
from services.decision.core.sessions import Data, Fact, Report, Session, before_level, with_report
from services.decision.core.standing import Standing
from services.decision.core.training import record_session
from services.decision.core.trivalent import Unknown
from shared.events import Event

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
    """Mutable while folding; `copy` before keeping. Collections are replaced, never changed in place, so copies may share them."""

    id: str
    protocol: Protocol
    started: Data
    start_key: Key
    as_of: datetime
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
    others: tuple[Session, ...] = ()
    waiting: tuple[Report, ...] = ()
    """Reports whose session has not started yet."""
    reports: tuple[Report, ...] = ()
    """Every report about the injured place of the last days."""
    elsewhere: tuple[Report, ...] = ()
    at_step: tuple[Key, ...] = ()
    """Sessions since the step in force was reached."""
    gained: tuple[tuple[date, str], ...] = ()
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
    clearances: dict[str, Clearance] = field(default_factory=dict)
    flags: tuple[OpenFlag, ...] = ()
    reviews: tuple[OpenFlag, ...] = ()
    """Rest or night pain that does not refer but asks for review."""
    wellness: tuple[tuple[Key, Data], ...] = ()
    limits: Limits | None = None
    answered: Answered | None = None
    skipped: tuple[tuple[Key, str], ...] = ()
    fault: Key | None = None
    last_key: Key | None = None

    def copy(self) -> "Course":
        """A copy that folding on does not change."""
        return replace(self)

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
    def last_run_day(self) -> date | None:
        return self.sessions[-1].day if self.sessions else None


def begin(event: Event, protocol: Protocol) -> Course:
    """The course as `course.started` makes it."""
    data = event.data
    injury = data["injury"]
    return Course(
        id=data["course"],
        protocol=protocol,
        started=data,
        start_key=key_of(event),
        as_of=event.time,
        step=data.get("start_step", ENTRY),
        zone=data["timezone"],
        tissue=injury["tissue"],
        side=injury["side"],
        baseline_pain=data.get("baseline", {}).get("pain_nrs"),
        last_key=key_of(event),
    )


def key_of(event: Event) -> Key:
    return (event.time.astimezone(UTC), event.source, event.id)


def apply(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    """Take one event into the state.

    `facet` says how much of it counts: `whole`; `flags`, of an ambiguous report only its ticked red flags; `latched`, of a corrected or
    retracted report the referral it opened; `none`, only that its time was reached.
    """
    _return_to_entry(course, event, standing)
    course.as_of = max(course.as_of, event.time)
    course.last_key = key_of(event)
    taker = _TAKERS.get(event.type)
    if taker is not None and facet != "none" and (facet == "whole" or event.type == "milepost.symptom.reported"):
        taker(course, event, standing, judging, facet)


def _return_to_entry(course: Course, event: Event, standing: Standing | None) -> None:
    """A regress to entry takes force when its rest is over: from then on the entry gates decide, on new evidence."""
    if standing is None or standing.action != "regress" or standing.to_step != ENTRY or standing.not_before is None:
        return
    if course.day(event.time) >= standing.not_before:
        _to_entry(course)


def _to_entry(course: Course) -> None:
    """From here on the entry gates decide, on evidence newer than the session that led back."""
    course.step = ENTRY
    course.entry_since = course.sessions[-1].time if course.sessions else course.as_of
    course.tested = {}
    course.at_step = ()


def _session(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    key = key_of(event)
    day = course.day(event.time)
    session_id = event.data["session"]
    mine = tuple(r for r in course.waiting if _belongs(r, session_id, day))
    course.waiting = tuple(r for r in course.waiting if r not in mine)
    day_before = event.time - timedelta(hours=24)
    daily = next((r for r in reversed(course.reports) if r.when == "daily" and r.time >= day_before), None)
    session = record_session(
        event, key, day, course.protocol, standing, course.step, before_level(mine, daily, course.baseline_pain), _technique(course, event)
    )
    for report in mine:
        session = replace(session, reports=with_report(session, report))
    session = judging.cleaned(session)
    if not session.runs:
        course.others = (*tuple(s for s in course.others if s.day >= day - timedelta(days=7)), session)
        return
    _move_step(course, session, standing)
    if course.block_start is None or (course.last_run_day is not None and (day - course.last_run_day).days > 7):
        course.block_start = day
    deload = course.protocol.deload
    while deload is not None and (day - course.block_start).days >= deload.after_days + deload.days:
        course.block_start += timedelta(days=deload.after_days + deload.days)
    kept = day - timedelta(days=KEEP_DAYS)
    course.sessions = (*tuple(s for s in course.sessions if s.day >= kept), session)
    course.skipped = ()
    course.answered = None


def _belongs(report: Report, session_id: str, day: date) -> bool:
    linked = report.data.get("session")
    return report.day == day if linked is None else bool(linked == session_id)


def _technique(course: Course, event: Event) -> Fact:
    """Technique as a clinician or coach saw it; the athlete's own word counts only with a clinician's review of at most 28 days."""
    word = event.data.get("technique_ok")
    key = key_of(event)
    if word is None:
        return Fact(Unknown("technique was not reported"), (key,))
    if word is False or event.data.get("technique_by") in ("clinician", "coach"):
        return Fact(word, (key,))
    for review in course.results.get(("technique_review", "", "passed"), ()):
        if review.assessor == "clinician" and review.value and event.time - review.key[0] <= timedelta(days=28):
            return Fact(True, (review.key, key))
    return Fact(Unknown("the athlete's own word on technique needs a clinician's technique review of the last 28 days"), (key,))


def _move_step(course: Course, session: Session, standing: Standing | None) -> None:
    """The step in force follows the last planned session, never above what was recommended or set.

    A regress takes force with the next session whatever that session was: an unplanned run does not wash it away.
    """
    place = course.protocol.place
    allowed = standing.to_step if standing is not None else course.step
    now = place[course.step]
    if standing is not None and standing.action == "regress" and place[allowed] < now:
        _set_back(course, session, standing)
    rung = min(place[session.step], place[allowed]) if session.planned else min(now, place[allowed])
    step = course.protocol.steps[rung + 1]
    if step == course.step:
        course.at_step = (*course.at_step[-KEEP_DAYS:], session.key)
    elif step == ENTRY:
        _to_entry(course)
    else:
        if rung > now:
            course.gained = (*tuple(g for g in course.gained if (session.day - g[0]).days <= KEEP_DAYS), (session.day, step))
        course.step = step
        course.at_step = (session.key,)
    if place[course.step] >= course.rebuild_to:
        course.rebuild_to = -1
    if session.planned:
        course.set_at = None


def _set_back(course: Course, session: Session, standing: Standing) -> None:
    if standing.by_break:
        course.rebuild_to = max(course.rebuild_to, course.protocol.place[course.step])
        return
    kept = tuple(s for s in course.setbacks if (session.day - s.day).days <= KEEP_DAYS)
    course.setbacks = (*kept, Setback(course.last_run_day or session.day, course.step))
    course.failures = {**course.failures, course.step: course.failures.get(course.step, 0) + 1}


def _symptom(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    key = key_of(event)
    report = Report(key, event.time, course.day(event.time), event.data["when"], event.data)
    if facet == "flags" or (facet == "latched" and event.data.get("location") == "elsewhere"):
        course.flags += tuple(OpenFlag(flag, key) for flag in sorted(dict.fromkeys(event.data.get("flags", ()))))
        return
    if facet == "latched" and event.data.get("location") != "elsewhere":
        course.flags += tuple(OpenFlag(flag, key) for flag in raised_flags(report, course.tissue, None, course.baseline_pain))
        return
    elsewhere = event.data.get("location") == "elsewhere"
    earlier = next((r for r in reversed(course.reports) if r.when == report.when), None)
    if elsewhere:
        flags: tuple[str, ...] = tuple(sorted(dict.fromkeys(event.data.get("flags", ()))))
    else:
        flags = raised_flags(report, course.tissue, earlier, course.baseline_pain)
        _review_flags(course, report, flags)
    course.flags += tuple(OpenFlag(flag, key) for flag in flags)
    kept = report.day - timedelta(days=KEEP_REPORT_DAYS)
    if elsewhere:
        course.elsewhere = (*tuple(r for r in course.elsewhere if r.day >= kept), report)
        return
    course.reports = (*tuple(r for r in course.reports if r.day >= kept), report)
    _link(course, report, judging)


def _review_flags(course: Course, report: Report, flags: tuple[str, ...]) -> None:
    """Rest or night pain that does not refer here still asks for review."""
    said = [flag for flag in report.data.get("flags", ()) if flag not in flags]
    if report.when in ("rest", "night") and report.data.get("pain_nrs", 0) >= 1 and not flags:
        said.append(f"{report.when}_pain")
    course.reviews = tuple(r for r in course.reviews if report.key[0] - r.key[0] <= timedelta(days=KEEP_REPORT_DAYS)) + tuple(
        OpenFlag(flag, report.key) for flag in sorted(dict.fromkeys(said))
    )


def _link(course: Course, report: Report, judging: Judging) -> None:
    """Give the report to its session, or keep it until that session starts."""
    linked = report.data.get("session")
    if linked is not None:
        if any(s.id == linked for s in (*course.sessions, *course.others)):
            _attach(course, report, lambda s: s.id == linked, judging)
        else:
            _wait(course, report)
    elif report.when in ("before", "warm_up"):
        _wait(course, report)
    elif report.when in ("during", "after"):
        latest = max((s.key for s in (*course.sessions, *course.others) if s.time <= report.time), default=None)
        _attach(course, report, lambda s: s.key == latest, judging)
    elif report.when in ("next_morning", "next_day", "two_days_after"):
        if report.when == "next_morning" and report.time.astimezone(zone(course.zone)).hour >= 14:
            return
        day = report.day - timedelta(days=2 if report.when == "two_days_after" else 1)
        latest = max((s.key for s in (*course.sessions, *course.others) if s.day == day), default=None)
        _attach(course, report, lambda s: s.key == latest, judging)


def _wait(course: Course, report: Report) -> None:
    kept = report.day - timedelta(days=7)
    course.waiting = (*tuple(r for r in course.waiting if r.day >= kept), report)


def _attach(course: Course, report: Report, mine: Callable[[Session], bool], judging: Judging) -> None:
    def taken(session: Session) -> Session:
        if not mine(session):
            return session
        return judging.cleaned(replace(session, reports=with_report(session, report)))

    course.sessions = tuple(taken(session) for session in course.sessions)
    course.others = tuple(taken(session) for session in course.others)


def _sensor(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    summary = (key_of(event), event.data)
    course.sessions = tuple(replace(s, sensors=(*s.sensors, summary)) if s.id == event.data["session"] else s for s in course.sessions)


def _milestone(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    data = event.data
    key = key_of(event)
    side = data.get("side", "")
    results = dict(course.results)
    for name in ("lsi_pct", "pain_nrs", "passed", "value"):
        if name in data:
            place = (data["test"], side, name)
            same_time = tuple(r for r in results.get(place, ()) if r.key[0] == key[0])
            results[place] = (*same_time, Result(key, data[name], data["assessor"]))
    course.results = results
    course.tested = {}


def _wellness(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    kept = event.time - timedelta(days=KEEP_REPORT_DAYS)
    course.wellness = (*tuple(w for w in course.wellness if w[0][0] >= kept), (key_of(event), event.data))


def _clearance(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    data = event.data
    course.clearances = {**course.clearances, data["gate"]: Clearance(key_of(event), data["granted"], data.get("valid_until"))}
    if data["gate"] == "red_flag_review" and data["granted"]:
        course.flags = ()
        course.reviews = ()
    if data["gate"] == "engine_review" and data["granted"]:
        course.fault = None


def _skipped(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    course.skipped = (*course.skipped[-9:], (key_of(event), event.data["reason"]))


def _answered(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    """Acts where `of` equals what stood at its time; otherwise it is kept without effect."""
    if standing is None:
        return
    of = event.data.get("of")
    stood = (standing.action, standing.from_step, standing.to_step)
    if of is not None and (of["action"], of["from_step"], of["to_step"]) != stood:
        return
    data = event.data
    course.answered = Answered(key_of(event), data["answer"], stood, data["by"]["id"], event.time)
    if data["answer"] != "declined":
        course.failures = {}
    if data["answer"] == "modified" and "step" in data:
        _set_step(course, event, data["step"])


def _adjusted(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    data = event.data
    if "step" in data:
        _set_step(course, event, data["step"])
    if "limits" in data:
        course.limits = Limits(key_of(event), data["limits"], data.get("until"))


def _set_step(course: Course, event: Event, step: str) -> None:
    course.step = step
    course.set_at = key_of(event)
    course.at_step = ()
    course.failures = {}
    if step == ENTRY:
        course.entry_since = event.time
        course.tested = {}


def _status(to: str) -> Callable[[Course, Event, Standing | None, Judging, str], None]:
    def mark(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
        course.status = to

    return mark


def _faulted(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    course.fault = key_of(event)


_TAKERS: dict[str, Callable[[Course, Event, Standing | None, Judging, str], None]] = {
    "milepost.session.completed": _session,
    "milepost.session.skipped": _skipped,
    "milepost.symptom.reported": _symptom,
    "milepost.sensor.summarised": _sensor,
    "milepost.milestone.assessed": _milestone,
    "milepost.wellness.reported": _wellness,
    "milepost.clearance.recorded": _clearance,
    "milepost.recommendation.answered": _answered,
    "milepost.course.adjusted": _adjusted,
    "milepost.course.paused": _status("paused"),
    "milepost.course.resumed": _status("open"),
    "milepost.course.ended": _status("ended"),
    "milepost.engine.faulted": _faulted,
}

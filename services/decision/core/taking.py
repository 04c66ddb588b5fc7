"""The fold's step: `apply` takes one event, in the fold's order, together with what stood before it."""

from collections.abc import Callable, Collection
from datetime import time, timedelta

from services.decision.core.course import ASSESSORS, KEEP_DAYS, KEEP_REPORT_DAYS, Answered, Clearance, Course, Limits, Result
from services.decision.core.days import Key, aged, later, zone
from services.decision.core.flags import MOMENT_FLAGS, NEW_OR_RISING_ONLY, OpenFlag, elsewhere, raised_flags, red_flags
from services.decision.core.judging import Judging
from services.decision.core.keeping import kept
from services.decision.core.linking import belongs, link, session_of
from services.decision.core.sessions import Fact, Report, before_level
from services.decision.core.stalling import stalled
from services.decision.core.standing import Standing
from services.decision.core.stepping import move_step, return_to_entry, set_step
from services.decision.core.training import record_session
from services.decision.core.trivalent import Unknown
from shared.events import Event

LATE_MORNING = time(14)
"""The local time after which a `next_morning` report counts as one of the day after."""
OWN = ("milepost.time.reached", "milepost.engine.faulted")
"""Appended by decision itself: nobody sent them."""


def apply(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    """Take one event into the state.

    `facet` says how much of it counts: `whole`; `flags`, of an ambiguous report only its ticked red flags; `latched`, of a corrected or
    retracted report the referral it opened; `carried`, of a report before this course the red flags that follow the athlete (line by line
    as `following.py` writes them), and `followed` the same of a report corrected or retracted since; `referred`, that a rule of the pack
    referred at it on an earlier course, or that it or a rise did on this one before a correction; `review`, of a clearance
    before this course that it reviews such flags; `withdrawn`, that the start was retracted; `none`, only that its time was reached.
    Behind what is from before the course stand, line by line, the courses that the flag stood on or that the review was of.
    """
    on: list[str] = []
    if "\n" in facet:
        facet, *on = facet.split("\n")
    return_to_entry(course, event, standing)
    if event.time > course.as_of:
        course.as_of = event.time
    if course.last_key is None or event.key > course.last_key:
        course.last_key = event.key
    if event.time > course.heard and event.type not in OWN:
        course.heard = event.time
    if facet == "withdrawn":
        course.status = "ended"
    elif facet == "review":
        _lift(course, event, on)
    elif facet == "referred":
        rule, *stood = on
        if not stood and all(flag.flag != rule or flag.on for flag in course.flags):
            course.referred += ((rule, event),)
        _open(course, (rule,), event.key, tuple(stood))
        return
    elif facet in ("carried", "followed"):
        certain, of, baseline, *stood = on
        _follow(course, event, (certain, of, baseline), tuple(stood), facet == "carried")
        return
    taker = _TAKERS.get(event.type)
    if taker is not None and facet != "none" and (facet == "whole" or event.type == "milepost.symptom.reported"):
        taker(course, event, standing, judging, facet)


def _session(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    key = event.key
    day = course.day(event.time)
    session_id = event.data["session"]
    mine = tuple([r for r in course.waiting if belongs(r, session_id, day)])
    if mine:
        course.waiting = tuple([r for r in course.waiting if r not in mine])
    day_before = event.time - timedelta(hours=24)
    daily = next((r for r in reversed(course.reports) if r.when == "daily" and r.time >= day_before), None)
    session = record_session(
        event, key, day, course.protocol, standing, course.step, before_level(mine, daily, course.baseline_pain), _technique(course, event)
    )
    if key < course.start_key:
        session = session.but(planned=False, prescribed=Fact(False, (key,)), departures=("before the course started",), above=False)
    for report in mine:
        session = session.reported(report)
    if course.measured:
        session = session.measured(tuple(one for one in course.measured if one[1]["session"] == session_id))
        course.measured = tuple(one for one in course.measured if one[1]["session"] != session_id)
    session = judging.cleaned(session)
    if not session.runs:
        course.others = (*kept(course.others, later(day, -7)), session)
        return
    move_step(course, session, standing)
    if course.block_start is None or (course.last_run_day is not None and (day - course.last_run_day).days > 7):
        course.block_start = day
    deload = course.protocol.deload
    while deload is not None and (day - course.block_start).days >= deload.after_days + deload.days:
        course.block_start += timedelta(days=deload.after_days + deload.days)
    since = later(day, -KEEP_DAYS)
    course.sessions = (*kept(course.sessions, since), session)
    course.ran = (*kept(course.ran, since), session)
    course.judged = (*kept(course.judged, since), session)
    course.skipped = ()
    if session.planned and session.prescribed.value is True:
        course.answered = None


def _technique(course: Course, event: Event) -> Fact:
    """Technique as a clinician or coach saw it; the athlete's own word counts only with a clinician's review of at most 28 days."""
    word = event.data.get("technique_ok")
    key = event.key
    if word is None:
        return Fact(Unknown("was not reported"), (key,))
    if word is False or event.data.get("technique_by") in ("clinician", "coach"):
        return Fact(word, (key,))
    for review in course.results.get(("technique_review", "", "passed"), ()):
        if review.assessor == "clinician" and review.value and event.time <= aged(review.key[0], 28, course.zone):
            return Fact(True, (review.key, key))
    return Fact(Unknown("was judged by the athlete alone; that needs a clinician's review of technique in the last 28 days"), (key,))


def _symptom(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    key = event.key
    report = Report(key, event.time, course.day(event.time), _moment(course, event), event.data)
    away = elsewhere(event.data, course.side)
    if facet == "flags" or (facet == "latched" and away):
        _open(course, red_flags(event.data, course.tissue, course.side), key)
        return
    if away:
        flags: tuple[str, ...] = tuple(sorted(dict.fromkeys(event.data.get("flags", ()))))
    else:
        flags = _raised(course, report)
        if facet == "latched":
            _open(course, flags, key)
            return
        _review_flags(course, report, flags)
    _open(course, flags, key)
    since = later(report.day, -KEEP_REPORT_DAYS)
    if away:
        course.elsewhere = (*kept(course.elsewhere, since), report)
        return
    course.reports = (*kept(course.reports, since), report)
    link(course, report, judging)


def _raised(course: Course, report: Report) -> tuple[str, ...]:
    """The flags of a report about the injured place, held against the reports before it where it could raise any."""
    if report.when not in MOMENT_FLAGS and not report.data.get("flags"):
        return ()
    earlier = next((r for r in reversed(course.reports) if r.when == report.when), None)
    carried = {flag: None for r in course.reports for flag in r.data.get("flags", ())}
    return raised_flags(report, course.tissue, earlier, course.baseline_pain, tuple(carried))


def _open(course: Course, flags: tuple[str, ...], key: Key, on: tuple[str, ...] = ()) -> None:
    """Open a referral for each flag that is not open yet."""
    if not flags:
        return
    standing = {(flag.flag, flag.on): None for flag in course.flags}
    course.flags += tuple(OpenFlag(flag, key, on) for flag in flags if (flag, on) not in standing)


def _follow(course: Course, event: Event, told: tuple[str, str, str], on: tuple[str, ...], stands: bool) -> None:
    """Red flags from before the course: those certain, and rest or night pain of a tendon or muscle where it was new or rising there.
    `stands`: later reports are compared with it.
    """
    certain, of, baseline = told
    key = event.key
    flags = [flag for flag in certain.split(",") if flag]
    if of:
        report = Report(key, event.time, course.day(event.time), event.data["when"], event.data)
        kept = report.day - timedelta(days=KEEP_REPORT_DAYS)
        before = tuple(r for r in course.before.get(of, ()) if r.key != key and r.day >= kept)
        earlier = next((r for r in reversed(before) if r.when == report.when), None)
        ticked = tuple({flag: None for r in before for flag in r.data.get("flags", ())})
        raised = raised_flags(report, NEW_OR_RISING_ONLY[0], earlier, float(baseline) if baseline else None, ticked)
        flags += [flag for flag in raised if flag in MOMENT_FLAGS.values()]
        if stands:
            course.before = {**course.before, of: (*before, report)}
    _open(course, tuple(sorted(dict.fromkeys(flags))), key, on)


def _moment(course: Course, event: Event) -> str:
    """A morning report is one until 14:00; later it speaks of the day after, and the morning stays unreported."""
    when: str = event.data["when"]
    if when != "next_morning":
        return when
    local = event.time.astimezone(zone(course.zone))
    linked = event.data.get("session")
    session = None if linked is None else session_of(course, linked)
    day = None if session is None else session.day
    if day is not None and local.date() <= day:
        return "after"
    late = local.time() > LATE_MORNING or (day is not None and local.date() > day + timedelta(days=1))
    return "next_day" if late else when


def _review_flags(course: Course, report: Report, flags: tuple[str, ...]) -> None:
    """Rest or night pain that does not refer here still asks for review."""
    if not course.reviews and report.when not in MOMENT_FLAGS and not report.data.get("flags"):
        return
    said = [flag for flag in report.data.get("flags", ()) if flag not in flags]
    if report.when in ("rest", "night") and report.data.get("pain_nrs", 0) >= 1 and not flags:
        said.append(f"{report.when}_pain")
    course.reviews = tuple(r for r in course.reviews if report.key[0] - r.key[0] <= timedelta(days=KEEP_REPORT_DAYS)) + tuple(
        OpenFlag(flag, report.key) for flag in sorted(dict.fromkeys(said))
    )


def _sensor(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    summary = (event.key, event.data)
    if all(one.id != event.data["session"] for one in (*course.sessions, *course.others)):
        kept = event.time - timedelta(days=7)
        course.measured = (*tuple(one for one in course.measured if one[0][0] >= kept), summary)
        return
    course.sessions = tuple(s.measured((*s.sensors, summary)) if s.id == event.data["session"] else s for s in course.sessions)


def _milestone(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    data = event.data
    key = event.key
    side = data.get("side", "")
    results = dict(course.results)
    for name in ("lsi_pct", "pain_nrs", "passed", "value"):
        if name in data:
            place = (data["test"], side, name)
            same_time = tuple(r for r in results.get(place, ()) if r.key[0] == key[0])
            results[place] = (*same_time, Result(key, data[name], data["assessor"]))
    course.results = results
    course.tested = {}
    if "passed" in data and not elsewhere(data, course.side):
        _note_failure(course, key, data["test"], data["passed"], data["assessor"])


def _note_failure(course: Course, key: Key, test: str, passed: bool, assessor: str) -> None:
    """A failure stands until somebody of at least the standing of those who saw it passes the test later."""
    before = course.failed.get(test)
    standing = max(assessor, before.assessor if before is not None else assessor, key=ASSESSORS.index)
    if not passed:
        course.failed = {**course.failed, test: Result(key, False, standing)}
    elif before is not None and standing == assessor and key[0] > before.key[0]:
        course.failed = {name: one for name, one in course.failed.items() if name != test}


def _wellness(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    kept = event.time - timedelta(days=KEEP_REPORT_DAYS)
    course.wellness = (*tuple(w for w in course.wellness if w[0][0] >= kept), (event.key, event.data))


def _clearance(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    data = event.data
    course.clearances = {**course.clearances, data["gate"]: Clearance(event.key, data["granted"], data.get("valid_until"))}
    if data["gate"] == "red_flag_review" and data["granted"]:
        _lift(course, event)
    if data["gate"] == "engine_review" and data["granted"]:
        course.fault = None


def _lift(course: Course, event: Event, reviewed: Collection[str] | None = None) -> None:
    """A review lifts the flags before it; one that was no longer valid when it was recorded lifts nothing.

    With `reviewed`, it was a review of those earlier courses: of the flags it lifts those that stood on one of them.
    """
    until = event.data.get("valid_until")
    if until is not None and until < course.day(event.time).isoformat():
        return
    if reviewed is None:
        course.reviewed = event.key
    unseen = tuple(flag for flag in course.flags if reviewed is not None and not any(one in reviewed for one in flag.on))
    course.flags = tuple(flag for flag in course.flags if flag.key[0] >= event.time or flag in unseen)
    course.reviews = tuple(flag for flag in course.reviews if flag.key[0] >= event.time)


def _skipped(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    reason = event.data["reason"]
    course.skipped = (*(one for one in course.skipped if one[1] != reason), (event.key, reason))


def _answered(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    """Acts where `of` equals what stood at its time; otherwise it is kept without effect."""
    if standing is None:
        return
    of = event.data.get("of")
    stood = (standing.action, standing.from_step, standing.to_step)
    if of is not None and (of["action"], of["from_step"], of["to_step"]) != stood:
        return
    data = event.data
    course.answered = Answered(event.key, data["answer"], stood, data["by"]["id"], event.time)
    if data["answer"] != "declined":
        course.failures = {}
    if data["answer"] == "modified" and "step" in data:
        set_step(course, event, data["step"])


def _adjusted(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    data = event.data
    if "step" in data:
        set_step(course, event, data["step"])
    if "limits" in data:
        course.limits = Limits(event.key, data["limits"], data.get("until"))


def _status(to: str) -> Callable[[Course, Event, Standing | None, Judging, str], None]:
    def mark(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
        course.status = to

    return mark


def _time(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    stalled(course, event.data["kind"], course.day(event.time))


def _faulted(course: Course, event: Event, standing: Standing | None, judging: Judging, facet: str) -> None:
    course.fault = event.key


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
    "milepost.time.reached": _time,
    "milepost.engine.faulted": _faulted,
}

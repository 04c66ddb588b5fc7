"""Where a fact comes from: which report gives it, and who makes that report. Several facts of one report are asked for together."""

from typing import NamedTuple

from services.decision.core.facts.words import gate_word, test_word


class Source(NamedTuple):
    report: str
    """Names the report; facts with the same name come with the same report."""
    who: str
    """athlete, coach, clinician; `time` where nobody reports it; `course` where it stands with the injury and cannot be otherwise."""
    words: str
    """What is asked for, as a noun."""


ATHLETE, COACH, CLINICIAN, TIME, COURSE = "athlete", "coach", "clinician", "time", "course"
ORDER = (ATHLETE, COACH, CLINICIAN, TIME, COURSE)
"""Who is asked first, all else being equal."""

SESSION = Source("session", ATHLETE, "a session at the step")
_DURING = Source("during", ATHLETE, "a report of the session itself")
_AFTER = Source("after", ATHLETE, "a report after the session")
_MORNING = Source("next_morning", ATHLETE, "a report the next morning")
_NEXT_DAY = Source("next_day", ATHLETE, "a report a day after the session")
_DONE = Source("session_record", ATHLETE, "the record of the session: dose, exertion, gait")
_DAILY = Source("daily", ATHLETE, "a daily report of pain and swelling")
_ELSEWHERE = Source("elsewhere", ATHLETE, "a report of pain elsewhere")
_REVIEW = Source("clinician_review", CLINICIAN, "a clinician's review")
_TESTS = Source("functional_tests", CLINICIAN, "the functional tests again")
_FLAG = Source("red_flag_review", CLINICIAN, "a clinician's review of the red flag")
_LIMITS = Source("limits", CLINICIAN, "a change of the clinician's limits")
_SCHEDULE = Source("time", TIME, "time")
_INJURY = Source("injury", COURSE, "another injury")
_RECORD = Source("injury_record", CLINICIAN, "what the record of the injury leaves open")

_BY_NAME = {
    "session.pain_during": _DURING,
    "session.pain_higher_during": _DURING,
    "session.pain_after": _AFTER,
    "session.pain_higher_after": _AFTER,
    "session.swelling_higher_after": _AFTER,
    "session.stiffness_higher_after": _AFTER,
    "session.settled_within_60_min": _AFTER,
    "session.pain_after_24_h": _NEXT_DAY,
    "session.swelling_after_24_h": _NEXT_DAY,
    "session.technique_ok": Source("technique", COACH, "a look at running technique by a clinician or coach"),
    "test.failed": _TESTS,
    "test.pain": _TESTS,
    "last.stopped_for_pain": _DONE,
    "last.gait_changed": _DONE,
    "last.above_step": _DONE,
    "cadence.off_own_median_pct": Source("sensor", ATHLETE, "the session's sensor data"),
    "heart_rate.above_own_median": Source("sensor", ATHLETE, "the session's sensor data"),
    "referral.open": _FLAG,
    "limit.passed_by_next_step": _LIMITS,
    "limit.no_running": _LIMITS,
    "engine.faulted": Source("engine_review", CLINICIAN, "the review of the engines"),
    "protocol.expired": Source("protocol", CLINICIAN, "a move to a protocol still in force"),
    "course.open": Source("course", CLINICIAN, "the course's resumption"),
    "injury.bone_risk": Source("bone_risk", CLINICIAN, "the risk class of the bone injury"),
    "athlete.adult_or_reviewed": Source("minor_review", CLINICIAN, "a review for an athlete under 18, or the birth year"),
    "injury.suits_protocol": _INJURY,
    "injury.site": _INJURY,
    "injury.tissue": _INJURY,
    "course.at_entry": _INJURY,
    "surgery.not_cleared": Source("gate:surgeon_clearance", CLINICIAN, "a surgeon's or physician's clearance after the operation"),
    "step.clean_sessions_short": SESSION,
    "rate.room": _SCHEDULE,
    "deload.due": _SCHEDULE,
    "break.days": SESSION,
    "load.spike_pct": Source("distance", ATHLETE, "the distances of the runs"),
    "pain.now": _DAILY,
    "swelling.now": _DAILY,
}
_BY_MOMENT = (("morning", _MORNING), ("next_day", _MORNING), ("during", _DURING), ("warm_up", _DURING), ("after", _AFTER))
"""Of a session's facts by the moment in their name."""
_BY_FAMILY = {
    "readiness": "the readiness questionnaire",
    "wellness": "a report of sleep, fatigue and illness",
}


def source(fact: str, family: str) -> Source:
    """The report that gives a fact; of a fact not listed, by its name and family."""
    found = _BY_NAME.get(fact)
    if found is not None:
        return found
    head, _, rest = fact.partition(".")
    if head == "milestone":
        test = rest.partition(".")[0]
        return Source(f"test:{test}", CLINICIAN, f"the {test_word(test)}")
    if head == "clearance":
        return Source(f"gate:{rest}", CLINICIAN, gate_word(rest))
    if head == "daily":
        return _DAILY
    if head == "elsewhere":
        return _ELSEWHERE
    if family in _BY_FAMILY:
        return Source(family, ATHLETE, _BY_FAMILY[family])
    if family == "population":
        return _INJURY
    if head in ("session", "trend"):
        return next((found for word, found in _BY_MOMENT if word in rest), _DONE)
    if family == "time":
        return _SCHEDULE
    if family in ("pain", "swelling", "stiffness"):
        return _DAILY
    return _DONE if family == "load" else _REVIEW


def asked_for(fact: str, family: str) -> Source:
    """The report that would make a fact known that is not: what cannot change and what only time brings stand in the injury's record."""
    found = source(fact, family)
    return _RECORD if found.who in (TIME, COURSE) else found

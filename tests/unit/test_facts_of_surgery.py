"""Facts of operated knees and of the time after a birth: soreness by moment, graded swelling, weeks, releases, weeks' minutes."""

from datetime import timedelta
from typing import Any

import pytest

from services.decision.core.facts.registry import View, find
from services.decision.core.recovery import room
from services.decision.core.trivalent import Unknown
from tests.property.histories import BEGIN, Raw, event, receive_all, report, session, started

DR = {"id": "dr", "role": "clinician"}
UNKNOWN = "unknown"


def at(day: float) -> Any:
    return BEGIN + timedelta(days=day)


def fact(name: str, *raws: Raw) -> Any:
    """The fact as it is found at the last event, or `unknown`."""
    athlete, _ = receive_all(list(raws))
    course = athlete._lines["c1"].course
    view = View(course, course.as_of, course.day(course.as_of), course.last_session, course.day(course.as_of))
    value = find(name, view).value
    return UNKNOWN if isinstance(value, Unknown) else value


def run(*reports: Raw, **data: Any) -> list[Raw]:
    """A session of day 1 from 10:00 on, half an hour long, with these reports alone."""
    done = {"session": "s1", "kind": "run_walk", "duration_s": 1800, **data}
    return [started(start_step="W2"), event(10, "session.completed", at(1) + timedelta(hours=10), done), *reports]


def told(when: str, hours: float, number: int = 20, **data: Any) -> Raw:
    """A report so many hours after the start of the session of day 1."""
    return report(number, when, "s1", at(1) + timedelta(hours=10 + hours), **data)


SORE: Raw = {"soreness": "injured_area", "pain_nrs": 2}
CALM: Raw = {"soreness": "none", "pain_nrs": 0}


@pytest.mark.parametrize(
    ("name", "when", "hours"),
    [
        ("session.sore_in_warm_up", "warm_up", -0.1),
        ("session.sore_during", "during", 0.3),
        ("session.sore_after", "after", 0.6),
        ("session.sore_next_day", "next_morning", 14),
        ("session.sore_next_day", "next_day", 30),
    ],
)
def test_soreness_is_of_its_moment_and_unknown_where_that_was_not_reported(name: str, when: str, hours: float) -> None:
    assert fact(name, *run(told(when, hours, **SORE))) is True
    assert fact(name, *run(told(when, hours, **CALM))) is False
    assert fact(name, *run(told(when, hours, soreness="muscle"))) is False
    assert fact(name, *run(told(when, hours, swelling="none"))) == UNKNOWN
    assert fact(name, *run()) == UNKNOWN
    assert fact(name, started(start_step="W2")) == UNKNOWN


def test_sore_muscle_with_more_pain_at_the_injured_place_is_soreness_of_it() -> None:
    assert fact("session.sore_during", *run(told("during", 0.3, soreness="muscle", pain_nrs=3))) is True
    assert fact("session.sore_during", *run(told("during", 0.3, soreness="injured_area", pain_nrs=0))) is True


def test_soreness_an_hour_after_needs_the_hour_and_is_denied_by_calm_at_any_time() -> None:
    name = "session.sore_an_hour_after"
    assert fact(name, *run(told("after", 1.6, **SORE))) is True
    assert fact(name, *run(told("after", 1.4, **SORE))) == UNKNOWN
    assert fact(name, *run(told("after", 0.6, **CALM))) is False
    assert fact(name, *run(told("after", 1.4, **SORE, settled_min=40))) is False
    assert fact(name, *run(told("after", 3.0, **CALM, settled_min=70))) is True
    assert fact(name, *run(told("after", 1.6, settled=False, **CALM))) is True
    assert fact(name, *run()) == UNKNOWN


def graded(number: int, day: float, grade: str, by: str = "clinician") -> Raw:
    return report(number, "daily", None, at(day), swelling=grade, graded_by=by)


def test_only_a_clinicians_grade_is_one() -> None:
    name = "swelling.graded_by_clinician"
    begin = started(start_step="W2")
    assert fact(name, begin, graded(10, 1, "trace")) == "trace"
    assert fact(name, begin, graded(10, 1, "none", by="self")) == UNKNOWN
    assert fact(name, begin, graded(10, 1, "1+"), graded(11, 1.2, "none")) == "1+"
    assert fact(name, begin) == UNKNOWN


def test_1_after_2_is_the_first_assessment_only_on_one_date() -> None:
    name = "swelling.first_1_after_2"
    begin = started(start_step="W2")
    two = graded(10, 1, "2+")
    assert fact(name, begin) == UNKNOWN
    assert fact(name, begin, graded(10, 1, "1+")) is False
    assert fact(name, begin, two) is False
    assert fact(name, begin, two, graded(11, 2, "trace")) is False
    assert fact(name, begin, two, graded(11, 2, "1+")) is True
    assert fact(name, begin, two, graded(11, 2, "1+"), graded(12, 2.2, "1+")) is True
    assert fact(name, begin, two, graded(11, 2, "1+"), graded(12, 3, "1+")) is False
    assert fact(name, begin, two, graded(11, 2, "1+"), graded(12, 3, "3+"), graded(13, 4, "1+")) is True
    assert fact(name, begin, two, graded(11, 2, "1+", by="self"), graded(12, 3, "1+", by="self")) is True
    at_runs = [report(20 + day, "before", None, at(day), swelling="1+") for day in (2, 4)]
    assert fact(name, begin, two, at_runs[0]) is True
    assert fact(name, begin, two, *at_runs) is False


def test_swelling_under_an_analgesic_is_no_second_assessment_after_2_and_ends_no_first() -> None:
    name = "swelling.first_1_after_2"
    first = [started(start_step="W2"), graded(10, 1, "2+"), graded(11, 2, "1+")]
    assert fact(name, *first, report(12, "before", None, at(3), swelling="1+", analgesic="nsaid")) is True
    assert fact(name, *first, report(12, "daily", None, at(3), swelling="none", analgesic="nsaid")) is True
    assert fact(name, *first, report(12, "before", None, at(3), swelling="1+")) is False


def injured(**more: Any) -> Raw:
    return started(injury={"tissue": "ligament", "site": "knee", "side": "left", **more})


@pytest.mark.parametrize(("name", "of"), [("surgery.weeks", "surgery_date"), ("delivery.weeks", "delivery_date")])
def test_weeks_are_whole_and_unknown_without_a_date_or_before_it(name: str, of: str) -> None:
    assert fact(name, injured(**{of: "2025-12-08"})) == 12
    assert fact(name, injured(**{of: "2025-12-09"})) == 11
    assert fact(name, injured(**{of: "2026-03-02"})) == 0
    assert fact(name, injured(**{of: "2026-03-03"})) == UNKNOWN
    assert fact(name, injured()) == UNKNOWN


def test_more_than_the_reconstruction_is_anything_that_is_not_it_or_its_graft() -> None:
    name = "surgery.more_than_reconstruction"
    assert fact(name, injured(procedures=["ACL-reconstruction", "hamstring_graft"])) is False
    assert fact(name, injured(procedures=["acl_reconstruction", "meniscal_repair"])) is True
    assert fact(name, injured(procedures=["acl_revision"])) is True
    assert fact(name, injured()) == UNKNOWN


def test_pelvic_symptoms_stay_open_until_a_clinician_reviewed_them() -> None:
    name = "pelvic.symptoms_open"
    begin = started(start_step="W2", tissue="postpartum", site="pelvic_floor")
    leak = report(10, "after", None, at(1), flags=["pelvic_heaviness_or_leakage"])
    review = event(12, "clearance.recorded", at(2), {"gate": "red_flag_review", "granted": True, "by": DR})
    assert fact(name, begin) is False
    assert fact(name, begin, leak) is True
    assert fact(name, begin, report(10, "after", None, at(1), flags=["sudden_pop"])) is False
    assert fact(name, begin, leak, review) is False


def release(number: int, day: float, granted: bool = True, **more: Any) -> Raw:
    return event(number, "clearance.recorded", at(day), {"gate": "load_review", "granted": granted, "by": DR, **more})


def test_a_release_speaks_of_the_step_it_was_given_at() -> None:
    name = "release.of_next_step"
    begin = started(start_step="W1")
    assert fact(name, begin) == UNKNOWN
    assert fact(name, begin, release(10, 1)) is True
    assert fact(name, begin, release(10, 1, granted=False)) is False
    assert fact(name, begin, release(10, 1, valid_until="2026-03-02")) is False
    runs = [*session(20, 1), *session(30, 3)]
    assert fact(name, begin, release(10, 3.9), *runs) is True
    assert fact(name, begin, release(10, 3.9), *runs, *session(40, 5)) == UNKNOWN


def minutes(number: int, day: int, minutes: int | None) -> Raw:
    done = {} if minutes is None else {"duration_s": minutes * 60}
    return event(number, "session.completed", at(day) + timedelta(hours=1), {"session": f"m{day}", "kind": "run_walk", **done})


def test_a_week_compares_with_the_week_before_it_from_two_weeks_on() -> None:
    name = "load.week_pct"
    begin = started(start_step="W1")
    runs = [minutes(10, 0, 30), minutes(11, 3, 30), minutes(12, 7, 30), minutes(13, 10, 36)]
    assert fact(name, begin) == UNKNOWN
    assert fact(name, begin, *runs) == UNKNOWN
    assert fact(name, begin, *runs, report(20, "daily", None, at(13.2), pain_nrs=0)) == 110
    assert fact(name, begin, *runs[:3], minutes(13, 13, None)) == UNKNOWN
    assert fact(name, begin, runs[0], minutes(14, 14, 30)) == UNKNOWN
    walked = event(30, "session.completed", at(13) + timedelta(hours=1), {"session": "w", "kind": "run_walk", "run_s": 600, "walk_s": 1200})
    assert fact(name, begin, minutes(10, 0, 30), walked) == 100


def surface(number: int, day: int, where: str | None) -> Raw:
    done = {} if where is None else {"surface": where}
    return event(number, "session.completed", at(day) + timedelta(hours=1), {"session": f"m{day}", "kind": "run_walk", **done})


def test_the_first_run_outdoors_is_one_after_the_treadmill_alone() -> None:
    name = "surface.first_outdoors"
    begin = started(start_step="W1")
    indoors = surface(10, 1, "treadmill")
    assert fact(name, begin) == UNKNOWN
    assert fact(name, begin, indoors, surface(11, 3, None)) == UNKNOWN
    assert fact(name, begin, indoors) is False
    assert fact(name, begin, surface(11, 3, "road")) is False
    assert fact(name, begin, indoors, surface(11, 3, "road")) is True
    assert fact(name, begin, indoors, surface(11, 3, "road"), surface(12, 5, "grass")) is False


def test_a_cap_on_phases_trained_counts_different_ones_and_the_next() -> None:
    knee = {"tissue": "ligament", "site": "knee", "side": "left"}
    raws = [started("chop-acl-run", start_step="P2", injury=knee)]
    raws += [
        event(10 + n, "session.completed", at(day), {"session": f"s{n}", "kind": "run_walk", "step": "P2"}) for n, day in enumerate((1, 4))
    ]
    athlete, _ = receive_all(raws)
    course = athlete._lines["c1"].course
    assert [room(course, course.day(at(day))) for day in (4, 10, 11)] == [1, 1, 2]
    athlete, _ = receive_all(
        [
            *raws,
            event(13, "course.adjusted", at(5), {"step": "P3", "reason": "tolerated", "by": DR}),
            event(14, "session.completed", at(7), {"session": "s9", "kind": "run_walk", "step": "P3"}),
        ]
    )
    course = athlete._lines["c1"].course
    assert [room(course, course.day(at(day))) for day in (7, 10, 11)] == [0, 0, 1]


def operated(**injury: Any) -> Raw:
    raw = started(start_step="W2")
    raw["data"]["injury"] = {**raw["data"]["injury"], **injury}
    return raw


def cleared(gate: str, day: float, granted: bool = True, **more: Any) -> Raw:
    return event(80, "clearance.recorded", at(day), {"gate": gate, "granted": granted, "by": DR, **more})


def test_who_was_operated_on_is_cleared_by_a_surgeon_or_a_physician_after_the_operation() -> None:
    name = "surgery.not_cleared"
    assert fact(name, operated()) is False
    for injury in ({"surgery_date": "2026-02-20"}, {"procedures": ["meniscal_repair"]}):
        assert fact(name, operated(**injury)) is True
        assert fact(name, operated(**injury), cleared("surgeon_clearance", 1)) is False
        assert fact(name, operated(**injury), cleared("physician_clearance", 1)) is False
        assert fact(name, operated(**injury), cleared("physiotherapist_clearance", 1)) is True
        assert fact(name, operated(**injury), cleared("surgeon_clearance", 1, granted=False)) is True
        assert fact(name, operated(**injury), cleared("surgeon_clearance", 1, valid_until="2026-03-02")) is True
    assert fact(name, operated(surgery_date="2026-03-05"), cleared("surgeon_clearance", 1)) is True


@pytest.mark.parametrize("protocol", ["progressive-return", "pfp-symptom", "achilles-pmm"])
def test_an_operation_of_last_week_holds_where_the_pack_speaks_of_none(protocol: str) -> None:
    raw = operated(surgery_date="2026-02-27")
    raw["data"] |= {"protocol": protocol, "start_step": "W1"}
    body = receive_all([raw])[1][-1].body
    assert (body["action"], body["running"], body["urgency"]) == ("hold", "withheld", "review")
    assert "hold-operated" in str([reason["rule"] for reason in body["reasons"] if reason["outcome"] == "hold"])

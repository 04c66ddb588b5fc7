"""Sessions: which reports are theirs, whether they were done as prescribed, and what they may count for."""

from datetime import timedelta
from typing import Any

import pytest

from tests.property.histories import BEGIN, Raw, event, last, receive_all, report, session, started, two_clean_sessions


def fact(raws: list[Raw], name: str) -> Any:
    athlete, _ = receive_all(raws)
    return next(found for found in athlete.facts("c1") if found["fact"] == name)


def run(number: int, day: int, **data: Any) -> list[Raw]:
    return [event(number, "session.completed", BEGIN + timedelta(days=day, hours=10), {"session": f"s{day}", "kind": "run_walk", **data})]


W1 = {"completed": True, "rpe": 3, "gait_changed": False, "technique_ok": True, "technique_by": "clinician"}


@pytest.mark.parametrize(
    ("when", "hours", "name"),
    [
        ("during", 0.3, "session.pain_during"),
        ("after", 1, "session.pain_after"),
        ("next_morning", 14, "session.pain_next_morning"),
    ],
)
def test_a_report_without_a_session_belongs_to_the_session_of_its_moment(when: str, hours: float, name: str) -> None:
    raws = [started(start_step="W1"), *run(10, 1, **W1), report(20, when, None, BEGIN + timedelta(days=1, hours=10 + hours), pain_nrs=4)]
    assert fact(raws, name)["value"] == 4


def test_a_warm_up_report_belongs_to_the_next_session_of_its_date() -> None:
    warm_up = report(20, "warm_up", None, BEGIN + timedelta(days=1, hours=9), pain_nrs=3)
    during = report(21, "during", None, BEGIN + timedelta(days=1, hours=10.2), pain_nrs=1)
    assert fact([started(start_step="W1"), warm_up, *run(10, 1, **W1), during], "session.pain_during")["value"] == 3


def test_a_morning_report_after_two_in_the_afternoon_speaks_of_the_day_and_leaves_the_morning_unknown() -> None:
    late = report(20, "next_morning", "s1", BEGIN + timedelta(days=2, hours=7), pain_nrs=0, pain_change="same")
    raws = [started(start_step="W1"), *run(10, 1, **W1), late]
    assert fact(raws, "session.pain_next_morning")["value"] is None
    assert fact(raws, "session.pain_after_24_h")["value"] is False


def test_where_word_and_number_disagree_the_worse_counts() -> None:
    base = [started(start_step="W1"), *run(10, 1, **W1), report(19, "before", "s1", BEGIN + timedelta(days=1, hours=9), pain_nrs=2)]
    number = report(20, "after", "s1", BEGIN + timedelta(days=1, hours=11), pain_nrs=3, pain_change="same")
    word = report(20, "after", "s1", BEGIN + timedelta(days=1, hours=11), pain_nrs=2, pain_change="higher")
    assert fact([*base, number], "session.pain_after_24_h")["value"] is None
    for raws in ([*base, number], [*base, word]):
        body = last([*raws, report(30, "next_morning", "s1", BEGIN + timedelta(days=2), pain_nrs=3)])
        assert "More pain, swelling or stiffness the next morning" in body["blocking"]


def test_a_report_from_the_other_leg_says_nothing_of_the_injured_one() -> None:
    other = report(20, "during", "s1", BEGIN + timedelta(days=1, hours=10.2), pain_nrs=0, side="right")
    assert fact([started(start_step="W1"), *run(10, 1, **W1), other], "session.pain_during")["value"] is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"completed": False}, False),
        ({"completed": True, "run_s": 300}, False),
        ({"completed": True, "run_s": 400}, False),
        ({"completed": True, "reps": 5}, False),
        ({"completed": True, "run_s": 380}, True),
        ({"run_s": 360}, True),
        ({"completed": True, "planned": False}, False),
        ({"completed": True, "surface": "anti_gravity"}, False),
        ({"completed": True, "body_weight_pct": 80}, False),
        ({"completed": True, "terrain": "hills"}, False),
        ({"completed": True, "step": "W3"}, False),
        ({}, None),
    ],
)
def test_a_session_is_as_prescribed_only_when_planned_whole_in_place_and_within_the_band(data: Raw, why: bool | None) -> None:
    from services.decision.core.facts.registry import of_session

    athlete, _ = receive_all([started(start_step="W1"), *run(10, 1, **data)])
    [one] = athlete._lines["c1"].course.sessions
    found = of_session("session.as_prescribed", one).value
    assert found is why if why is not None else not isinstance(found, bool)


def test_a_session_before_the_permitted_date_loads_but_does_not_count() -> None:
    raws = [started(start_step="W1"), *session(10, 1), *session(20, 2)]
    body = last(raws)
    assert body["action"] == "hold" and body["not_before"] == "2026-03-06"
    assert any("before 2026-03-05" in way for way in body["blocking"])


def test_more_than_the_dose_means_the_step_is_repeated_first() -> None:
    raws = [started(start_step="W1"), *session(10, 1), *session(20, 3, run_s=900)]
    assert last(raws)["action"] == "hold"
    assert last([*raws, *session(30, 5)])["action"] == "hold"
    assert last([*raws, *session(30, 5), *session(40, 8)])["action"] == "advance"


@pytest.mark.law("step-in-order")
def test_a_platform_cannot_promote_an_athlete() -> None:
    body = last([started(start_step="W1"), *session(10, 1, step="W9")])
    assert body["from_step"] == "W1" and body["action"] == "hold" and body["urgency"] == "review"


def test_an_unplanned_run_after_a_setback_does_not_wash_it_away() -> None:
    bad = session(10, 1)
    bad[2] = report(12, "during", "s1", BEGIN + timedelta(days=1, hours=10.3), pain_nrs=5, pain_change="higher")
    raws = [started(start_step="W5"), *bad]
    assert last(raws)["to_step"] == "W4"
    after = last([*raws, *session(30, 4, planned=False)])
    assert after["from_step"] == "W4" and after["action"] == "hold"


def test_a_session_before_the_course_is_history_and_not_progress() -> None:
    early = session(50, -5)
    assert last([*two_clean_sessions()[:6], *early])["action"] == "hold"


def test_the_athletes_own_word_on_technique_counts_only_with_a_clinicians_review() -> None:
    own = [started(start_step="W1"), *session(10, 1, technique_by="self"), *session(20, 3, technique_by="self")]
    review = event(5, "milestone.assessed", BEGIN, {"test": "technique_review", "assessor": "clinician", "passed": True})
    assert last(own)["action"] == "hold"
    assert last([own[0], review, *own[1:]])["action"] == "advance"


def test_a_report_under_an_analgesic_never_supports_an_advance() -> None:
    raws = two_clean_sessions()
    raws[-1]["data"]["analgesic"] = "simple"
    assert last(raws)["action"] == "hold"


def test_facts_name_the_events_they_were_read_from() -> None:
    assert fact(two_clean_sessions(), "session.pain_during")["events"] == ["e22"]

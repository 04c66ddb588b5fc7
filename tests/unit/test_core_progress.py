"""Progress over days and weeks: entry, caps, rest, setbacks, breaks, lighter weeks, clinicians' words."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from services.decision.core.course import begin
from services.decision.core.recovery import no_more, steps_back
from services.decision.core.timing import timers
from shared.events import parse
from tests.property.histories import BEGIN, PACKS, Raw, event, last, receive_all, report, session, started, two_clean_sessions

DR = {"id": "dr", "role": "clinician"}


def at(day: float) -> Any:
    return BEGIN + timedelta(days=day)


def reached(number: int, day: float, kind: str = "valid_until") -> Raw:
    return event(number, "time.reached", at(day), {"course": "c1", "kind": kind, "at": at(day).isoformat()}, course=None)


def entry_tests(day: float = 0.1) -> list[Raw]:
    results: dict[str, Raw] = {
        "walk_30_min": {"passed": True, "pain_nrs": 0},
        "hop_in_place": {"value": 20, "unit": "count", "pain_nrs": 0},
        "single_leg_hop": {"lsi_pct": 92, "pain_nrs": 0, "passed": True},
        "heel_raises": {"value": 25, "unit": "count", "lsi_pct": 95},
        "single_leg_squat": {"passed": True, "pain_nrs": 0},
        "technique_review": {"passed": True},
        "quadriceps_strength": {"lsi_pct": 85},
        "hamstring_strength": {"lsi_pct": 88},
    }
    return [
        event(200 + n, "milestone.assessed", at(day), {"test": test, "assessor": "clinician", **found})
        for n, (test, found) in enumerate(results.items())
    ]


def calm_week(first: int = 0) -> list[Raw]:
    return [report(300 + n, "daily", None, at(first + n + 0.2), pain_nrs=0, swelling="none") for n in range(7)]


def bad_session(number: int, day: int, pain: float = 5) -> list[Raw]:
    raws = session(number, day)
    raws[2] = report(number + 2, "during", f"s{day}", at(day) + timedelta(hours=10.3), pain_nrs=pain, pain_change="higher")
    return raws


def test_the_entry_gates_decide_the_first_step() -> None:
    raws = [started(), *entry_tests(), *calm_week()]
    body = last(raws)
    assert (body["action"], body["from_step"], body["to_step"]) == ("advance", "entry", "W1")
    for n in range(1, 9):
        without = [raw for k, raw in enumerate(raws) if k != n]
        assert last(without)["action"] == "hold" and last(without)["missing"], raws[n]["data"]


def test_the_first_session_after_entry_puts_the_course_on_the_first_step() -> None:
    raws = [started(), *entry_tests(), *calm_week(), *session(10, 8)]
    assert last(raws)["from_step"] == "W1"


def test_a_session_at_entry_without_an_advance_leaves_the_course_at_entry() -> None:
    body = last([started(), *session(10, 1)])
    assert body["from_step"] == "entry" and body["action"] == "hold"


def test_a_symmetry_index_by_a_coach_does_not_open_the_entry_gate() -> None:
    raws = [started(), *entry_tests(), *calm_week()]
    raws[3]["data"]["assessor"] = "coach"
    assert last(raws)["action"] == "hold"


def test_old_tests_do_not_open_the_entry_gate() -> None:
    assert last([started(), *entry_tests(), *calm_week(20)])["action"] == "hold"


def test_both_sides_injured_makes_a_symmetry_index_unknown() -> None:
    start = started()
    start["data"]["injury"]["side"] = "bilateral"
    athlete, made = receive_all([start, *entry_tests(), *calm_week()])
    found = next(one for one in athlete.facts("c1") if one["fact"] == "milestone.single_leg_hop.lsi_pct")
    assert found["value"] is None and "both sides" in found["why_unknown"]
    assert made[-1].body["action"] == "hold" and any("quadriceps strength" in lack for lack in made[-1].body["missing"])


def test_two_steps_in_seven_days_is_the_cap_and_the_date_it_ends_is_told() -> None:
    raws = [started(start_step="W1")]
    for n, day in enumerate((1, 3, 5, 8, 10, 12)):
        raws += session(10 * (n + 1), day)
    _, made = receive_all(raws)
    gained = [d.body["to_step"] for d in made if d.body["action"] == "advance" and d.cause[1].endswith("4")]
    assert gained == ["W2", "W3", "W4"]


def test_a_cap_that_is_reached_holds_until_its_date() -> None:
    raws = [started(start_step="W12")]
    for n, day in enumerate((1, 3, 5, 8)):
        raws += session(10 * (n + 1), day)
    body = last(raws)
    assert body["action"] == "hold" and body["from_step"] == "W13"
    assert (body["not_before"], body["eligible_from"]) == ("2026-03-12", "2026-03-14")
    assert last([*raws, reached(900, 11.6, "eligible_from")])["action"] == "hold"
    assert last([*raws, reached(900, 11.7, "eligible_from")])["action"] == "advance"


def test_not_before_is_the_session_date_plus_rest_plus_one() -> None:
    assert last(two_clean_sessions())["not_before"] == "2026-03-07"


def test_a_week_with_all_its_sessions_moves_the_next_one_on() -> None:
    raws = [started(start_step="W9"), *session(10, 1), *session(20, 3), *session(30, 5)]
    assert last(raws)["not_before"] == "2026-03-10"


@pytest.mark.law("regress-lowers")
@pytest.mark.parametrize("pack", sorted(PACKS.protocols))
def test_going_back_never_means_more_running(pack: str) -> None:
    protocol = PACKS.protocols[pack]
    for rung, step in enumerate(protocol.ladder):
        athlete, _ = receive_all([started(pack, start_step=step.id)])
        course = athlete._lines["c1"].course
        for back in range(1, rung + 2):
            to = steps_back(course, back)
            rung_to = protocol.step(to)
            assert protocol.place[to] <= rung - back or to == "entry"
            assert rung_to is None or no_more(rung_to.dose, step.dose)
            less = protocol.step(steps_back(course, back - 1)) if back > 1 else step
            assert rung_to is None or (less is not None and no_more(rung_to.dose, less.dose))


@pytest.mark.law("one-axis")
@pytest.mark.parametrize("pack", sorted(PACKS.protocols))
def test_each_step_raises_what_it_says_and_no_more(pack: str) -> None:
    ladder = PACKS.protocols[pack].ladder
    for before, step in pairwise(ladder):
        a, b = before.dose, step.dose
        rises = set()
        if (b.run_s or 0) > (a.run_s or 10**6) or (b.distance_m or 0) > (a.distance_m or 10**6) or (b.bout_s or 0) > (a.bout_s or 10**6):
            rises.add("duration")
        if (b.rpe_max or 0) > (a.rpe_max or 10) or (a.terrain, b.terrain) in (("flat", "rolling"), ("rolling", "hills")):
            rises.add("intensity")
        if (b.sessions_per_week_max or 0) > (a.sessions_per_week_max or 10**6):
            rises.add("frequency")
        assert rises <= set(step.raises), step.id
        assert len(step.raises) == 1 or pack == "mil-knee-overuse" or (a == b and not step.raises)


def test_pain_of_five_goes_one_step_back_after_two_days_off() -> None:
    body = last([started(start_step="W5"), *bad_session(10, 1)])
    assert (body["action"], body["to_step"], body["rest_days"], body["not_before"]) == ("regress", "W4", 2, "2026-03-06")


def test_a_second_setback_within_two_weeks_goes_two_steps_back_for_review() -> None:
    body = last([started(start_step="W7"), *bad_session(10, 1), *bad_session(20, 5)])
    assert (body["from_step"], body["to_step"], body["urgency"]) == ("W6", "W4", "review")


def test_a_step_that_failed_needs_three_clean_sessions() -> None:
    raws = [started(start_step="W5"), *bad_session(10, 1), *session(20, 5), *session(30, 7)]
    assert last(raws)["to_step"] == "W5"
    back = [*raws, *session(40, 10), *session(50, 12)]
    assert last(back)["action"] == "hold" and last(back)["from_step"] == "W5"
    assert last([*back, *session(60, 14)])["to_step"] == "W6"


def test_pain_above_six_goes_back_to_entry_and_new_tests_are_needed() -> None:
    raws = [started(start_step="W3"), *entry_tests(), *bad_session(10, 1, pain=7)]
    body = last(raws)
    assert (body["to_step"], body["running"], body["urgency"]) == ("entry", "withheld", "review")
    week = [*raws, *calm_week(2)]
    assert last(week)["from_step"] == "entry" and last(week)["action"] == "hold"
    again = [*week, *[raw | {"id": f"again-{raw['id']}"} for raw in entry_tests(8.5)]]
    assert last([*again, report(700, "daily", None, at(9), pain_nrs=0, swelling="none")])["to_step"] == "W1"


@pytest.mark.parametrize(("days", "to"), [(7, "W8"), (8, "W7"), (11, "W6"), (16, "W5"), (21, "W4"), (29, "entry")])
def test_days_without_running_go_back_by_their_number(days: int, to: str) -> None:
    raws = [started(start_step="W8"), *session(10, 1)]
    body = last([*raws, reached(900, 1 + days + 0.5)])
    assert body["to_step"] == to


def test_every_decision_on_the_ladder_says_until_when_it_holds() -> None:
    raws = two_clean_sessions()
    _, made = receive_all(raws)
    assert made[-1].body["valid_until"] == "2026-03-12"
    assert ("valid_until", "2026-03-12T23:00:00Z") in made[-1].due
    assert last([*raws, reached(900, 10.7)])["action"] == "regress"


def test_a_moment_of_the_same_second_that_has_passed_is_no_timer() -> None:
    """Instants are compared, not their texts: of "00Z" and "00.5Z" the later instant is the smaller text."""
    course = begin(parse(started(start_step="W8")), PACKS.protocols["progressive-return"])
    settled: Any = SimpleNamespace(valid_until=date(2026, 3, 12), eligible_from=None)
    due = datetime(2026, 3, 12, 23, tzinfo=UTC)
    course.as_of = due - timedelta(milliseconds=500)
    assert ("valid_until", "2026-03-12T23:00:00Z") in timers(course, settled)
    course.as_of = due + timedelta(milliseconds=500)
    assert "valid_until" not in dict(timers(course, settled))


def test_after_three_weeks_of_loading_comes_a_lighter_one() -> None:
    raws = [started(start_step="W11")]
    for n, day in enumerate(range(1, 21, 2)):
        raws += session(10 * (n + 1), day)
    lighter = last([*raws, *session(200, 21)])
    assert lighter["modifier"] == "deload" and lighter["action"] == "hold"
    assert lighter["dose"]["run_s"] == 2400 * 80 // 100


def test_a_declined_advance_holds_until_the_next_session() -> None:
    raws = two_clean_sessions()
    of = {"action": "advance", "from_step": "W1", "to_step": "W2"}
    declined = event(70, "recommendation.answered", at(4.5), {"of": of, "answer": "declined", "by": DR})
    body = last([*raws, declined])
    assert body["action"] == "hold" and body["answer"]["state"] == "declined"
    assert last([*raws, declined, *session(80, 6)])["action"] == "advance"


def test_an_answer_to_what_is_no_longer_in_force_has_no_effect() -> None:
    of = {"action": "advance", "from_step": "W3", "to_step": "W4"}
    stale = event(70, "recommendation.answered", at(4.5), {"of": of, "answer": "declined", "by": DR})
    assert last([*two_clean_sessions(), stale])["action"] == "advance"


def test_a_clinician_sets_a_step_and_a_limit() -> None:
    raws = [started(start_step="W5"), *session(10, 1)]
    adjusted = event(70, "course.adjusted", at(2), {"step": "W2", "limits": {"run_s": 600}, "reason": "care", "by": DR}) | {"course": "c1"}
    body = last([*raws, adjusted])
    assert (body["from_step"], body["dose"]["run_s"]) == ("W2", 600)
    assert body["action"] == "hold"


def test_a_coach_may_not_answer() -> None:
    coach = {"id": "co", "role": "coach"}
    athlete, _ = receive_all(two_clean_sessions())
    from shared.events import parse

    receipt = athlete.receive(parse(event(70, "recommendation.answered", at(4.5), {"answer": "accepted", "by": coach})), b"x")
    assert (receipt.status, receipt.path) == ("refused", "data.by.role")


@pytest.mark.parametrize("risk", [None, True])
def test_bone_of_high_or_unknown_risk_holds_for_review(risk: bool | None) -> None:
    start = started(tissue="bone", site="tibia", start_step="W1")
    if risk is not None:
        start["data"]["injury"]["high_risk"] = risk
    body = last([start, *session(10, 1), *session(20, 3)])
    assert body["action"] == "hold" and body["urgency"] == "review" and body["running"] == "withheld" and "risk" in body["summary"]


def test_bone_pain_goes_back_and_walks_only() -> None:
    start = started(tissue="bone", site="tibia", start_step="W4")
    start["data"]["injury"]["high_risk"] = False
    body = last([start, *bad_session(10, 1, pain=1)])
    assert (body["to_step"], body["running"]) == ("W3", "walk_only")


@pytest.mark.parametrize("born", [None, 2009])
def test_a_minor_or_unknown_age_is_reviewed_before_the_first_advance(born: int | None) -> None:
    raws = two_clean_sessions()
    del raws[0]["data"]["birth_year"]
    if born is not None:
        raws[0]["data"]["birth_year"] = born
    assert last(raws)["action"] == "hold" and last(raws)["urgency"] == "review"
    reviewed = event(70, "clearance.recorded", at(4.4), {"gate": "minor_review", "granted": True, "by": DR})
    assert last([*raws, reviewed])["action"] == "advance"


def test_an_injury_outside_the_population_is_accepted_and_held() -> None:
    body = last([started("mil-knee-overuse", "bone", "navicular", start_step="P1")])
    assert body["action"] == "hold" and body["urgency"] == "review"


def test_a_paused_course_holds_and_a_resumed_one_goes_on() -> None:
    raws = two_clean_sessions()
    paused = event(70, "course.paused", at(4.4), {"course": "c1"})
    assert last([*raws, paused])["running"] == "withheld"
    assert last([*raws, paused, event(71, "course.resumed", at(4.6), {"course": "c1"})])["action"] == "advance"


def test_the_engine_fault_holds_until_a_clinician_has_reviewed_it() -> None:
    data = {"course": "c1", "engine": "durable", "kind": "fault", "tries": 3, "detail": "ended"}
    raws = [*two_clean_sessions(), event(70, "engine.faulted", at(4.4), data, course=None)]
    assert last(raws)["action"] == "hold" and last(raws)["urgency"] == "review"
    review = event(71, "clearance.recorded", at(4.5), {"gate": "engine_review", "granted": True, "by": DR})
    assert last([*raws, review])["action"] == "advance"


@pytest.mark.parametrize(
    ("tissue", "pains", "urgency"),
    [("muscle", [3, 3], "review"), ("muscle", [3, 4], "stop_and_refer"), ("bone", [1], "stop_and_refer"), ("joint", [2], "review")],
)
def test_rest_pain_refers_on_bone_and_elsewhere_only_when_new_or_rising(tissue: str, pains: list[int], urgency: str) -> None:
    start = started(tissue=tissue, start_step="W1", baseline={"pain_nrs": 3})
    start["data"]["injury"]["high_risk"] = False
    raws = [start, *(report(20 + n, "rest", None, at(n + 1), pain_nrs=pain) for n, pain in enumerate(pains))]
    assert last(raws)["urgency"] == urgency


def test_days_away_count_even_when_nothing_was_reported_meanwhile() -> None:
    raws = [*two_clean_sessions("W5"), *session(80, 45)]
    body = last(raws)
    assert body["from_step"] == "entry" and body["action"] == "hold"


def test_a_report_under_an_analgesic_does_not_end_an_older_worse_one() -> None:
    raws = [*two_clean_sessions(), report(80, "daily", None, at(5), pain_nrs=8)]
    calm = report(81, "daily", None, at(8), pain_nrs=0, analgesic="opioid")
    assert last([*raws, calm])["running"] == "withheld"
    assert last([*raws, report(81, "daily", None, at(8), pain_nrs=0)])["running"] != "withheld"


def test_a_session_of_another_ladder_loads_and_does_not_count() -> None:
    raws = two_clean_sessions()
    for raw in raws:
        if raw["type"] == "milepost.session.completed":
            del raw["course"]
            raw["data"]["step"] = "W1"
    second = started("mil-knee-overuse", start_step="P1")
    second["id"] = "second"
    second["data"]["course"] = "c2"
    second["data"]["injury"] = {"tissue": "joint", "site": "knee", "side": "right"}
    reports = [raw | {"id": f"r-{raw['id']}", "course": "c2"} for raw in raws if raw["type"] == "milepost.symptom.reported"]
    _, made = receive_all([raws[0], second, *raws[1:], *reports])
    bodies = [decision.body for decision in made if decision.course == "c2"]
    assert bodies[-1]["action"] == "hold" and any("another ladder" in way for way in bodies[-1]["blocking"])


def test_an_unplanned_run_does_not_wash_a_refusal_away() -> None:
    of = {"action": "advance", "from_step": "W1", "to_step": "W2"}
    declined = event(70, "recommendation.answered", at(4.1), {"of": of, "answer": "declined", "by": DR})
    assert last([*two_clean_sessions(), declined, *session(80, 5, planned=False)])["action"] == "hold"


def test_bad_news_of_the_session_before_the_last_still_counts() -> None:
    late = report(80, "two_days_after", "s1", at(3.9), pain_nrs=5, pain_change="higher", settled=False)
    assert last([*two_clean_sessions("W5"), late])["action"] == "regress"


@pytest.mark.parametrize("hours", [10.9, 14 + 96])
def test_a_linked_morning_report_counts_only_on_the_morning_after(hours: float) -> None:
    raws = two_clean_sessions()
    raws[-1]["time"] = (at(3) + timedelta(hours=hours)).isoformat()
    assert last(raws)["action"] == "hold"


def test_the_first_tick_of_night_pain_refers_on_a_tendon_too() -> None:
    start = started(tissue="tendon", site="achilles", start_step="W1")
    raws = [start, report(20, "daily", None, at(1), pain_nrs=2), report(21, "daily", None, at(2), pain_nrs=2, flags=["night_pain"])]
    assert last(raws)["urgency"] == "stop_and_refer"


def test_the_floor_holds_at_entry_and_for_sessions_without_running() -> None:
    assert last([started(), *session(10, 1, gait_changed=True, stopped_for="pain")])["running"] == "withheld"
    jumps = event(80, "session.completed", at(4.3), {"session": "p", "kind": "plyometric", "stopped_for": "pain"})
    assert last([*two_clean_sessions(), jumps])["running"] == "withheld"


@pytest.mark.parametrize("limits", [{"sessions_per_week": 0}, {"run_s": 0}])
def test_a_limit_of_nothing_withholds_running(limits: Raw) -> None:
    adjusted = event(70, "course.adjusted", at(4.3), {"limits": limits, "reason": "care", "by": DR}) | {"course": "c1"}
    body = last([*two_clean_sessions(), adjusted])
    assert body["action"] == "hold" and body["running"] == "withheld"


def test_hills_on_a_flat_step_are_above_the_dose() -> None:
    assert last([*two_clean_sessions(), *session(80, 5, terrain="hills", step="W1")])["action"] == "hold"


def test_of_two_words_at_one_moment_the_worse_counts() -> None:
    tired = [event(70 + n, "wellness.reported", at(4.4), {"fatigue": fatigue}) for n, fatigue in enumerate((9, 1))]
    assert last([*two_clean_sessions(), *tired])["action"] == "hold"


def test_skips_for_other_reasons_do_not_push_a_skip_for_pain_out() -> None:
    skips = [event(70 + n, "session.skipped", at(4.4 + n / 100), {"reason": "time" if n else "pain"}) for n in range(12)]
    assert last([*two_clean_sessions(), *skips])["action"] == "hold"

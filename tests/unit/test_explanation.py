"""Explanations people read: the full trace, the smallest change in words, and what to measure next."""

from datetime import timedelta

import pytest

from services.decision.core.counterfactual import Change, Search
from services.decision.core.facts import CATALOGUE
from services.decision.core.facts.words import flag_word, gate_word, test_word as word_of_test
from services.decision.core.protocol import Condition, FactType, Operator
from services.decision.core.summary import LIMIT, fitted
from services.decision.core.tracing import margin
from services.decision.core.wishes import now, wish
from shared.events.catalogue import FLAGS, GATES, TESTS
from tests.property.histories import BEGIN, PACKS, Raw, event, last, receive_all, report, session, started, two_clean_sessions

PAIN = FactType("pain", "number", "nrs", "higher", "pain", "pain", "pain", scale=10, high=10)


def explained(raws: list[Raw]) -> Raw:
    athlete, _ = receive_all(raws)
    return athlete.explanation("c1")


def wanted(raws: list[Raw]) -> str:
    return str(explained(raws)["would_advance_if"]["text"])


@pytest.mark.parametrize(
    ("op", "threshold", "value", "told"),
    [
        ("at_most", 20, 15, 0.5),
        ("at_most", 20, 40, -2),
        ("below", 20, 20, 0),
        ("at_least", 50, 70, 2),
        ("above", 60, 55, -0.5),
        ("is", 30, 20, -1),
        ("at_most", 20, None, None),
    ],
)
def test_a_margin_is_how_far_the_value_lies_inside_the_threshold_in_the_facts_unit(op: Operator, threshold: int, value: int, told: float):
    assert margin(PAIN, Condition(0, op, threshold / 10, threshold), value) == told


def test_the_full_trace_tells_every_condition_of_every_rule_and_agrees_with_the_decision():
    athlete, made = receive_all([started(start_step="W5"), *session(10, 1)])
    trace = {rule["rule"]: rule for rule in athlete.trace("c1")}
    pack = PACKS.protocols["progressive-return"]
    assert list(trace) == sorted(rule.id for rule in pack.rules)
    assert not trace["pr.entry"]["in_scope"] and trace["pr.advance"]["in_scope"]
    for reason in made[-1].body["reasons"]:
        rule = trace[reason["rule"]]
        assert rule["outcome"] == reason["outcome"]
        for found in reason["evidence"]:
            if found["fact"] in {one["fact"] for one in rule["evidence"]}:
                same = [one for one in rule["evidence"] if (one["fact"], one["op"]) == (found["fact"], found["op"])]
                assert same == [] or any(one["verdict"] == found["verdict"] for one in same)
    either = [one["any_of"] for one in trace["pr.hold-morning"]["evidence"]]
    assert either == [1] * len(either) and len(either) > 1


def test_the_smallest_change_is_said_in_words_with_what_it_is_now():
    bad = session(10, 1)
    bad[4] = report(14, "next_morning", "s1", BEGIN + timedelta(days=2), pain_nrs=4, pain_change="same", swelling_change="same")
    said = wanted([started("mil-knee-overuse", start_step="P2"), *bad])
    assert said.startswith("Would advance if ") and said.endswith(".") and "more clean session" in said
    assert "_" not in said and "None" not in said


def test_a_test_that_was_not_done_is_asked_for_once_with_all_it_has_to_show():
    said = wanted([started()])
    assert said.count("heel-raise test") == 1
    assert "the heel-raise test gave 20 reps or more and showed symmetry of 90 % or more (not done)" in said


def test_before_a_first_session_what_would_advance_is_sessions_and_not_the_facts_of_one():
    said = wanted([started(start_step="W3")])
    assert "2 more clean sessions were done at the step" in said and "exertion" not in said


def test_what_cannot_change_is_said_instead_of_a_change():
    told = explained([started("mil-knee-overuse", tissue="muscle", site="hamstring")])["would_advance_if"]
    assert (told["possible"], told["exact"], told["changes"]) == (False, True, [])
    assert "outside the population" in told["text"] and "floor.unsuitable" in told["rules"]


def test_an_operation_that_nobody_cleared_after_is_no_fact_for_ever():
    raw = started("pfp-symptom", start_step="W1")
    raw["data"]["injury"] = {"tissue": "joint", "site": "knee", "side": "left", "surgery_date": "2026-02-20"}
    assert "a surgeon or physician cleared running after the operation" in wanted([raw])


@pytest.mark.parametrize(
    ("name", "value", "high", "clause", "is_now"),
    [
        ("session.rpe_over_step", 30, 0, "exertion in the session were within the step's cap", "now 3 above it"),
        ("break.days", 28, 6, "the last run were more recent", "now 28 days ago"),
        ("step.unclean_in_a_row", 4, 2, "the last sessions at the step had been clean", "now 4 in a row were not"),
        ("elsewhere.times", 2, 1, "were 1 report or less", "now 2"),
    ],
)
def test_what_a_number_is_now_is_not_taken_for_another_quantity(name: str, value: int, high: int, clause: str, is_now: str):
    kind = CATALOGUE[name]
    change = Change(name, value, False, high, kind.bottom, high)
    assert wish(kind, change)[1] == clause
    assert now(kind, change, None) == is_now


def test_an_advance_asks_for_nothing():
    assert explained(two_clean_sessions()) == {"would_advance_if": None, "measure_next": []}


def test_a_referral_would_advance_only_with_its_review_on_record():
    flagged = report(90, "daily", None, BEGIN + timedelta(days=2), pain_nrs=0, flags=["night_pain"])
    assert "a clinician recorded the review of the red flag" in wanted([started(start_step="W3"), *session(10, 1), flagged])


def test_the_report_that_saves_most_is_asked_for_first_and_says_when_it_would_be_enough():
    lacking = [started(start_step="W3"), *session(10, 1), *session(20, 3)[:-1]]
    first = explained(lacking)["measure_next"][0]
    assert (first["report"], first["by"], first["at_worst"]) == ("next_morning", "athlete", "regress")
    strength = two_clean_sessions("W11")
    tests = [
        event(n, "milestone.assessed", BEGIN + timedelta(days=4), {"test": test, "assessor": "clinician", **data})
        for n, test, data in ((70, "hamstring_strength", {"lsi_pct": 95}), (71, "quadriceps_strength", {"lsi_pct": 95}))
    ]
    [only] = explained([*strength, *tests])["measure_next"]
    assert (only["report"], only["enough"]) == ("test:heel_raises", True)


def test_a_session_whose_only_fault_is_a_missing_report_may_count_once_the_report_is_in():
    lacking = [started(start_step="W3"), *session(10, 1), *session(20, 3)[:-1]]
    change = next(one for one in explained(lacking)["would_advance_if"]["changes"] if one["fact"] == "step.clean_sessions_short")
    assert change["or_reports"] == ["a report the next morning"]
    assert last([*lacking, session(20, 3)[-1]])["action"] == "advance"


def test_a_search_that_runs_into_its_limit_says_so_and_claims_nothing(monkeypatch: pytest.MonkeyPatch):
    athlete, _ = receive_all([started(start_step="W3")])
    [line] = athlete._lines.values()
    question = line.verdict.question
    monkeypatch.setattr("services.decision.core.counterfactual.MOST_NODES", 0)
    found = Search(line.judge.protocol, question.values, question.rung, question.tissue).run()
    assert (found.changes, found.exact) == (None, False)
    told = athlete.explanation("c1")["would_advance_if"]
    assert not told["exact"] and "limit of the search" in told["text"]


@pytest.mark.parametrize("more", [{}, {"start_step": "W3"}, {"protocol": "mil-knee-overuse"}, {"tissue": "bone", "site": "tibia"}])
def test_what_is_missing_is_told_in_sentences_each_once_without_program_names(more: Raw):
    body = last([started(**more)])
    for said in [body["summary"], *body["missing"], *body["blocking"], *body["resume_when"]]:
        assert "_" not in said and not any(fact in said for fact in CATALOGUE)
    assert len(set(body["missing"])) == len(body["missing"])
    assert all(said[0].isupper() for said in body["missing"])


def test_every_test_gate_and_flag_has_words():
    for word in [*map(word_of_test, TESTS), *map(gate_word, GATES), *map(flag_word, FLAGS)]:
        assert word and "_" not in word


def test_a_summary_that_is_too_long_ends_at_a_word():
    long = fitted("word " * 60)
    assert len(long) <= LIMIT and long.endswith("word…")
    assert fitted("short", "; 3 more are missing") == "short; 3 more are missing."
    assert fitted("x" * 130, "; 3 more are missing") == "x" * 130 + "."

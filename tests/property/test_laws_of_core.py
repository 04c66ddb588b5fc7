"""The laws that the pure core holds, over generated histories."""

import copy
import hashlib
from datetime import timedelta
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from services.decision.core.athlete import Athlete, CourseMark
from services.decision.core.protocol import RUNNING_ORDER
from shared.events import content_digest, parse
from tests.property.histories import (
    BEGIN,
    PACKS,
    SWELLING,
    Raw,
    content,
    event,
    histories,
    last,
    receive_all,
    report,
    session,
    started,
    two_clean_sessions,
)

SLOW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
FREEDOM = ("regress", "hold", "advance")


@pytest.mark.law("any-order")
@SLOW
@given(histories(), st.data())
def test_any_arrival_order_ends_in_the_same_recommendation(raws: list[Raw], data: st.DataObject) -> None:
    """Law any-order."""
    _, in_order = receive_all(raws)
    shuffled = data.draw(st.permutations(raws))
    athlete, made = receive_all(shuffled)
    assert athlete.parked == receive_all(raws)[0].parked
    if in_order:
        assert content(made[-1]) == content(in_order[-1])
        assert made[-1].body["as_of"] == in_order[-1].body["as_of"]


@pytest.mark.law("same-bytes")
@SLOW
@given(histories())
def test_the_same_history_gives_the_same_bytes_from_scratch_and_from_a_restart_at_any_point(raws: list[Raw]) -> None:
    """Law same-bytes: an athlete restored from history goes on as if it had never left memory."""
    _, whole = receive_all(raws)
    half = len(raws) // 2
    _, first = receive_all(raws[:half])
    marks = {decision.course: CourseMark(decision.seq, decision.body) for decision in first}
    received = [(parse(raw, internal=True), content_digest(raw), "") for raw in raws[:half]]
    _, second = receive_all(raws[half:], Athlete.restore(PACKS, received, marks))
    assert [decision.encoded for decision in (*first, *second)] == [decision.encoded for decision in whole]


@pytest.mark.law("once")
@SLOW
@given(histories(), st.data())
def test_an_event_received_again_takes_no_effect(raws: list[Raw], data: st.DataObject) -> None:
    """Law once."""
    athlete, _ = receive_all(raws)
    again = data.draw(st.sampled_from(raws))
    receipt = athlete.receive(parse(again, internal=True), content_digest(again))
    assert receipt.status == "duplicate" and not receipt.decisions


@SLOW
@given(histories())
def test_every_event_that_takes_effect_makes_one_decision_and_sequences_have_no_gaps(raws: list[Raw]) -> None:
    athlete = Athlete(PACKS)
    seqs: list[int] = []
    for raw in raws:
        receipt = athlete.receive(parse(raw, internal=True), content_digest(raw))
        if receipt.status == "accepted":
            assert sum(decision.cause[1] == raw["id"] for decision in receipt.decisions) == 1
        else:
            assert not receipt.decisions
        seqs += [decision.seq for decision in receipt.decisions]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.law("red-flag-stops")
@SLOW
@given(histories(), st.data())
def test_a_red_flag_stops_and_nothing_but_its_review_lifts_it(raws: list[Raw], data: st.DataObject) -> None:
    """Laws red-flag-stops and referral-latches."""
    quiet = [raw for raw in raws if raw["data"].get("gate") != "red_flag_review"]
    at = data.draw(st.integers(1, len(quiet)))
    flag = data.draw(st.sampled_from(["chest_pain_or_syncope", "focal_bone_tenderness", "calf_swelling_or_warmth"]))
    time = BEGIN + timedelta(days=data.draw(st.integers(0, 30)), hours=3)
    flagged = report(9000, "daily", None, time, flags=[flag])
    body = last([*quiet[:at], flagged, *quiet[at:]])
    assert body["urgency"] == "stop_and_refer" and body["action"] != "advance" and body["running"] == "withheld"
    review = {"gate": "red_flag_review", "granted": True, "by": {"id": "dr", "role": "clinician"}}
    assume(
        all("flags" not in raw["data"] for raw in quiet)
        and all(raw["data"].get("pain_nrs", 0) == 0 for raw in quiet if raw["data"].get("when") in ("rest", "night"))
    )
    reviewed = event(9001, "clearance.recorded", BEGIN + timedelta(days=400), review)
    assert last([*quiet, flagged, reviewed])["urgency"] != "stop_and_refer"


@pytest.mark.law("referral-latches")
def test_a_retracted_or_corrected_report_leaves_the_referral_it_opened_standing() -> None:
    raws = two_clean_sessions()
    flagged = report(90, "daily", None, BEGIN + timedelta(days=4), flags=["foot_drop"])
    retracted = event(91, "event.retracted", BEGIN + timedelta(days=5), {"retracts": "e90", "reason": "by mistake"}, course=None)
    corrected = event(
        92, "event.corrected", BEGIN + timedelta(days=5), {"corrects": "e90", "data": {"when": "daily", "pain_nrs": 0}}, course=None
    )
    assert last([*raws, flagged, retracted])["urgency"] == "stop_and_refer"
    assert last([*raws, flagged, corrected])["urgency"] == "stop_and_refer"


def _needed(raws: list[Raw]) -> list[tuple[int, str]]:
    """Every field of every report and session of a history: what may be taken away."""
    return [
        (n, name)
        for n, raw in enumerate(raws)
        for name in raw["data"]
        if n and name not in ("session", "when", "kind", "terrain", "technique_by", "settled_min", "completed", "pain_change")
    ]


CLEAN = [started(start_step="W1"), *session(10, 1, run_s=360), *session(20, 3, run_s=360)]


def test_the_clean_history_advances() -> None:
    assert last(CLEAN)["action"] == "advance"


@pytest.mark.law("unknown-never-advances")
@SLOW
@given(st.sets(st.integers(1, len(CLEAN) - 1), min_size=1))
def test_taking_reports_away_never_turns_a_hold_into_an_advance_and_missing_ones_hold(left_out: set[int]) -> None:
    """Law unknown-never-advances: without a report of the sessions that count there is no advance."""
    kept = [raw for n, raw in enumerate(CLEAN) if n not in left_out]
    needed = [
        n
        for n, raw in enumerate(CLEAN)
        if raw["data"].get("when") in ("during", "next_morning") or raw["type"].endswith("session.completed")
    ]
    made = receive_all(kept)[1]
    if any(n in left_out for n in needed):
        assert made[-1].body["action"] != "advance"
        assert made[-1].body["missing"] or made[-1].body["blocking"]


@pytest.mark.law("unknown-never-advances")
def test_taking_any_needed_field_away_holds_and_names_it() -> None:
    for n, name in _needed(CLEAN):
        raws = copy.deepcopy(CLEAN)
        if name in ("swelling", "swelling_change", "pain_nrs", "stiffness_change"):
            gone = [field for field in raws[n]["data"] if field.split("_")[0] == name.split("_")[0]]
        else:
            gone = [name]
        for field in gone:
            del raws[n]["data"][field]
        if raws[n]["data"].get("when") in ("before", "after") or name in ("run_s",):
            continue
        body = last(raws)
        assert body["action"] != "advance", (n, name)
        assert body["missing"], (n, name)


WORSE: dict[str, list[Any]] = {
    "pain_nrs": [0, 1, 2, 3, 5, 7, 10],
    "pain_change": ["lower", "same", "higher"],
    "swelling": ["none", "trace", "1+", "2+", "3+"],
    "swelling_change": ["lower", "same", "higher"],
    "stiffness_change": ["lower", "same", "higher"],
    "soreness": ["none", "muscle", "injured_area"],
    "settled_min": [0, 30, 60, 90, 2000],
    "rpe": [0, 3, 4, 5, 9],
    "gait_changed": [False, True],
    "technique_ok": [True, False],
    "completed": [True, False],
    "lsi_pct": [100, 95, 85, 60],
    "fatigue": [0, 5, 8, 10],
    "illness": ["none", "mild", "febrile"],
}


def _places(raws: list[Raw]) -> list[tuple[int, str]]:
    """Fields that can be made worse. The level before a session is what others compare with: higher is not simply worse there."""
    return [
        (n, name)
        for n, raw in enumerate(raws)
        for name, value in raw["data"].items()
        if name in WORSE and value in WORSE[name][:-1] and raw["data"].get("when") not in ("before", "daily")
    ]


@pytest.mark.law("worse-never-freer")
@SLOW
@given(histories(), st.data())
def test_making_a_fact_worse_never_makes_the_decision_freer(raws: list[Raw], data: st.DataObject) -> None:
    """Law worse-never-freer: neither a freer action, nor less restraint on running, nor a larger dose to run."""
    raws = [raw for raw in raws if raw["type"] not in ("milepost.event.corrected", "milepost.event.retracted")]
    _compare_with_worse(raws, data)


@pytest.mark.law("worse-never-freer")
@SLOW
@given(st.data())
def test_making_a_fact_of_a_clean_history_worse_never_makes_the_decision_freer(data: st.DataObject) -> None:
    _compare_with_worse([*CLEAN, *session(30, 5, run_s=720), *session(40, 7, run_s=720)], data)


def _compare_with_worse(raws: list[Raw], data: st.DataObject) -> None:
    places = _places(raws)
    assume(places)
    worse = copy.deepcopy(raws)
    n, name = data.draw(st.sampled_from(places))
    scale = WORSE[name]
    worse[n]["data"][name] = data.draw(st.sampled_from(scale[scale.index(worse[n]["data"][name]) + 1 :]))
    one, other = receive_all(raws)[1], receive_all(worse)[1]
    assume(one and other)
    _not_freer(one[-1].body, other[-1].body)


def _not_freer(was: Raw, now: Raw) -> None:
    place = PACKS.resolve(was["protocol"]["id"]).place  # type: ignore[union-attr]
    assert place[now["to_step"]] <= place[was["to_step"]]
    if place[now["to_step"]] == place[was["to_step"]] and place[now["from_step"]] == place[was["from_step"]]:
        assert FREEDOM.index(now["action"]) <= FREEDOM.index(was["action"])
        assert RUNNING_ORDER.index(now["running"]) >= RUNNING_ORDER.index(was["running"])


def test_the_worst_swelling_is_in_the_strategy() -> None:
    assert "3+" in SWELLING.elements  # type: ignore[attr-defined]


@SLOW
@given(histories())
def test_every_record_is_canonical_hashed_short_and_cited(raws: list[Raw]) -> None:
    """Law same-bytes, on paper: RFC 8785 bytes, the hash of the rest, at most 140 characters, a source for every reason."""
    for decision in receive_all(raws)[1]:
        body = decision.body
        without = {name: value for name, value in body.items() if name != "hash"}
        assert body["hash"] == f"sha256:{hashlib.sha256(rfc8785.dumps(without)).hexdigest()}"
        assert decision.encoded == rfc8785.dumps(body)
        assert 0 < len(body["summary"]) <= 140
        assert all(reason["citation"] and reason["grade"] and reason["evidence"] for reason in body["reasons"])
        assert body["blocking"] == sorted(body["blocking"]) and body["missing"] == sorted(body["missing"])
        if body["action"] == "hold":
            assert body["blocking"] or body["missing"]

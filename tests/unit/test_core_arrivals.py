"""What becomes of an event: accepted, parked, refused; corrections, late events, several courses."""

from datetime import timedelta
from typing import Any

from services.decision.core.athlete import Athlete, Receipt
from shared.events import content_digest, parse
from tests.property.histories import BEGIN, PACKS, Raw, event, receive_all, report, session, started, two_clean_sessions


def give(athlete: Athlete, raw: Raw) -> Receipt:
    return athlete.receive(parse(raw, internal=True), content_digest(raw))


def at(day: float) -> Any:
    return BEGIN + timedelta(days=day)


def second_course(**more: Any) -> Raw:
    raw = started(start_step="W1", **more)
    raw["id"] = "second"
    raw["data"] |= {"course": "c2", "injury": {"tissue": "tendon", "site": "achilles", "side": "right"}}
    return raw


def test_events_before_their_course_are_parked_and_decide_when_it_starts() -> None:
    raws = two_clean_sessions()
    athlete = Athlete(PACKS)
    for raw in raws[1:]:
        assert give(athlete, raw).status == "parked"
    receipt = give(athlete, raws[0])
    assert len(receipt.decisions) == len(raws)
    assert receipt.decisions[-1].body["action"] == "advance"
    assert {resolution.status for resolution in receipt.resolved} == {"accepted"}


def test_a_report_before_its_session_is_parked_until_the_session_arrives() -> None:
    athlete, _ = receive_all([started(start_step="W1")])
    one = session(10, 1)
    assert give(athlete, one[1]).status == "parked"
    receipt = give(athlete, one[0])
    assert [decision.cause[1] for decision in receipt.decisions] == ["e10", "e11"]


def test_the_same_key_with_other_content_is_refused_at_id_and_the_first_stays() -> None:
    athlete, _ = receive_all(two_clean_sessions())
    other = two_clean_sessions()[-1]
    other["data"]["pain_nrs"] = 9
    receipt = give(athlete, other)
    assert (receipt.status, receipt.path, receipt.decisions) == ("conflict", "id", ())


def test_a_late_event_supersedes_when_it_changes_the_content_and_not_otherwise() -> None:
    athlete, _ = receive_all(two_clean_sessions("W5"))
    harmless = give(athlete, report(80, "daily", None, at(2), pain_nrs=0)).decisions[0].body
    assert harmless["supersedes"] is None and harmless["superseded_because"] is None
    worse = give(athlete, report(81, "next_morning", "s3", at(3.9), pain_nrs=4, pain_change="higher")).decisions[0].body
    assert worse["action"] == "regress"
    assert worse["supersedes"] == harmless["id"]
    assert worse["superseded_because"] == {"event": "e81", "kind": "late"}
    assert not any("supersede" in reason["text"] for reason in worse["reasons"])


def test_a_correction_keeps_the_time_and_supersedes() -> None:
    athlete, made = receive_all(two_clean_sessions("W5"))
    data = {**two_clean_sessions("W5")[-1]["data"], "pain_nrs": 4, "pain_change": "higher"}
    body = give(athlete, event(90, "event.corrected", at(6), {"corrects": "e24", "data": data}, course=None)).decisions[0].body
    assert body["action"] == "regress" and body["superseded_because"] == {"event": "e90", "kind": "correction"}
    assert body["supersedes"] == made[-1].body["id"]


def test_the_latest_correction_wins_and_a_retraction_beats_all() -> None:
    athlete, _ = receive_all(two_clean_sessions())
    data = two_clean_sessions()[-1]["data"]
    give(athlete, event(91, "event.corrected", at(7), {"corrects": "e24", "data": {**data, "pain_nrs": 0}}, course=None))
    earlier = give(athlete, event(90, "event.corrected", at(6), {"corrects": "e24", "data": {**data, "pain_nrs": 6}}, course=None))
    assert earlier.decisions[0].body["action"] == "advance"
    gone = give(athlete, event(92, "event.retracted", at(5), {"retracts": "e24", "reason": "not mine"}, course=None)).decisions[0].body
    assert gone["action"] == "hold" and gone["missing"]


def test_a_correction_cannot_be_corrected_nor_change_who_spoke() -> None:
    athlete, _ = receive_all(two_clean_sessions())
    data = two_clean_sessions()[-1]["data"]
    give(athlete, event(91, "event.corrected", at(7), {"corrects": "e24", "data": data}, course=None))
    again = give(athlete, event(92, "event.corrected", at(8), {"corrects": "e91", "data": data}, course=None))
    assert (again.status, again.path) == ("refused", "data.corrects")
    by = {"id": "dr", "role": "clinician"}
    give(athlete, event(93, "clearance.recorded", at(8), {"gate": "red_flag_review", "granted": False, "by": by}))
    forged = {"gate": "red_flag_review", "granted": True, "by": {"id": "other", "role": "clinician"}}
    receipt = give(athlete, event(94, "event.corrected", at(9), {"corrects": "e93", "data": forged}, course=None))
    assert (receipt.status, receipt.path) == ("refused", "data.data.by")


def test_only_a_clinician_takes_back_what_a_clinician_recorded() -> None:
    refusal = {"gate": "physician_clearance", "granted": False, "by": {"id": "dr", "role": "clinician"}}
    athlete, _ = receive_all([*two_clean_sessions(), event(93, "clearance.recorded", at(8), refusal)])
    retraction = {"retracts": "e93", "reason": "no"}
    platform = event(94, "event.retracted", at(9), {**retraction, "by": {"id": "key:k", "role": "integrator"}}, course=None)
    receipt = give(athlete, platform)
    assert (receipt.status, receipt.path) == ("refused", "data.by.role")
    doctor = event(95, "event.retracted", at(9), {**retraction, "by": {"id": "dr2", "role": "clinician"}}, course=None)
    assert give(athlete, doctor).status == "accepted"


def test_a_correction_that_does_not_fit_the_type_is_refused_with_its_path() -> None:
    athlete, _ = receive_all(two_clean_sessions())
    receipt = give(
        athlete, event(91, "event.corrected", at(7), {"corrects": "e24", "data": {"when": "daily", "pain_nrs": 11}}, course=None)
    )
    assert (receipt.status, receipt.path) == ("refused", "data.data.pain_nrs")


def test_a_correction_before_its_event_is_parked() -> None:
    raws = two_clean_sessions("W5")
    data = {**raws[-1]["data"], "pain_nrs": 5, "pain_change": "higher"}
    correction = event(90, "event.corrected", at(6), {"corrects": "e24", "data": data}, course=None)
    athlete, _ = receive_all(raws[:-1])
    assert give(athlete, correction).status == "parked"
    receipt = give(athlete, raws[-1])
    assert receipt.status == "accepted" and receipt.decisions[-1].body["action"] == "regress"


def test_an_unknown_step_or_protocol_is_refused_with_its_path_and_what_was_expected() -> None:
    athlete = Athlete(PACKS)
    receipt = give(athlete, started("no-such-pack"))
    assert (receipt.status, receipt.path) == ("refused", "data.protocol") and "progressive-return" in (receipt.reason or "")
    athlete, _ = receive_all([started(start_step="W1")])
    receipt = give(athlete, session(10, 1, step="P1")[0])
    assert (receipt.status, receipt.path) == ("refused", "data.step") and "W20" in (receipt.reason or "")


def test_a_session_id_is_used_once_and_the_earlier_in_time_keeps_it() -> None:
    athlete, _ = receive_all([started(start_step="W1"), session(10, 3)[0]])
    again = session(20, 1)[0]
    again["data"]["session"] = "s3"
    receipt = give(athlete, again)
    assert receipt.status == "accepted"
    assert [(r.id, r.status, r.path) for r in receipt.resolved] == [("e10", "refused", "data.session")]


def test_after_the_end_of_a_course_its_events_are_refused() -> None:
    athlete, _ = receive_all([*two_clean_sessions(), event(70, "course.ended", at(5), {"course": "c1"})])
    receipt = give(athlete, report(71, "daily", None, at(6), pain_nrs=0))
    assert (receipt.status, receipt.path) == ("refused", "course")


def test_with_two_open_courses_a_session_is_both_courses_and_a_report_the_one_it_matches() -> None:
    athlete, _ = receive_all([started(start_step="W1"), second_course()])
    run = session(10, 1)[0]
    del run["course"]
    assert [decision.course for decision in give(athlete, run).decisions] == ["c1", "c2"]
    matching = report(20, "daily", None, at(2), pain_nrs=1, site="achilles", side="right")
    del matching["course"]
    assert [decision.course for decision in give(athlete, matching).decisions] == ["c2"]
    ambiguous = report(21, "daily", None, at(2), pain_nrs=1)
    del ambiguous["course"]
    assert (give(athlete, ambiguous).status, give(athlete, ambiguous | {"id": "x"}).path) == ("refused", "course")


def test_a_red_flag_of_an_ambiguous_report_stops_every_course() -> None:
    athlete, _ = receive_all([started(start_step="W1"), second_course()])
    flagged = report(21, "daily", None, at(2), pain_nrs=1, flags=["chest_pain_or_syncope"])
    del flagged["course"]
    decisions = give(athlete, flagged).decisions
    assert [decision.body["urgency"] for decision in decisions] == ["stop_and_refer", "stop_and_refer"]


def test_an_event_that_becomes_ambiguous_when_an_earlier_course_arrives_late_loses_its_effect() -> None:
    athlete, _ = receive_all([started(start_step="W1")])
    daily = report(20, "daily", None, at(2), pain_nrs=8)
    del daily["course"]
    assert give(athlete, daily).decisions[0].body["running"] == "withheld"
    receipt = give(athlete, second_course())
    assert [(r.id, r.status) for r in receipt.resolved] == [("e20", "refused")]
    assert {decision.course: decision.body["running"] for decision in receipt.decisions} == {"c1": "as_dosed", "c2": "as_dosed"}


def test_two_starts_of_one_course_at_one_instant_end_alike_in_either_order() -> None:
    """Law any-order: which of the two counts, and what lies before it, is settled by the fold's order."""
    other = started(start_step="W2")
    other["id"] = "e2"
    run = session(10, 0, step="W1")[0] | {"time": started()["time"]}
    first, _ = receive_all([started(start_step="W2"), other, run])
    second, _ = receive_all([other, run, started(start_step="W2")])
    assert first.facts("c1") == second.facts("c1")


def test_a_corrected_start_folds_the_whole_course_anew() -> None:
    athlete, _ = receive_all(two_clean_sessions("W5"))
    start = started(start_step="W5")["data"]
    bone = {**start, "injury": {**start["injury"], "tissue": "bone", "site": "tibia"}}
    body = give(athlete, event(90, "event.corrected", at(6), {"corrects": "e0", "data": bone}, course=None)).decisions[-1].body
    assert body["urgency"] == "review" and "risk" in body["summary"]


def test_a_flag_outlives_the_session_its_report_was_linked_to() -> None:
    raws = two_clean_sessions()
    raws[8]["data"] |= {"flags": ["chest_pain_or_syncope"], "pain_nrs": 9}
    athlete, _ = receive_all(raws)
    receipt = give(athlete, event(90, "event.retracted", at(6), {"retracts": "e20", "reason": "wrong run"}, course=None))
    assert receipt.decisions[-1].body["urgency"] == "stop_and_refer"
    assert not athlete.parked


def test_a_second_course_takes_nothing_from_the_first() -> None:
    early = report(5, "daily", None, at(-0.1), pain_nrs=1, flags=["chest_pain_or_syncope"])
    del early["course"]
    athlete, _ = receive_all([started(start_step="W1"), early])
    later = second_course()
    later["time"] = at(30).isoformat()
    assert all(decision.body["urgency"] == "stop_and_refer" for decision in give(athlete, later).decisions if decision.course == "c1")
    assert athlete.facts("c1") and next(f for f in athlete.facts("c1") if f["fact"] == "referral.open")["value"] is True


def test_a_refused_start_pins_nothing() -> None:
    athlete = Athlete(PACKS)
    assert give(athlete, started(start_step="X9")).status == "refused"
    again = started("mil-knee-overuse", start_step="P1")
    again["id"] = "again"
    assert give(athlete, again).decisions[-1].body["protocol"]["id"] == "mil-knee-overuse"


def test_a_corrected_parked_report_waits_for_the_session_it_now_names() -> None:
    athlete, _ = receive_all([started(start_step="W1")])
    one = session(10, 1)
    wrong = {**one[3]["data"], "session": "sX", "pain_nrs": 9}
    give(athlete, one[3] | {"data": wrong})
    give(athlete, event(90, "event.corrected", at(2), {"corrects": "e13", "data": {**wrong, "session": "s1"}}, course=None))
    assert give(athlete, one[0]).decisions[-1].body["running"] == "withheld"


def test_a_report_corrected_before_it_came_decides_once_and_only_when_its_session_is_there() -> None:
    athlete, _ = receive_all([started(start_step="W1")])
    one = session(10, 1)
    corrected = event(90, "event.corrected", at(2), {"corrects": "e13", "data": {**one[3]["data"], "pain_nrs": 2}}, course=None)
    causes = [decision.cause[1] for raw in (corrected, one[3], one[0]) for decision in give(athlete, raw).decisions]
    assert sorted(causes) == ["e10", "e13", "e90"]


def test_what_was_known_of_time_stays_known_after_a_retraction() -> None:
    athlete, made = receive_all([*two_clean_sessions(), report(80, "daily", None, at(8), pain_nrs=0)])
    gone = give(athlete, event(90, "event.retracted", at(7), {"retracts": "e80", "reason": "twice"}, course=None)).decisions[-1].body
    assert gone["as_of"] == made[-1].body["as_of"]


def test_what_a_corrected_report_opened_is_in_the_fold_as_soon_as_the_report_is() -> None:
    """Otherwise the next arrival that places everything anew, of whatever course, would be charged with the change."""
    athlete, _ = receive_all([started(start_step="W1"), second_course()])
    one = session(10, 1)
    give(athlete, one[3])
    give(athlete, event(90, "event.corrected", at(2), {"corrects": "e13", "data": {**one[3]["data"], "pain_nrs": 2}}, course=None))
    give(athlete, one[0])
    elsewhere = session(30, 2)[0] | {"course": "c2"}
    elsewhere["data"]["session"] = "other"
    give(athlete, elsewhere)
    retraction = event(91, "event.retracted", at(3), {"retracts": "e30", "reason": "twice"}, course=None)
    assert [decision.course for decision in give(athlete, retraction).decisions] == ["c2"]


def reviewed(number: int, day: float, **more: Any) -> Raw:
    data = {"gate": "red_flag_review", "granted": True, "by": {"id": "dr", "role": "clinician"}, **more}
    return event(number, "clearance.recorded", at(day), data, course=None)


def flagged_then_ended() -> list[Raw]:
    flagged = report(20, "daily", None, at(2), pain_nrs=1, flags=["chest_pain_or_syncope"])
    return [started(start_step="W1"), flagged, event(70, "course.ended", at(3), {"course": "c1"})]


def test_an_open_referral_follows_the_athlete_into_the_next_course() -> None:
    """Law referral-latches: ending the course is no review."""
    later = second_course()
    later["time"] = at(5).isoformat()
    athlete, _ = receive_all(flagged_then_ended())
    body = give(athlete, later).decisions[0].body
    assert (body["urgency"], body["running"], body["action"]) == ("stop_and_refer", "withheld", "hold")
    assert give(athlete, reviewed(80, 6)).decisions[-1].body["urgency"] != "stop_and_refer"


def test_a_referral_reviewed_before_the_next_course_does_not_follow() -> None:
    later = second_course()
    later["time"] = at(5).isoformat()
    for raws in (
        [*flagged_then_ended()[:2], reviewed(80, 2.5), flagged_then_ended()[2], later],
        [later, *flagged_then_ended(), reviewed(80, 2.5)],
    ):
        _, decisions = receive_all(raws)
        of_second = [decision.body for decision in decisions if decision.course == "c2"]
        assert of_second[-1]["urgency"] != "stop_and_refer"


def test_a_review_that_was_no_longer_valid_lifts_nothing() -> None:
    athlete, _ = receive_all(flagged_then_ended()[:2])
    assert give(athlete, reviewed(80, 4, valid_until="2026-03-01")).decisions[0].body["urgency"] == "stop_and_refer"


def test_a_retracted_start_ends_its_course_with_a_last_decision() -> None:
    athlete, _ = receive_all(two_clean_sessions())
    receipt = give(athlete, event(90, "event.retracted", at(6), {"retracts": "e0", "reason": "wrong athlete"}, course=None))
    [last] = receipt.decisions
    assert (last.course, last.body["action"], last.body["running"], last.state["status"]) == ("c1", "hold", "withheld", "ended")
    assert give(athlete, report(91, "daily", None, at(7), pain_nrs=0)).status == "parked"


def test_the_course_of_a_retracted_start_may_be_started_anew_and_takes_its_events_back() -> None:
    """Law any-order: whether the retraction came first or last, the course ends alike."""
    raws = two_clean_sessions()
    retraction = event(90, "event.retracted", at(6), {"retracts": "e0", "reason": "wrong protocol"}, course=None)
    anew = started(protocol="mil-knee-overuse", start_step="P1")
    anew["id"] = "anew"
    for order in ([*raws, retraction, anew], [anew, *raws[1:], raws[0], retraction], [retraction, anew, *raws]):
        _, decisions = receive_all(order)
        last = [decision for decision in decisions if decision.course == "c1"][-1]
        assert (last.body["protocol"]["id"], last.state["status"]) == ("mil-knee-overuse", "open")


def test_a_declined_regress_holds_until_something_new_is_done_or_reported() -> None:
    raws = two_clean_sessions("W5")
    morning = report(95, "next_morning", None, at(4), pain_nrs=5, pain_change="higher")
    athlete, decisions = receive_all([*raws, morning])
    body = decisions[-1].body
    assert body["action"] == "regress"
    of = {name: body[name] for name in ("action", "from_step", "to_step")}
    answer = {"of": of, "answer": "declined", "reason": "seen today", "by": {"id": "dr", "role": "clinician"}}
    declined = give(athlete, event(96, "recommendation.answered", at(4.1), answer)).decisions[0].body
    assert (declined["action"], declined["to_step"], declined["answer"]["state"]) == ("hold", "W5", "declined")
    known = [*raws, morning, event(96, "recommendation.answered", at(4.1), answer)]
    again = give(athlete, report(97, "daily", None, at(4.5), pain_nrs=1)).decisions[0].body
    assert again["action"] == "regress"
    for kind, data in (
        ("session.skipped", {"reason": "pain"}),
        ("wellness.reported", {"fatigue": 9}),
        ("session.completed", {"session": "x", "kind": "strength", "stopped_for": "pain"}),
    ):
        assert receive_all([*known, event(97, kind, at(4.5), data)])[1][-1].body["action"] == "regress"


def test_a_run_far_longer_than_the_dose_is_above_it_even_when_only_its_length_is_known() -> None:
    athlete, _ = receive_all([started(start_step="W1")])
    long = event(10, "session.completed", at(1), {"session": "s1", "kind": "run", "completed": True, "duration_s": 3600, "rpe": 3})
    reasons = give(athlete, long).decisions[0].body["reasons"]
    assert "floor.above-dose" in [reason["rule"] for reason in reasons if reason["outcome"] == "hold"]


def test_a_red_flag_linked_to_a_session_of_one_course_stops_every_open_course() -> None:
    run = session(30, 1)[0]
    flagged = report(40, "during", "s1", at(1.5), pain_nrs=1, flags=["chest_pain_or_syncope"])
    del flagged["course"]
    raws = [started(start_step="W1"), second_course(), run | {"course": "c1"}, flagged]
    for arrival in (raws, raws[::-1]):
        athlete, _ = receive_all(arrival)
        assert [athlete.content(course)["urgency"] for course in ("c1", "c2")] == ["stop_and_refer", "stop_and_refer"]


def test_the_review_of_one_course_lifts_in_a_later_one_only_what_stood_there() -> None:
    """Law referral-latches: the clinician of the knee did not see what was reported of the tendon."""
    flagged = report(40, "daily", None, at(2), pain_nrs=0, flags=["chest_pain_or_syncope"])
    review = reviewed(50, 3)
    third = second_course()
    third |= {"id": "third", "time": at(5).isoformat(), "data": {**third["data"], "course": "c3"}}
    for named, urgency in (("c1", "stop_and_refer"), ("c2", "routine")):
        athlete, _ = receive_all([started(start_step="W1"), second_course(), flagged | {"course": "c2"}, review | {"course": named}, third])
        assert athlete.content("c3")["urgency"] == urgency


def test_a_sensor_summary_dated_before_its_session_counts_for_it() -> None:
    measured = event(5, "sensor.summarised", at(1), {"session": "s1", "device": {"origin": "native"}, "cadence_spm": 170})
    raws = [started(start_step="W1"), session(10, 1)[0], measured]
    for arrival in (raws, raws[::-1]):
        athlete, _ = receive_all(arrival)
        assert [data["cadence_spm"] for _, data in athlete._lines["c1"].course.sessions[0].sensors] == [170]


def test_an_advance_stands_no_longer_than_the_clearance_it_rests_on() -> None:
    cleared = reviewed(20, 0.1, gate="physician_clearance", valid_until="2026-03-04")
    walked = event(10, "milestone.assessed", at(0.05), {"test": "walk_30_min", "passed": True, "pain_nrs": 0, "assessor": "clinician"})
    calm = report(30, "daily", None, at(0.15), pain_nrs=0, swelling="none")
    athlete, decisions = receive_all([started("mil-knee-overuse"), walked, cleared, calm])
    assert (decisions[-1].body["action"], decisions[-1].body["valid_until"]) == ("advance", "2026-03-04")
    passed = event(40, "time.reached", at(2.8), {"course": "c1", "kind": "valid_until", "at": at(2.8).isoformat()})
    assert give(athlete, passed).decisions[0].body["action"] == "hold"

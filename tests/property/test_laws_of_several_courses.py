"""The laws over athletes with several courses: begun, ended, begun anew, retracted; with red flags before, between and after."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from services.decision.core.athlete import Athlete, CourseMark
from services.decision.core.decision import Decision
from shared.events import content_digest, parse
from tests.property.histories import BEGIN, PACKS, Raw, content, event, receive_all, report, session, started

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
BY = {"id": "dr", "role": "clinician"}
TISSUES = [("joint", "knee"), ("bone", "tibia"), ("tendon", "achilles")]


@st.composite
def several(draw: st.DrawFn) -> list[Raw]:
    """Events of one athlete with one to three starts under two course ids, none of them naming its course but where it must."""
    raws: list[Raw] = []
    for n in range(draw(st.integers(1, 3))):
        tissue, site = draw(st.sampled_from(TISSUES))
        start = started(tissue=tissue, site=site, start_step="W3")
        start |= {"id": f"start{n}", "time": (BEGIN + timedelta(days=draw(st.integers(0, 8)))).isoformat()}
        start["data"]["course"] = draw(st.sampled_from(["c1", "c2"]))
        raws.append(start)
        if not draw(st.integers(0, 2)):
            retracted = {"retracts": f"start{n}", "reason": "sent in error"}
            raws.append(event(900 + n, "event.retracted", BEGIN + timedelta(days=draw(st.integers(0, 9))), retracted, course=None))
    for n in range(draw(st.integers(1, 7))):
        time = BEGIN + timedelta(days=draw(st.integers(0, 10)), hours=n)
        number = 100 * (n + 1)
        kind = draw(st.sampled_from(["session", "flag", "rest", "daily", "review", "ended"]))
        if kind == "session":
            raws += session(number, draw(st.integers(1, 9)), session=f"s{n}")[:3]
        elif kind == "flag":
            raws.append(
                report(number, "daily", None, time, pain_nrs=1, flags=[draw(st.sampled_from(["chest_pain_or_syncope", "rest_pain"]))])
            )
        elif kind == "rest":
            raws.append(report(number, "rest", None, time, pain_nrs=draw(st.sampled_from([0, 2]))))
        elif kind == "daily":
            raws.append(
                report(number, "daily", None, time, pain_nrs=draw(st.sampled_from([0, 3])), site=draw(st.sampled_from(["knee", "tibia"])))
            )
        elif kind == "review":
            raws.append(event(number, "clearance.recorded", time, {"gate": "red_flag_review", "granted": True, "by": BY}))
        else:
            raws.append(event(number, "course.ended", time, {"course": draw(st.sampled_from(["c1", "c2"]))}, course=None))
    for raw in raws:
        if raw["type"] in ("milepost.symptom.reported", "milepost.session.completed", "milepost.clearance.recorded"):
            raw.pop("course", None)
    return raws


def lasts(decisions: list[Decision]) -> dict[str, tuple[str, str]]:
    return {decision.course: (content(decision), decision.body["as_of"]) for decision in decisions}


@pytest.mark.law("any-order")
@SLOW
@given(several(), st.data())
def test_any_arrival_order_ends_each_course_alike(raws: list[Raw], data: st.DataObject) -> None:
    one, first = receive_all(raws)
    other, second = receive_all(data.draw(st.permutations(raws)))
    assert other.parked == one.parked
    assert other.courses == one.courses
    assert {course: lasts(second)[course] for course in other.courses} == {course: lasts(first)[course] for course in one.courses}


@pytest.mark.law("same-bytes")
@SLOW
@given(several())
def test_a_restart_at_any_point_goes_on_with_the_same_bytes(raws: list[Raw]) -> None:
    _, whole = receive_all(raws)
    half = len(raws) // 2
    _, first = receive_all(raws[:half])
    marks = {decision.course: CourseMark(decision.seq, decision.body) for decision in first}
    received = [(parse(raw, internal=True), content_digest(raw), "") for raw in raws[:half]]
    _, second = receive_all(raws[half:], Athlete.restore(PACKS, received, marks))
    assert [decision.encoded for decision in (*first, *second)] == [decision.encoded for decision in whole]


@pytest.mark.law("referral-latches")
@SLOW
@given(several())
def test_no_course_runs_while_a_red_flag_before_it_was_never_reviewed(raws: list[Raw]) -> None:
    """Whichever course it was reported under, ended or retracted since: no later course is without the referral."""
    reviewed = [raw for raw in raws if raw["type"] == "milepost.clearance.recorded"]
    flagged = [raw for raw in raws if "chest_pain_or_syncope" in raw["data"].get("flags", ())]
    athlete, decisions = receive_all(raws)
    refused = [raw["id"] for raw in flagged if not _took_effect(raws, raw)]
    if reviewed or not flagged or refused:
        return
    first = min(raw["time"] for raw in flagged)
    starts = {raw["data"]["course"]: raw["time"] for raw in raws if raw["type"] == "milepost.course.started"}
    latest = {decision.course: decision.body for decision in decisions}
    for course in athlete.courses:
        if starts[course] > first and len([1 for raw in raws if raw["data"].get("course") == course and "protocol" in raw["data"]]) == 1:
            assert latest[course]["urgency"] == "stop_and_refer"


def _took_effect(raws: list[Raw], raw: Raw) -> bool:
    athlete, _ = receive_all([one for one in raws if one is not raw])
    return athlete.receive(parse(raw, internal=True), content_digest(raw)).status == "accepted"

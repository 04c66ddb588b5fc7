"""Red flags reach somebody at once, whatever else becomes of the report that bears them."""

from itertools import permutations

import pytest

from services.decision.core.athlete import Athlete, CourseMark
from shared.events import Event, content_digest, parse
from tests.property.histories import PACKS, Raw, content, event, receive_all, report, session, started
from tests.unit.test_core_arrivals import at, give, second_course


def urgencies(athlete: Athlete) -> dict[str, str]:
    return {course: athlete.content(course)["urgency"] for course in athlete.courses}


def unnamed(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if name != "course"}


def third_course(day: float, **injury: str) -> Raw:
    raw = started(start_step="W1", injury={"tissue": "joint", "site": "ankle", "side": "right", **injury})
    raw |= {"id": "third", "time": at(day).isoformat()}
    raw["data"] |= {"course": "c3"}
    return raw


@pytest.mark.law("red-flag-stops")
def test_a_red_flag_stops_though_the_session_of_its_report_never_arrives() -> None:
    athlete, _ = receive_all([started(start_step="W1"), second_course()])
    receipt = give(athlete, unnamed(report(80, "during", "lost", at(3), pain_nrs=2, flags=["sudden_pop"])))
    assert (receipt.status, receipt.path) == ("accepted", "data.session")
    assert receipt.reason == "session lost has not arrived; its red flags count already"
    assert {decision.course: decision.body["urgency"] for decision in receipt.decisions} == dict.fromkeys(("c1", "c2"), "stop_and_refer")


@pytest.mark.law("any-order")
def test_the_rest_of_a_flagged_report_counts_once_its_session_arrives_in_either_order() -> None:
    done = session(10, 3)[0]
    flagged = unnamed(report(80, "during", "s3", at(3.6), pain_nrs=7, flags=["sudden_pop"]))
    starts = [started(start_step="W1"), second_course()]
    one, made = receive_all([*starts, flagged, done])
    other, _ = receive_all([*starts, done, flagged])
    assert [(decision.cause[1], decision.course) for decision in made[-3:]] == [("e80", "c1"), ("e80", "c2"), ("e10", "c1")]
    assert all(decision.body["urgency"] == "stop_and_refer" for decision in made[-3:])
    assert [one.content(course) for course in one.courses] == [other.content(course) for course in other.courses]
    assert next(fact for fact in one.facts("c1") if fact["fact"] == "pain.now")["value"] == 7


@pytest.mark.law("referral-latches")
def test_a_flag_without_its_session_stands_though_the_report_is_corrected_or_retracted() -> None:
    flagged = unnamed(report(80, "during", "lost", at(3), flags=["sudden_pop"]))
    without = event(81, "event.corrected", at(4), {"corrects": "e80", "data": {"when": "during", "session": "lost"}}, course=None)
    gone = event(82, "event.retracted", at(4), {"retracts": "e80", "reason": "a slip"}, course=None)
    for meta in (without, gone):
        athlete, _ = receive_all([started(start_step="W1"), flagged, meta])
        assert urgencies(athlete) == {"c1": "stop_and_refer"}


@pytest.mark.law("red-flag-stops")
def test_night_pain_in_bone_stops_unticked_though_its_session_never_arrives() -> None:
    bone = started(start_step="W1", injury={"tissue": "bone", "site": "tibia", "side": "left", "high_risk": False})
    athlete, _ = receive_all([bone])
    assert give(athlete, unnamed(report(80, "night", "lost", at(3), pain_nrs=1))).status == "accepted"
    assert urgencies(athlete) == {"c1": "stop_and_refer"}


@pytest.mark.law("red-flag-stops")
def test_a_red_flag_that_names_an_ended_course_stops_the_open_ones() -> None:
    ended = event(70, "course.ended", at(2), {"course": "c2"}, course=None)
    athlete, _ = receive_all([started(start_step="W1"), second_course(), ended])
    receipt = give(athlete, report(80, "daily", None, at(3), flags=["chest_pain_or_syncope"]) | {"course": "c2"})
    assert receipt.status == "accepted"
    assert [(decision.course, decision.body["urgency"]) for decision in receipt.decisions] == [("c1", "stop_and_refer")]
    assert give(athlete, report(81, "daily", None, at(3), pain_nrs=2) | {"course": "c2"}).status == "refused"


@pytest.mark.law("red-flag-stops")
def test_a_red_flag_while_no_course_is_open_is_refused_and_told_and_follows_into_the_next_course() -> None:
    ended = event(70, "course.ended", at(2), {"course": "c1"}, course=None)
    athlete, _ = receive_all([started(start_step="W1"), ended])
    assert give(athlete, unnamed(report(80, "daily", None, at(3), flags=["chest_pain_or_syncope"]))).status == "refused"
    receipt = give(athlete, third_course(5))
    assert ("e80", "accepted") in [(one.id, one.status) for one in receipt.resolved]
    assert urgencies(athlete)["c3"] == "stop_and_refer"


@pytest.mark.law("referral-latches")
@pytest.mark.parametrize(("first", "then", "referred"), [(1, 3, True), (3, 3, False)])
def test_rest_pain_of_a_tendon_follows_into_a_later_course_where_it_referred(first: int, then: int, referred: bool) -> None:
    tendon = started(start_step="W1", injury={"tissue": "tendon", "site": "achilles", "side": "left"}, baseline={"pain_nrs": 3})
    reports = [report(80, "rest", None, at(2), pain_nrs=first), report(81, "rest", None, at(3), pain_nrs=then)]
    for order in ([tendon, *reports, third_course(5)], [third_course(5), reports[1], tendon, reports[0]]):
        athlete, _ = receive_all(order)
        assert (urgencies(athlete)["c1"] == "stop_and_refer") is referred
        assert (urgencies(athlete)["c3"] == "stop_and_refer") is referred


@pytest.mark.law("referral-latches")
def test_a_review_on_the_earlier_course_lifts_the_rest_pain_that_followed() -> None:
    tendon = started(start_step="W1", injury={"tissue": "tendon", "site": "achilles", "side": "left"})
    pain = report(80, "night", None, at(2), pain_nrs=4)
    review = event(81, "clearance.recorded", at(3), {"gate": "red_flag_review", "granted": True, "by": {"id": "dr", "role": "clinician"}})
    athlete, _ = receive_all([tendon, pain, review, third_course(5)])
    assert urgencies(athlete)["c3"] != "stop_and_refer"


@pytest.mark.law("any-order")
def test_a_start_given_anew_keeps_the_version_that_its_course_was_first_given() -> None:
    live = {"progressive-return": PACKS.protocols["progressive-return"]}

    class Library:
        """`progressive-return` names whatever is live."""

        def resolve(self, reference: str) -> object:
            return live.get(reference) or PACKS.resolve(reference)

        def names(self) -> list[str]:
            return PACKS.names()

        def judge(self, protocol: object) -> object:
            return PACKS.judge(protocol)  # type: ignore[arg-type]

    first = started(start_step="W1")
    anew = started(start_step="W2") | {"id": "anew"}
    retraction = event(90, "event.retracted", at(1), {"retracts": "e0", "reason": "wrong step"}, course=None)
    newer = PACKS.protocols["mil-knee-overuse"]
    for order in ([first, retraction, None, anew], [first, anew, None, retraction], [first, None, anew, retraction]):
        live["progressive-return"] = PACKS.protocols["progressive-return"]
        athlete = Athlete(Library())  # type: ignore[arg-type]
        for raw in order:
            if raw is None:
                live["progressive-return"] = newer
            else:
                give(athlete, raw)
        content = athlete.content("c1")
        assert (content["protocol"]["id"], content["from_step"]) == ("progressive-return", "W2")


TENDON = {"tissue": "tendon", "site": "achilles", "side": "left"}


def on_tendon(baseline: float = 5) -> Raw:
    return started(start_step="W1", injury=TENDON, baseline={"pain_nrs": baseline})


def rest(number: int, day: float, pain: float, **more: object) -> Raw:
    return report(number, "rest", None, at(day), pain_nrs=pain, **more)


def corrected(day: float, of: str, data: Raw) -> Raw:
    return event(90, "event.corrected", at(day), {"corrects": of, "data": data}, course=None)


LOW, HIGH = rest(80, 2, 2), rest(81, 3, 4)
UP: Raw = {"when": "rest", "pain_nrs": 4}
LIFTING = {
    "raised": corrected(4, "e80", UP),
    "of another moment": corrected(4, "e80", {**UP, "when": "daily", "pain_nrs": 2}),
    "elsewhere": corrected(4, "e80", {**UP, "pain_nrs": 2, "location": "elsewhere"}),
    "later": event(90, "event.corrected", at(4), {"corrects": "e80", "data": LOW["data"], "time": at(3.5).isoformat()}, course=None),
    "retracted": event(90, "event.retracted", at(4), {"retracts": "e80", "reason": "a slip"}, course=None),
}


@pytest.mark.law("referral-latches")
@pytest.mark.law("any-order")
@pytest.mark.parametrize("meta", LIFTING.values(), ids=LIFTING)
def test_no_word_about_the_report_before_lifts_the_rise_that_referred(meta: Raw) -> None:
    before = rest(79, 1, 5)
    raws = [before, LOW, HIGH, meta]
    ended = set()
    for order in permutations(raws):
        athlete, made = receive_all([on_tendon(), *order])
        ended.add(str(athlete.content("c1")))
        assert made[-1].body["referral"] == {"to": "physician", "within_h": 72}
    assert len(ended) == 1
    review = event(91, "clearance.recorded", at(5), {"gate": "red_flag_review", "granted": True, "by": {"id": "dr", "role": "clinician"}})
    assert urgencies(receive_all([on_tendon(), *raws, review])[0])["c1"] != "stop_and_refer", "the review ends it"
    if "time" not in meta["data"]:
        since = receive_all([on_tendon(), before, rest(81, 4.5, 4), meta, LOW])[0]
        assert urgencies(since)["c1"] != "stop_and_refer", "judged by the new word"


@pytest.mark.law("referral-latches")
@pytest.mark.parametrize("injury", [TENDON, {**TENDON, "tissue": "joint"}])
def test_no_correction_of_the_start_lifts_the_rise_that_referred(injury: Raw) -> None:
    start = on_tendon(3)
    meta = corrected(4, start["id"], {**start["data"], "injury": injury, "baseline": {"pain_nrs": 6}})
    for order in permutations([start, HIGH, meta]):
        assert urgencies(receive_all(order)[0])["c1"] == "stop_and_refer"
    assert urgencies(receive_all([start, meta, rest(82, 4.5, 4)])[0])["c1"] != "stop_and_refer"


@pytest.mark.law("referral-latches")
@pytest.mark.parametrize("tissue", ["joint", "bone", "tendon"])
def test_what_a_correction_ticked_stands_though_the_next_takes_it_back(tissue: str) -> None:
    start = started(start_step="W1", injury={**TENDON, "tissue": tissue}, baseline={"pain_nrs": 5})
    told: Raw = {"when": "daily", "pain_nrs": 1}
    ticked = corrected(3, "e80", {**told, "flags": ["sudden_pop"]})
    report_, again = report(80, "daily", None, at(2), pain_nrs=1), corrected(4, "e80", told) | {"id": "e91"}
    gone = event(91, "event.retracted", at(4), {"retracts": "e80", "reason": "a slip"}, course=None)
    for last in (again, gone):
        for order in permutations([report_, ticked, last]):
            assert urgencies(receive_all([start, *order])[0])["c1"] == "stop_and_refer"


@pytest.mark.law("referral-latches")
@pytest.mark.law("any-order")
def test_the_rise_follows_into_a_later_course_whatever_becomes_of_the_report_before() -> None:
    for meta in LIFTING.values():
        for order in permutations([LOW, HIGH, meta, third_course(5)]):
            assert urgencies(receive_all([on_tendon(), *order])[0]) == dict.fromkeys(("c1", "c3"), "stop_and_refer")
    down = corrected(4, "e80", {"when": "rest", "pain_nrs": 1})
    for order in permutations([rest(80, 2, 5), HIGH, down, third_course(5)]):
        assert urgencies(receive_all([on_tendon(), *order])[0]) == dict.fromkeys(("c1", "c3"), "stop_and_refer"), "a rise by the new word"


@pytest.mark.law("same-bytes")
def test_an_athlete_whose_rise_was_corrected_decides_the_same_bytes_when_restored() -> None:
    raws = [on_tendon(), LOW, LIFTING["raised"], HIGH, third_course(5), rest(83, 3.2, 1), rest(84, 6, 2)]
    _, whole = receive_all(raws)
    received: list[tuple[Event, bytes, str]] = []
    marks: dict[str, CourseMark] = {}
    made: list[str] = []
    for raw in raws:
        athlete = Athlete.restore(PACKS, received, marks)
        for decision in give(athlete, raw).decisions:
            marks[decision.course] = CourseMark(decision.seq, decision.body)
            made.append(content(decision))
        received.append((parse(raw, internal=True), content_digest(raw), raw["time"]))
    assert made == [content(decision) for decision in whole]

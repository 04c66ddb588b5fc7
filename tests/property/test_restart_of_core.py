"""Law same-bytes across restarts: where a worker was restarted must not be readable from what it decided."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from services.decision.core.athlete import Athlete, CourseMark
from shared.events import content_digest, parse
from tests.property.histories import BEGIN, PACKS, Raw, event, histories, receive_all, report, session, started


def restarted(raws: list[Raw], at: int) -> list[bytes]:
    _, first = receive_all(raws[:at])
    received = [(parse(raw, internal=True), content_digest(raw), "") for raw in raws[:at]]
    marks = {decision.course: CourseMark(decision.seq, decision.body) for decision in first}
    _, second = receive_all(raws[at:], Athlete.restore(PACKS, received, marks))
    return [decision.encoded for decision in first + second]


@pytest.mark.law("same-bytes")
@settings(max_examples=60)
@given(histories(), st.randoms(use_true_random=False), st.data())
def test_a_restart_at_any_point_of_any_arrival_order_changes_no_byte(raws: list[Raw], random: Any, data: st.DataObject) -> None:
    random.shuffle(raws)
    at = data.draw(st.integers(0, len(raws)))
    assert restarted(raws, at) == [decision.encoded for decision in receive_all(raws)[1]]


@pytest.mark.law("once")
@settings(max_examples=60)
@given(histories(), st.randoms(use_true_random=False))
def test_in_any_arrival_order_an_event_decides_once_for_a_course_and_a_parked_one_not_at_all(raws: list[Raw], random: Any) -> None:
    random.shuffle(raws)
    athlete, causes = Athlete(PACKS), list[tuple[str, str]]()
    for raw in raws:
        receipt = athlete.receive(parse(raw, internal=True), content_digest(raw))
        causes += [(decision.course, decision.cause[1]) for decision in receipt.decisions]
        if receipt.status != "accepted":
            assert raw["id"] not in [cause for _, cause in causes], raw
    assert len(causes) == len(set(causes))


@pytest.mark.law("once")
def test_a_parked_report_decides_once_its_session_comes_though_its_correction_waited_for_it() -> None:
    done, _, _, after, _ = session(10, 1)
    corrected = event(20, "event.corrected", BEGIN + timedelta(days=2), {"corrects": after["id"], "data": after["data"] | {"pain_nrs": 2}})
    _, made = receive_all([started(), corrected, after, done])
    assert [decision.cause[1] for decision in made] == ["e0", "e20", "e10", "e13"]


@pytest.mark.law("same-bytes")
def test_a_report_corrected_before_its_session_came_counts_once_in_the_fold() -> None:
    done, _, _, after, _ = session(10, 1)
    corrected = event(
        20, "event.corrected", BEGIN + timedelta(days=2), {"corrects": after["id"], "data": after["data"] | {"pain_nrs": 2}}, None
    )
    another = event(30, "event.corrected", BEGIN + timedelta(days=3), {"corrects": "e40", "data": {"sleep_h": 8}}, None)
    slept = event(40, "wellness.reported", BEGIN + timedelta(days=1), {"sleep_h": 6})
    raws = [started(), after, corrected, done, slept, another, report(50, "daily", None, BEGIN + timedelta(days=3), pain_nrs=0)]
    whole = [decision.encoded for decision in receive_all(raws)[1]]
    for at in range(len(raws)):
        assert restarted(raws, at) == whole
    (line,) = receive_all(raws)[0]._lines.values()
    places = [entry.place for entry in line.entries]
    assert len(places) == len(set(places))

"""What one course takes in: each event once, at its place, and of pain that does not refer that it asks for review."""

from datetime import timedelta

from services.decision.core.line import Entry
from tests.property.histories import BEGIN, receive_all, report, session, started


def test_an_event_that_stands_there_already_changes_nothing_and_one_of_its_key_has_its_own_place() -> None:
    athlete, _ = receive_all([started(start_step="W1"), *session(10, 1)])
    line = athlete._lines["c1"]
    last, before = line.entries[-1], list(line.entries)
    line.insert(Entry(last.key, last.event, last.facet))
    assert line.entries == before
    line.insert(Entry(last.key, last.event, "latched"))
    assert [one.facet for one in line.entries[-2:]] == ["latched", "whole"]
    assert line.checkpoints[-1].taken == len(line.entries) == len(before) + 1


def test_rest_pain_that_does_not_refer_asks_for_review() -> None:
    calm, _ = receive_all([started(start_step="W1"), report(20, "daily", None, BEGIN + timedelta(days=3), pain_nrs=1)])
    sore, _ = receive_all([started(start_step="W1"), report(20, "rest", None, BEGIN + timedelta(days=3), pain_nrs=1)])
    assert not calm._lines["c1"].course.reviews
    assert [one.flag for one in sore._lines["c1"].course.reviews] == ["rest_pain"]

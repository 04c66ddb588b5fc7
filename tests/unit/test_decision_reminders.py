"""What time itself brings: when a course stalls, and what is told of a date that passed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.decision import arrivals
from services.decision.arrivals import moment
from services.decision.core.athlete import Receipt
from services.decision.core.course import begin
from services.decision.core.stalling import NOTHING_HEARD, SAME_STEP, stalled, stalls
from services.decision.ledger import entries
from services.decision.reminders import told_of_time
from services.decision.store.rows import Head, TimerRow
from shared.events import parse
from tests.property.histories import BEGIN, PACKS, Raw, event, receive_all, session, started


def due(raws: list[Raw]) -> dict[str, str]:
    return dict(receive_all(raws)[1][-1].due)


def reached(kind: str, at: str, number: int = 900) -> Raw:
    return event(number, "time.reached", moment(at), {"course": "c1", "kind": kind}, course=None)


def test_a_course_that_is_not_heard_of_stalls_at_nine_after_fourteen_whole_dates() -> None:
    assert due([started(start_step="W1"), *session(10, 1)])["nothing_heard"] == "2026-03-19T08:00:00Z"


def test_before_the_first_run_it_takes_twenty_eight() -> None:
    assert due([started()]) | {"nothing_heard": "2026-03-31T07:00:00Z"} == due([started()])


def test_whatever_is_sent_begins_the_days_anew_and_what_time_brings_does_not() -> None:
    raws = [started(start_step="W1"), *session(10, 1)]
    assert due([*raws, event(50, "wellness.reported", BEGIN + timedelta(days=9), {"mood": 5}, None)])["nothing_heard"] > "2026-03-26"
    later = due([*raws, reached("valid_until", "2026-03-10T23:00:00Z")])
    assert later["nothing_heard"] == "2026-03-19T08:00:00Z"


def test_a_stall_is_said_once_and_the_other_kind_follows() -> None:
    raws = [started(start_step="W1"), *session(10, 1), reached("nothing_heard", "2026-03-19T08:00:00Z")]
    assert due(raws) | {"same_step": "2026-03-31T07:00:00Z"} == due(raws)
    assert "nothing_heard" not in due(raws)
    raws.append(reached("same_step", "2026-03-31T07:00:00Z", 901))
    assert not {"nothing_heard", "same_step"} & due(raws).keys()


def test_a_report_that_arrives_late_shows_that_there_was_no_silence_and_the_days_begin_with_it() -> None:
    raws = [started(start_step="W1"), *session(10, 1), reached("nothing_heard", "2026-03-19T08:00:00Z")]
    assert due([*raws, event(50, "wellness.reported", BEGIN + timedelta(days=16), {"mood": 5}, None)])["nothing_heard"] > "2026-04"


def test_a_step_that_changes_begins_its_days_anew() -> None:
    raws = [started(start_step="W1"), *session(10, 1), *session(20, 3), *session(30, 5, step="W2")]
    silent = [*raws, reached("nothing_heard", due(raws)["nothing_heard"])]
    assert due(silent)["same_step"] == "2026-04-05T07:00:00Z"


@pytest.mark.parametrize(("kind", "days"), [(NOTHING_HEARD, 9), (SAME_STEP, 11)])
def test_until_a_window_that_is_known_ends_no_day_of_silence_or_of_standing_still_counts(kind: str, days: int) -> None:
    (line,) = receive_all([started(start_step="W3"), *session(10, 1)])[0]._lines.values()
    course = line.course
    begun = {NOTHING_HEARD: course.day(course.heard), SAME_STEP: BEGIN.date()}[kind]
    without, until = (dict(stalls(course, window))[kind].date() for window in (None, begun + timedelta(days=days)))
    assert until - without == timedelta(days=days)


@pytest.mark.parametrize("kind", ["course.paused", "course.ended"])
def test_a_course_that_is_paused_or_over_does_not_stall(kind: str) -> None:
    raws = [started(start_step="W1"), *session(10, 1), event(60, kind, BEGIN + timedelta(days=4), {"course": "c1"})]
    assert not {"nothing_heard", "same_step"} & due(raws).keys()


def passed(kind: str, late: timedelta = timedelta(seconds=1), stored: int = 4) -> tuple[str, dict[str, Any]] | None:
    """What is told when a date of this kind is noticed so late."""
    at = datetime(2026, 3, 9, 8, tzinfo=UTC)
    arrival = arrivals.time_reached(TimerRow("t", "c1", kind, "a1", 3, at), at + late)
    made = receive_all([started(start_step="W1"), *session(10, 1)])[1][-1]
    return told_of_time(arrival, made, stored)


def test_each_date_is_told_as_what_it_is() -> None:
    kinds = ("report_due", "valid_until", "nothing_heard", "same_step", "eligible_from")
    told = [passed(kind) for kind in kinds]
    assert [one and one[0] for one in told] == ["report.due", "recommendation.expired", "course.stalled", "course.stalled", None]
    assert told[2] is not None and told[2][1]["body"]["days"] == 14 and told[2][1]["body"]["step"] == "W1"


def test_what_was_noticed_long_after_is_not_told() -> None:
    assert passed("report_due", timedelta(hours=24)) is not None and passed("report_due", timedelta(hours=25)) is None
    for kind in ("valid_until", "nothing_heard", "same_step"):
        assert passed(kind, timedelta(days=7)) is not None and passed(kind, timedelta(days=7, seconds=1)) is None


def test_a_missing_report_inherits_the_terms_of_what_the_decision_rests_on() -> None:
    told = passed("report_due")
    assert told is not None and "e10" in told[1]["rests_on"]


def test_what_ran_out_is_the_decision_that_had_set_the_date_though_two_dates_come_at_once() -> None:
    at = datetime(2026, 3, 9, 23, tzinfo=UTC)
    made = receive_all([started(start_step="W1"), *session(10, 1)])[1]
    found = []
    for kind, decision in (("eligible_from", made[-2]), ("valid_until", made[-1])):
        arrival = arrivals.time_reached(TimerRow("t", "c1", kind, "a1", 3, at), at)
        cause = (arrival.source, arrival.id, arrival.type)
        arrival.receipt = Receipt("accepted", decisions=(decision._replace(cause=cause),))
        found.append(arrival)
    rows = [orjson.loads(row.body) for row in entries({3: Head(3, 1, 0, 0)}, found, {}).outbox]
    assert [(row["kind"], row.get("seq")) for row in rows] == [
        ("decision", made[-2].seq), ("recommendation.expired", made[-2].seq - 1), ("decision", made[-1].seq),
    ]  # fmt: skip
    assert rows[1]["at"] == "2026-03-09T23:00:00Z" and rows[1]["zone"] == "Europe/Berlin"


def test_a_window_that_is_known_only_later_does_not_make_the_same_stall_another() -> None:
    pack = PACKS.resolve("progressive-return")
    assert pack is not None
    course = begin(parse(started(start_step="W1"), internal=True), pack)
    heard, window = course.day(course.heard), course.day(course.heard) + timedelta(days=40)
    assert [kind for kind, _ in stalls(course, window)] == [NOTHING_HEARD, SAME_STEP]
    for kind in (NOTHING_HEARD, SAME_STEP):
        stalled(course, kind, heard + timedelta(days=28))
    assert [kind for kind, _ in stalls(course, window)] == [NOTHING_HEARD, SAME_STEP], "28 whole dates have not passed yet"
    for kind in (NOTHING_HEARD, SAME_STEP):
        stalled(course, kind, heard + timedelta(days=29))
    assert list(stalls(course, window)) == []

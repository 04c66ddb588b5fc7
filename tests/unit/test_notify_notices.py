"""What a course is told, and when; what each kind of endpoint reads of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.notify.messages import Unreadable, read
from services.notify.notices import Course, Notice, consider, notice_id, release, replaced_types
from services.notify.payloads import record_of, rendered
from services.notify.release import Blocked, Reader, Told, judged

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = 60.0


def decision(seq: int, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": f"d{seq}", "course": "c-1", "subject": "athlete-1", "seq": seq, "action": "hold", "from_step": "W2", "to_step": "W2",
        "dose": {"run_s": 60}, "running": "as_dosed", "rest_days": 1, "urgency": "routine", "not_before": "2026-03-02", "valid_until": None,
        "stop_if": ["pain above 2"], "summary": "Pain 3 of 10: hold.", "reasons": [{"rule": "pain", "text": "pain"}], "answer": None,
        "referral": None, "supersedes": None, "as_of": "2026-03-01T11:00:00Z", "as_at": "2026-03-01T11:00:01Z", "blocking": ["night_pain"],
    }  # fmt: skip
    return {**base, **changes}


def tell(*decisions: dict[str, Any], every_s: float = 1.0) -> tuple[Course, list[tuple[float, Notice]]]:
    """The course after decisions `every_s` apart, and what was told at which second; windows are not waited for."""
    course, told = Course(), []
    for place, one in enumerate(decisions):
        at = place * every_s
        course, notices = consider(course, one, 100 + one["seq"], "athlete-1", NOW + timedelta(seconds=at), WINDOW)
        told += [(at, notice) for notice in notices]
    return course, told


def types(told: list[tuple[float, Notice]]) -> list[str]:
    return [notice.type for _, notice in told]


def test_the_first_decision_of_a_course_is_told_at_once() -> None:
    course, told = tell(decision(1))
    assert types(told) == ["recommendation.changed"]
    assert course.waiting is None


def test_a_decision_with_the_same_advice_is_not_told() -> None:
    _, told = tell(decision(1), decision(2, summary="other words", rest_days=5), every_s=100)
    assert types(told) == ["recommendation.changed"]


@pytest.mark.parametrize(
    "change",
    [
        {"action": "regress"},
        {"to_step": "W3"},
        {"running": "withheld"},
        {"urgency": "review"},
        {"not_before": "2026-03-05"},
        {"not_before": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_the_advice_is_told_when_it_changes(change: dict[str, Any]) -> None:
    _, told = tell(decision(1), decision(2, **change), every_s=100)
    assert types(told) == ["recommendation.changed"] * 2


def test_within_a_window_the_latest_advice_waits_and_is_told_when_it_ends() -> None:
    course, told = tell(decision(1), decision(2, to_step="W3"), decision(3, to_step="W4"))
    assert types(told) == ["recommendation.changed"]
    early, nothing = release(course, NOW + timedelta(seconds=59))
    assert nothing == [] and early == course
    after, notices = release(course, NOW + timedelta(seconds=60))
    assert [(notice.type, notice.seq, notice.outbox) for notice in notices] == [("recommendation.changed", 3, 103)]
    assert after.waiting is None and after.told is not None and after.told.advice.to_step == "W4"


def test_advice_that_returns_to_what_was_told_is_not_told_again() -> None:
    course, told = tell(decision(1), decision(2, to_step="W3"), decision(3))
    assert len(told) == 1
    assert course.waiting is None


def test_a_rising_urgency_is_told_at_once_and_replaces_what_waits() -> None:
    course, told = tell(decision(1), decision(2, to_step="W3"), decision(3, urgency="review"))
    assert [(at, notice.seq) for at, notice in told] == [(0.0, 1), (2.0, 3)]
    assert course.waiting is None


def test_a_falling_urgency_waits() -> None:
    course, told = tell(decision(1, urgency="review"), decision(2))
    assert len(told) == 1 and course.waiting is not None


def test_a_referral_is_told_besides_and_first() -> None:
    _, told = tell(
        decision(1), decision(2, urgency="stop_and_refer", running="withheld"), decision(3, urgency="stop_and_refer", running="withheld")
    )
    assert types(told) == ["recommendation.changed", "course.referred", "recommendation.changed"]


def test_a_decision_that_supersedes_a_told_one_is_told_as_superseding() -> None:
    _, told = tell(decision(1), decision(2, to_step="W1", supersedes="d1"), every_s=100)
    assert types(told) == ["recommendation.changed", "recommendation.superseded"]


def test_superseding_a_decision_with_the_told_advice_counts_as_superseding_what_was_told() -> None:
    _, told = tell(decision(1), decision(2), decision(3, to_step="W1", supersedes="d2"), every_s=100)
    assert types(told) == ["recommendation.changed", "recommendation.superseded"]


def test_superseding_a_decision_nobody_was_told_of_is_an_ordinary_change() -> None:
    course, _ = tell(decision(1), decision(2, to_step="W3"), decision(3, to_step="W1", supersedes="d2"))
    _, notices = release(course, NOW + timedelta(seconds=60))
    assert [notice.type for notice in notices] == ["recommendation.changed"]


def test_that_a_told_decision_was_wrong_is_still_said_when_a_later_one_takes_its_place_in_the_window() -> None:
    course, _ = tell(decision(1), decision(2, to_step="W3", supersedes="d1"), decision(3, to_step="W4"))
    _, notices = release(course, NOW + timedelta(seconds=60))
    assert [(notice.type, notice.seq) for notice in notices] == [("recommendation.superseded", 3)]


@pytest.mark.law("once")
def test_a_decision_seen_before_changes_nothing() -> None:
    course, _ = tell(decision(1), decision(2, to_step="W3"))
    for seq in (1, 2):
        assert consider(course, decision(seq, to_step="W9"), 9, "athlete-1", NOW + timedelta(hours=1), WINDOW) == (course, [])


def test_an_accepted_advance_is_told_again_to_coaches_only() -> None:
    advance = {"action": "advance", "to_step": "W3"}
    _, told = tell(decision(1, **advance), decision(2, **advance, answer={"state": "accepted"}), every_s=100)
    assert [(notice.type, notice.audience) for _, notice in told] == [
        ("recommendation.changed", "everyone"),
        ("recommendation.changed", "coaches"),
    ]


@pytest.mark.parametrize(
    ("body", "to_coach"),
    [
        (decision(1), True),
        (decision(1, action="regress"), True),
        (decision(1, action="advance"), False),
        (decision(1, action="advance", answer={"state": "declined"}), False),
        (decision(1, action="advance", answer={"state": "modified"}), False),
        (decision(1, action="advance", answer={"state": "accepted"}), True),
        (decision(1, action="advance", answer="accepted"), True),
    ],
)
def test_a_coach_is_told_an_advance_only_once_it_was_accepted(body: dict[str, Any], to_coach: bool) -> None:
    record = record_of(Notice("recommendation.changed", 1, "athlete-1", body, "c-1", 1), body["as_at"])
    for role in ("coach", "athlete"):
        assert isinstance(judged(Reader(role), record), Told if to_coach else Blocked)
    assert judged(Reader("clinician"), record) == Told("whole")


def test_a_coach_is_never_told_referrals_or_refused_reports() -> None:
    for kind in ("course.referred", "event.refused", "recommendation.unanswered"):
        record = record_of(Notice(kind, 1, "athlete-1", decision(1), "c-1", 1), "")
        assert judged(Reader("coach"), record) is judged(Reader("athlete", frozenset({kind})), record) is None


@pytest.mark.parametrize("payload", ["thin", "full"])
@pytest.mark.parametrize("kind", ["recommendation.changed", "recommendation.superseded"])
def test_what_a_coach_reads_holds_no_symptom_flag_or_reason(kind: str, payload: str) -> None:
    body = decision(
        1, summary="SYMPTOM", reasons=["REASON"], blocking=["FLAG"], missing=["MISSING"], urgency="review", meanwhile="MEANWHILE"
    )
    record = record_of(Notice(kind, 1, "athlete-1", body, "c-1", 1), body["as_at"])
    sent = rendered(record, payload, "coach", "released")
    for word in (b"SYMPTOM", b"REASON", b"FLAG", b"MISSING", b"MEANWHILE", b"review"):
        assert word not in sent
    assert b"pain above 2" in sent


def test_a_thin_payload_says_what_changed_and_where_to_read_it() -> None:
    body = decision(7, course="c/1 ü")
    sent = orjson.loads(
        rendered(record_of(Notice("recommendation.changed", 1, "athlete-1", body, "c/1 ü", 7), body["as_at"]), "thin", "integrator")
    )
    assert list(sent) == ["type", "timestamp", "data"]
    assert (sent["type"], sent["timestamp"]) == ("recommendation.changed", body["as_at"])
    data = sent["data"]
    assert data.pop("fetch") == "/v1/courses/c%2F1%20%C3%BC/recommendation"
    assert data == {name: body[name] for name in data}
    assert {"id", "action", "from_step", "to_step", "running", "urgency", "not_before", "summary"} <= data.keys()
    assert not {"reasons", "blocking", "dose"} & data.keys()


def test_a_full_payload_is_the_decision() -> None:
    body = decision(7)
    sent = orjson.loads(
        rendered(record_of(Notice("recommendation.changed", 1, "athlete-1", body, "c-1", 7), body["as_at"]), "full", "clinician")
    )
    assert {**body, "fetch": sent["data"]["fetch"], "words": sent["data"]["words"]} == sent["data"]


def test_a_full_payload_of_twenty_kilobytes_is_sent_thin() -> None:
    body = decision(7, reasons=["x" * 20_000])
    kept = record_of(Notice("recommendation.changed", 1, "athlete-1", body, "c-1", 7), body["as_at"])
    assert rendered(kept, "full", "clinician") == rendered(kept, "thin", "clinician")
    assert len(rendered(kept, "full", "clinician")) < 20_000


def test_a_refused_event_is_told_with_path_reason_and_where_to_read_it() -> None:
    body = {"source": "urn:app/1", "id": "e 1", "type": "milepost.session.completed", "path": "data.step", "reason": "unknown step"}
    sent = orjson.loads(rendered(record_of(Notice("event.refused", 1, "athlete-1", body, None), NOW.isoformat()), "thin", "integrator"))
    assert sent["data"] == {**body, "subject": "athlete-1", "fetch": "/v1/events/urn%3Aapp%2F1/e%201"}


def test_the_webhook_id_follows_from_tenant_outbox_and_type_alone() -> None:
    # Golden: a change would make every receiver take old notices for new ones.
    assert notice_id("clinic-a", 17, "recommendation.changed") == "msg_24mpvcwdwjlapae3fxzqdsoksi"
    assert len({notice_id(t, o, k) for t in "ab" for o in (1, 2) for k in ("course.referred", "recommendation.changed")}) == 8
    assert "." not in notice_id("a.b", 1, "c.d")


def test_newer_advice_replaces_older_advice_but_no_standing_referral() -> None:
    advice = {"recommendation.changed", "recommendation.superseded"}
    assert replaced_types("recommendation.changed", "stop_and_refer") == advice
    assert replaced_types("recommendation.superseded", "routine") == advice | {"course.referred"}
    assert replaced_types("course.referred", "stop_and_refer") == {"course.referred"}
    for kind in ("course.started", "course.ended", "event.refused", "test", "endpoint.disabled"):
        assert replaced_types(kind, None) == set()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"outbox": 1, "kind": "decision", "tenant": "t", "athlete": "a", "body": {}}',
        b'{"outbox": 1, "kind": "decision", "tenant": "t", "athlete": "a", "body": "x"}',
        b'{"outbox": "x", "kind": "course.started", "tenant": "t", "athlete": "a", "body": {}}',
        b'{"outbox": 1, "kind": "unheard.of", "tenant": "t", "athlete": "a", "body": {}}',
        b'{"outbox": 1, "kind": "course.started", "tenant": "t", "athlete": "a", "body": []}',
        b'{"outbox": 1, "kind": ["x"], "tenant": "t", "athlete": "a", "body": []}',
        b"\xff",
    ],
)
def test_a_message_that_is_no_outbox_row_is_recognised(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read(data)


def test_an_outbox_row_is_read() -> None:
    row = {"outbox": 17, "kind": "decision", "tenant": "t", "athlete": "a", "course": "c-1", "cause": {}, "body": decision(1)}
    assert (read(orjson.dumps(row)).outbox, read(orjson.dumps(row)).body) == (17, decision(1))

"""What time itself brings is told to whom it concerns: a missing report, a recommendation that ran out, a stall."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.notify.consume import passed_on
from services.notify.messages import read
from services.notify.notices import Context, Notice, replaced_types
from services.notify.payloads import record_of, rendered
from services.notify.release import Blocked, Reader, Told, judged
from services.notify.store.telling import Telling

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STALL = {"course": "c-1", "at": "2026-03-17T08:00:00Z", "because": "nothing_heard", "step": "W2", "days": 14}
LONG = {**STALL, "because": "same_step", "days": 28}
MISSING = {"course": "c-1", "at": "2026-03-02T13:00:00Z", "report": "next_morning"}
RAN_OUT = {
    "id": "d4", "course": "c-1", "subject": "athlete-1", "seq": 4, "action": "advance", "from_step": "W2", "to_step": "W3",
    "dose": {"run_s": 60}, "running": "as_dosed", "urgency": "review", "summary": "Pain 1 of 10: advance.", "reasons": [], "answer": None,
    "valid_until": "2026-03-08", "expired_at": "2026-03-08T23:00:00Z",
}  # fmt: skip

ACCEPTED = {**RAN_OUT, "answer": {"state": "accepted"}}


def brought(kind: str, body: dict[str, Any], *terms: str) -> dict[str, Any]:
    notice = Notice(kind, 1, "athlete-1", body, "c-1", context=Context("Europe/Zurich", terms))
    return record_of(notice, "2026-03-17T08:00:01Z")


@pytest.mark.parametrize(
    "kind, body, told",
    [
        ("report.due", MISSING, {"clinician", "integrator", "athlete"}),
        ("course.stalled", STALL, {"clinician", "integrator", "athlete"}),
        ("course.stalled", LONG, {"clinician", "integrator"}),
        ("recommendation.expired", RAN_OUT, {"clinician", "integrator"}),
        ("recommendation.expired", ACCEPTED, {"clinician", "integrator", "athlete", "coach"}),
    ],
    ids=["missing", "silent", "same step", "unreleased", "released"],
)
def test_what_time_brings_is_told_to_whom_it_concerns(kind: str, body: dict[str, Any], told: set[str]) -> None:
    roles = ("clinician", "integrator", "athlete", "coach")
    assert {role for role in roles if isinstance(judged(Reader(role), brought(kind, body)), Told)} == told


def test_what_time_brings_heeds_the_terms_of_its_sources() -> None:
    assert isinstance(judged(Reader("coach"), brought("recommendation.expired", ACCEPTED, "no_coach")), Blocked)
    for kind, body in (("report.due", MISSING), ("course.stalled", STALL), ("recommendation.expired", ACCEPTED)):
        assert isinstance(judged(Reader("clinician", third_party=True), brought(kind, body, "no_third_party")), Blocked)


def test_what_time_brings_is_said_in_words_for_its_reader_in_the_athletes_zone() -> None:
    def words(kind: str, body: dict[str, Any], role: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(rendered(brought(kind, body), "thin", role, "status"))["data"]["words"]
        return found

    assert words("report.due", MISSING, "athlete")["reasons"][0] == "It was expected by Monday 2 March 2026, 14:00 (Europe/Zurich)."
    assert words("course.stalled", STALL, "athlete")["summary"] == "Nothing has been heard from you for at least 14 days."
    assert "at step W2 for at least 28 days" in words("course.stalled", LONG, "clinician")["summary"]
    assert words("recommendation.expired", ACCEPTED, "coach")["reasons"] == ["It was good until Sunday 8 March 2026."]
    assert words("recommendation.expired", RAN_OUT, "clinician")["reasons"][1] == "It had not been answered."


def test_of_what_ran_out_a_coach_reads_neither_step_nor_dose_nor_reason() -> None:
    for payload in ("thin", "full"):
        data = orjson.loads(rendered(brought("recommendation.expired", ACCEPTED), payload, "coach", "status"))["data"]
        assert set(data) == {"id", "course", "subject", "seq", "status", "valid_until", "expired_at", "words", "fetch"}


def test_a_reminder_waits_for_nothing_and_the_newest_of_its_type_is_enough() -> None:
    assert replaced_types("report.due", None) == {"report.due"}
    assert replaced_types("recommendation.changed", None) == {"recommendation.changed", "recommendation.superseded", "course.referred"}
    for kind, body, course in (("report.due", MISSING, None), ("course.stalled", STALL, None), ("recommendation.expired", ACCEPTED, "c-1")):
        assert Telling("t", Notice(kind, 1, "a", body, "c-1"), "2026-03-17T08:00:01Z", 1).ordered_under == course


def test_one_missing_report_is_one_notice_however_many_courses_it_is_missing_from() -> None:
    rows = [{"outbox": n, "kind": "report.due", "tenant": "t", "athlete": "a", "course": f"c-{n}", "body": MISSING} for n in (1, 2)]
    ids = {passed_on(read(orjson.dumps(row)), Context(), NOW).id for row in rows}
    assert len(ids) == 1

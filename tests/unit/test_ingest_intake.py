"""What becomes of one event: form, sender, sameness, clock, place on the bus."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.ingest.intake import Intake, Outcome, Sealed, too_deep
from services.ingest.remembered import Remembered
from shared.auth import ROLE_SCOPES, Principal
from shared.events import parse
from shared.placing import partition, pseudonym
from shared.settings import Settings

KEY = "11" * 32
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def sender(role: str = "integrator", tenant: str = "clinic-a", key_id: str = "k1") -> Principal:
    return Principal(key_id, tenant, role, ROLE_SCOPES[role], "a key")


@pytest.fixture
def intake() -> Intake:
    return Intake(Settings(pseudonym_key=KEY, max_event_bytes=2048), lambda: NOW)


def symptom(**attributes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "urn:test",
        "type": "milepost.symptom.reported",
        "subject": "athlete-1",
        "time": "2026-03-10T07:00:00Z",
        "data": {"when": "daily", "pain_nrs": 2},
    } | attributes


def clearance(**data: Any) -> dict[str, Any]:
    return symptom(type="milepost.clearance.recorded", data={"gate": "imaging_healing", "granted": True} | data)


def sealed(intake: Intake, raw: object, principal: Principal) -> Sealed:
    judged = intake.judge(intake.begin(principal), 0, raw)
    assert isinstance(judged, Sealed), judged
    return judged


def rejected(intake: Intake, raw: object, principal: Principal) -> Outcome:
    judged = intake.judge(intake.begin(principal), 0, raw)
    assert isinstance(judged, Outcome)
    assert judged.outcome == "rejected"
    return judged


def test_an_event_gets_its_tenant_and_the_time_it_was_received(intake):
    body = json.loads(sealed(intake, symptom(), sender()).payload)
    assert body["tenant"] == "clinic-a"
    assert body["recordedtime"] == "2026-03-10T12:00:00.000000Z"
    assert parse(body).data == symptom()["data"]


def test_an_event_goes_where_all_of_its_athlete_go_and_the_subject_names_nobody(intake):
    subject = sealed(intake, symptom(), sender()).subject
    assert subject == f"ev.{partition('clinic-a', 'athlete-1')}.{pseudonym(bytes.fromhex(KEY), 'clinic-a', 'athlete-1')}"
    assert "athlete-1" not in subject


@pytest.mark.law("no-crossing")
def test_the_same_athlete_id_of_two_tenants_is_two_athletes(intake):
    ours, theirs = (sealed(intake, symptom(), sender(tenant=tenant)).subject for tenant in ("clinic-a", "clinic-b"))
    assert ours != theirs


@pytest.mark.parametrize("attribute", ["tenant", "recordedtime"])
@pytest.mark.parametrize("value", ["clinic-b", "2026-03-10T12:00:00Z", None])
def test_what_only_ingest_sets_is_refused_from_outside(intake, attribute, value):
    outcome = rejected(intake, symptom(**{attribute: value}), sender())
    assert (outcome.status, [fault.path for fault in outcome.faults]) == (422, [attribute])


def test_a_subject_that_stands_for_an_erased_athlete_is_refused(intake):
    faults = rejected(intake, symptom(subject="erased-" + 32 * "a"), sender()).faults
    assert [fault.path for fault in faults] == ["subject"]
    assert sealed(intake, symptom(subject="erased-by-hand"), sender())


def test_faults_of_form_come_with_those_of_the_envelope(intake):
    outcome = rejected(intake, symptom(tenant="x", data={"when": "daily", "pain_nrs": 11}), sender())
    assert [fault.path for fault in outcome.faults] == ["tenant", "data.pain_nrs"]


def test_a_time_more_than_five_minutes_ahead_is_refused(intake):
    sealed(intake, symptom(time="2026-03-10T12:05:00Z"), sender())
    assert [fault.path for fault in rejected(intake, symptom(time="2026-03-10T12:05:01Z"), sender()).faults] == ["time"]
    corrected = symptom(type="milepost.event.corrected", data={"corrects": "e", "time": "2026-03-11T00:00:00Z", "data": {"when": "daily"}})
    assert [fault.path for fault in rejected(intake, corrected, sender()).faults] == ["data.time"]


@pytest.mark.law("once")
def test_an_event_that_is_on_disk_is_a_duplicate_when_it_comes_again(intake):
    intake.accept(sealed(intake, symptom(), sender()))
    again = intake.judge(intake.begin(sender()), 3, symptom(traceparent="00-a-b-01"))
    assert isinstance(again, Outcome)
    assert (again.index, again.outcome, again.status) == (3, "duplicate", 202)


@pytest.mark.law("once")
def test_an_event_that_is_not_yet_on_disk_is_not_answered_as_a_duplicate(intake):
    sealed(intake, symptom(), sender())
    sealed(intake, symptom(), sender())


def test_the_same_id_with_other_content_is_refused_and_the_first_stays(intake):
    intake.accept(sealed(intake, symptom(), sender()))
    outcome = rejected(intake, symptom(data={"when": "daily", "pain_nrs": 3}), sender())
    assert (outcome.status, [fault.path for fault in outcome.faults]) == (409, ["id"])
    assert isinstance(intake.judge(intake.begin(sender()), 0, symptom()), Outcome)


def test_the_same_id_of_another_tenant_or_source_is_another_event(intake):
    intake.accept(sealed(intake, symptom(), sender()))
    sealed(intake, symptom(), sender(tenant="clinic-b"))
    sealed(intake, symptom(source="urn:other"), sender())


def test_an_event_twice_in_one_request_is_a_duplicate_and_changed_it_is_a_conflict(intake):
    judging = intake.begin(sender())
    assert isinstance(intake.judge(judging, 0, symptom()), Sealed)
    again = intake.judge(judging, 1, symptom())
    changed = intake.judge(judging, 2, symptom(subject="athlete-2"))
    assert isinstance(again, Outcome) and again.outcome == "duplicate"
    assert isinstance(changed, Outcome) and changed.status == 409


def test_an_event_is_bounded_in_bytes_and_depth(intake):
    big = symptom(type="milepost.event.retracted", data={"retracts": "e", "reason": "x" * 1900})
    assert rejected(intake, big, sender()).status == 413
    deep: Any = {}
    for _ in range(40):
        deep = {"x": deep}
    assert "levels of nesting" in rejected(intake, symptom(data=deep), sender()).faults[0].expected
    assert too_deep([[[[]]]], 3)


@pytest.mark.parametrize("raw", [None, 7, "x", [symptom()]])
def test_what_is_not_an_object_is_rejected_without_a_name(intake, raw):
    outcome = rejected(intake, raw, sender())
    assert (outcome.source, outcome.id, outcome.faults[0].path) == (None, None, "")


def test_who_did_it_comes_from_the_credential(intake):
    body = json.loads(sealed(intake, clearance(), sender("clinician")).payload)
    assert body["data"]["by"] == {"id": "key:k1", "role": "clinician"}


def test_a_system_may_name_the_person_its_key_vouches_for(intake):
    body = json.loads(sealed(intake, clearance(by={"id": "dr-7", "role": "clinician"}), sender("clinician")).payload)
    assert body["data"]["by"] == {"id": "dr-7", "role": "clinician"}


@pytest.mark.parametrize(
    ("by", "path"),
    [({"id": "dr-7", "role": "coach"}, "data.by.role"), ({"id": "key:other"}, "data.by.id"), ({"role": ["clinician"]}, "data.by.role")],
)
def test_another_role_or_another_key_is_not_permitted(intake, by, path):
    outcome = rejected(intake, clearance(by=by), sender("clinician"))
    assert (outcome.status, [fault.path for fault in outcome.faults]) == (403, [path])


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("milepost.clearance.recorded", {"gate": "red_flag_review", "granted": True}),
        ("milepost.recommendation.answered", {"answer": "accepted"}),
        ("milepost.course.adjusted", {"step": "W9", "reason": "feels good"}),
        ("milepost.event.corrected", {"corrects": "e", "data": {"gate": "red_flag_review", "granted": True}}),
        ("milepost.event.corrected", {"corrects": "e", "data": {"x": 1, "by": {"id": "dr-7", "role": "clinician"}}}),
        ("milepost.event.corrected", {"corrects": "e", "data": {"start_step": "W9"}}),
        (
            "milepost.course.started",
            {
                "course": "c",
                "protocol": "progressive-return",
                "injury": {"tissue": "joint", "site": "knee", "side": "left"},
                "timezone": "UTC",
                "start_step": "W9",
            },
        ),
    ],
)
def test_what_a_clinician_decides_takes_a_clinicians_key(intake, event_type, data):
    raw = symptom(type=event_type, data=data)
    assert rejected(intake, raw, sender("integrator")).status == 403
    sealed(intake, raw, sender("clinician"))


def test_a_correction_of_what_a_clinician_decided_names_the_person_too(intake):
    raw = symptom(type="milepost.event.corrected", data={"corrects": "e", "data": {"gate": "imaging_healing", "granted": False}})
    body = json.loads(sealed(intake, raw, sender("clinician")).payload)
    assert body["data"]["data"]["by"] == {"id": "key:k1", "role": "clinician"}


@pytest.mark.parametrize("by", [None, "dr-7", {"id": 7}, {"id": "dr-7", "name": "x"}])
def test_a_malformed_by_is_a_fault_of_form(intake, by):
    outcome = rejected(intake, clearance(by=by), sender("clinician"))
    assert outcome.status == 422
    assert outcome.faults[0].path.startswith("data.by")


def test_judging_changes_nothing_of_what_was_sent(intake):
    raw = clearance(by={"id": "dr-7"})
    before = json.dumps(raw)
    sealed(intake, raw, sender("clinician"))
    assert json.dumps(raw) == before


def test_the_short_memory_forgets_the_oldest_and_keeps_the_first_content():
    memory = Remembered(most=2)
    memory.accept(("t", "s", "1"), b"a")
    memory.accept(("t", "s", "1"), b"b")
    assert memory.seen(("t", "s", "1"), b"a") == "same"
    memory.accept(("t", "s", "2"), b"a")
    memory.accept(("t", "s", "3"), b"a")
    assert memory.seen(("t", "s", "1"), b"a") == "new"
    assert memory.seen(("t", "s", "3"), b"x") == "other"

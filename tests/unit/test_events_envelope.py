"""The CloudEvent around the data: which attributes it may and must have."""

import copy
import json
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.events import Event, EventFault, Fault, content_digest, parse

STORIES = Path(__file__).parents[3] / "shared" / "acceptance"


def symptom(**attributes: Any) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "urn:test",
        "type": "milepost.symptom.reported",
        "subject": "athlete-1",
        "time": "2026-03-02T07:00:00+01:00",
        "data": {"when": "daily", "pain_nrs": 2},
    }
    return {name: value for name, value in {**event, **attributes}.items() if value is not ...}


def faults_of(obj: object, **options: bool) -> dict[str, Fault]:
    with pytest.raises(EventFault) as caught:
        parse(obj, **options)
    return {fault.path: fault for fault in caught.value.faults}


def test_an_event_keeps_what_was_sent_and_reads_its_instant():
    event = parse(symptom(course="c-1", traceparent="00-a-b-01", datacontenttype="application/json"))
    assert isinstance(event, Event)
    assert event.time.isoformat() == "2026-03-02T07:00:00+01:00"
    assert event.time_text == "2026-03-02T07:00:00+01:00"
    assert (event.course, event.tenant, event.recordedtime) == ("c-1", None, None)
    assert event.data == {"when": "daily", "pain_nrs": 2}
    assert event.extensions == {"traceparent": "00-a-b-01"}


def test_an_event_written_to_the_wire_is_read_back_equal():
    event = parse(symptom(course="c-1", tenant="t", recordedtime="2026-03-02T07:00:01Z", sequence="7"))
    assert parse(event.wire()) == event


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "subject", "time", "data"])
def test_a_missing_attribute_is_named(attribute):
    fault = faults_of(symptom(**{attribute: ...}))[attribute]
    assert fault.found == "nothing"


@pytest.mark.parametrize("obj", [None, [], "event", 7, True])
def test_what_is_not_an_object_is_a_fault_of_the_empty_path(obj):
    assert set(faults_of(obj)) == {""}


def test_every_fault_is_told_at_once():
    event = symptom(time="2026-03-02T07:00:00", id="", shoe="red", data={"when": "daily", "pain_nrs": 11, "payn": 1})
    assert set(faults_of(event)) == {"time", "id", "shoe", "data.pain_nrs", "data.payn"}


@pytest.mark.parametrize(
    "time",
    [
        "2026-03-02T07:00:00",
        "2026-03-02",
        "2026-03-02 07:00:00Z",
        "2026-02-30T07:00:00Z",
        "2026-03-02T24:00:00Z",
        "1899-12-31T23:59:59Z",
        "2201-01-01T00:00:00Z",
        "2026-03-02T07:00:60Z",
        "２０２６-03-02T07:00:00Z",
        1772434800,
        "",
    ],
)
def test_time_without_offset_or_out_of_range_is_refused(time):
    assert set(faults_of(symptom(time=time))) == {"time"}


@pytest.mark.parametrize("time", ["2026-03-02T07:00:00Z", "2026-03-02t07:00:00.123456z", "2026-03-02T07:00:00-11:30"])
def test_time_with_an_offset_is_read(time):
    assert parse(symptom(time=time)).time.tzinfo is not None


@pytest.mark.parametrize("attribute", ["id", "subject", "course", "tenant"])
@pytest.mark.parametrize("text", ["", "x" * 201, "a\x00b", "a\nb", "a\ud800b", 7, ["a"], True])
def test_identifiers_are_short_text_without_control_characters(attribute, text):
    assert attribute in faults_of(symptom(**{attribute: text}))


def test_a_source_that_is_no_uri_reference_is_refused():
    assert set(faults_of(symptom(source="clinic seven"))) == {"source"}


@pytest.mark.parametrize("attribute", ["course", "tenant", "traceparent", "datacontenttype", "sequence"])
def test_a_null_attribute_is_an_unset_attribute(attribute):
    assert parse(symptom(**{attribute: None})) == parse(symptom())


def test_other_content_types_and_binary_data_are_refused():
    assert set(faults_of(symptom(datacontenttype="text/xml"))) == {"datacontenttype"}
    assert "data_base64" in faults_of(symptom(data_base64="AAAA"))


def test_an_unknown_type_suggests_the_nearest():
    assert "milepost.symptom.reported" in faults_of(symptom(type="milepost.symptom.report"))["type"].do


def test_types_that_only_decision_appends_are_refused_from_outside_and_read_from_history():
    reached = symptom(
        type="milepost.time.reached", data={"course": "c-1", "kind": "valid_until", "at": "2026-03-09T00:00:00Z"}, course="c-1"
    )
    assert set(faults_of(reached)) == {"type"}
    assert parse(reached, internal=True).data["kind"] == "valid_until"
    faulted = symptom(
        type="milepost.engine.faulted",
        data={"course": "c-1", "engine": "durable", "kind": "disagreement", "tries": 1, "detail": "reference holds, durable advances"},
    )
    assert parse(faulted, internal=True).data["tries"] == 1


def test_the_course_attribute_agrees_with_the_course_in_the_data():
    ended = symptom(type="milepost.course.ended", data={"course": "c-1"}, course="c-2")
    assert set(faults_of(ended)) == {"course"}


def test_a_flood_of_unknown_fields_is_told_in_bounds():
    flood = symptom(**{f"x{index}": 1 for index in range(5000)}, data={f"y{index}": 1 for index in range(1500)})
    with pytest.raises(EventFault) as caught:
        parse(flood)
    assert 0 < len(caught.value.faults) <= 120


def test_the_digest_says_what_an_event_says_and_not_how_it_travelled():
    plain = symptom()
    travelled = {
        **copy.deepcopy(plain),
        "tenant": "t",
        "recordedtime": "2026-03-02T07:00:01Z",
        "traceparent": "00-a-b-01",
        "datacontenttype": "application/json",
        "course": None,
    }
    travelled["data"]["pain_nrs"] = 2.0
    assert content_digest(plain) == content_digest(travelled) == parse(travelled).digest()
    assert content_digest(plain) != content_digest(symptom(data={"when": "daily", "pain_nrs": 3}))
    assert content_digest(plain) != content_digest(symptom(course="c-1"))


def test_every_line_of_the_acceptance_stories_is_an_event():
    lines = [line for path in sorted(STORIES.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        event = parse(json.loads(line))
        assert event.digest() == content_digest(json.loads(line))
    assert lines or not STORIES.is_dir()


def test_an_event_with_another_time_has_another_place_in_the_order():
    first = parse(symptom())
    later = replace(first, time=first.time + timedelta(hours=1))
    assert later.key == (first.time + timedelta(hours=1), first.source, first.id)
    assert later.key[0].tzinfo is UTC

"""The data of each event type: names, enumerations, ranges, units, and the rules between fields."""

import math
from typing import Any

import pytest

from shared.events import INTERNAL_TYPES, TYPES, EventFault, Fault, parse, validate_data
from shared.events.catalogue import FLAGS, GATES, MEASURES, SITES, TESTS

BY = {"id": "key:1", "role": "clinician"}
INJURY = {"tissue": "bone", "site": "tibia_posteromedial", "side": "left"}

FULL: dict[str, dict[str, Any]] = {
    "milepost.course.started": {
        "course": "c-1",
        "protocol": "progressive-return@1.0.0",
        "injury": {
            **INJURY,
            "onset_date": "2026-01-05",
            "surgery_date": "2026-01-06",
            "delivery_date": "2025-12-01",
            "procedures": ["nailing"],
            "grade": "2a",
            "high_risk": False,
        },
        "timezone": "Europe/Berlin",
        "start_step": "W1",
        "sport": "endurance",
        "birth_year": 1990,
        "prior_injuries": ["left ankle sprain", {"tissue": "bone", "site": "metatarsal", "side": "right", "year": 2021}],
        "baseline": {
            "longest_run_m": 8000,
            "week_run_m": 25000,
            "sessions_per_week": 3,
            "usual_pace_s_per_km": 330,
            "cadence_spm": 168,
            "pain_nrs": 0,
            "hr_max_bpm": 188,
        },
        "goal": {"event_date": "2026-10-04", "distance_m": 21097.5, "duration_s": 6300, "terrain": "flat"},
    },
    "milepost.session.completed": {
        "session": "s-1",
        "kind": "run_walk",
        "step": "W1",
        "planned": True,
        "completed": True,
        "stopped_for": "pain",
        "duration_s": 1800.5,
        "run_s": 360,
        "walk_s": 1440,
        "reps": 6,
        "distance_m": 3000,
        "run_distance_m": 1000,
        "rpe": 3,
        "rpe_scale": "cr10",
        "hr_avg_bpm": 131,
        "hr_max_bpm": 155,
        "surface": "treadmill",
        "body_weight_pct": 100,
        "terrain": "flat",
        "ascent_m": 3,
        "descent_m": 3,
        "speed_pct_max": 60,
        "gait_changed": False,
        "technique_ok": True,
        "technique_by": "clinician",
    },
    "milepost.session.skipped": {"step": "W1", "reason": "illness"},
    "milepost.symptom.reported": {
        "session": "s-1",
        "when": "after",
        "pain_nrs": 2,
        "pain_change": "same",
        "location": "injured",
        "site": "knee",
        "side": "left",
        "soreness": "none",
        "settled": True,
        "settled_min": 30,
        "swelling": "1+",
        "swelling_change": "same",
        "stiffness_change": "lower",
        "stiffness_min": 10,
        "graded_by": "self",
        "analgesic": "none",
        "flags": ["night_pain", "foot_drop"],
    },
    "milepost.sensor.summarised": {
        "session": "s-1",
        "segment": "whole",
        "device": {"maker": "garmin", "model": "fenix", "origin": "native"},
        "coverage_pct": 98,
        "cadence_spm": 167.5,
        "ground_contact_ms": 271,
        "vertical_oscillation_mm": 97.5,
        "step_length_mm": 1141,
        "contact_balance_left_pct": 50.2,
        "leg_stiffness_kn_per_m": 9.8,
        "loading_rate_bw_per_s": 60,
        "impact_g": 6,
        "pronation_deg": -8.5,
        "foot_strike": "rear",
        "speed_m_per_s": 2.8,
        "power_w": 240,
    },
    "milepost.milestone.assessed": {
        "test": "heel_raises",
        "value": 27,
        "unit": "count",
        "side": "left",
        "lsi_pct": 96,
        "reference": "other_limb",
        "pain_nrs": 0,
        "passed": True,
        "assessor": "clinician",
    },
    "milepost.wellness.reported": {
        "sleep_h": 7.5,
        "fatigue": 3,
        "stress": 2,
        "mood": 8,
        "illness": "none",
        "readiness": {"scale": "i_prrs", "score": 52},
    },
    "milepost.clearance.recorded": {"gate": "imaging_healing", "granted": True, "by": BY, "valid_until": "2026-06-01"},
    "milepost.recommendation.answered": {
        "decision": "d-1",
        "of": {"action": "advance", "from_step": "W1", "to_step": "W2"},
        "answer": "modified",
        "step": "W1",
        "reason": "sleeps badly",
        "by": BY,
    },
    "milepost.course.adjusted": {
        "step": "W3",
        "limits": {"sessions_per_week": 3, "run_s": 1200, "terrain": "flat", "speed_pct_max": 80},
        "until": "2026-04-01",
        "reason": "long journey",
        "by": BY,
    },
    "milepost.course.paused": {"course": "c-1", "reason": "holiday"},
    "milepost.course.resumed": {"course": "c-1", "reason": "back"},
    "milepost.course.ended": {"course": "c-1", "reason": "runs again"},
    "milepost.event.corrected": {
        "corrects": "e-1",
        "corrects_source": "urn:test",
        "time": "2026-03-02T07:00:00Z",
        "data": {"when": "daily", "pain_nrs": 1},
    },
    "milepost.event.retracted": {"retracts": "e-1", "retracts_source": "urn:test", "reason": "another athlete"},
    "milepost.time.reached": {"course": "c-1", "kind": "report_due"},
    "milepost.engine.faulted": {"course": "c-1", "engine": "durable", "kind": "fault", "tries": 3, "detail": "no answer in 2 s"},
    "milepost.course.migrated": {
        "course": "c-1",
        "protocol": "mil-knee-overuse@2.0.0",
        "from_hash": "sha256:a",
        "to_hash": "sha256:b",
        "step": "P2",
        "reason": "the newer version",
        "by": {"id": "k1", "role": "clinician"},
    },
}


def fault_at(event_type: str, path: str, value: Any) -> Fault:
    """The only fault of the full example when the value at the path is replaced."""
    data = _replaced(FULL[event_type], path.split("."), value)
    with pytest.raises(EventFault) as caught:
        validate_data(event_type, data)
    assert [fault.path for fault in caught.value.faults] == [f"data.{path}"]
    return caught.value.faults[0]


def _replaced(data: dict[str, Any], steps: list[str], value: Any) -> dict[str, Any]:
    inner = value if len(steps) == 1 else _replaced(data[steps[0]], steps[1:], value)
    return {**data, steps[0]: inner}


def leaves(value: Any, path: str = "") -> list[str]:
    if not isinstance(value, dict):
        return [path]
    return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}" if path else key)]


LEAVES = [(event_type, path) for event_type in FULL for path in leaves(FULL[event_type]) if not path.startswith("data.")]


@pytest.mark.parametrize("event_type", [*TYPES, *INTERNAL_TYPES])
def test_every_field_of_the_contract_is_accepted_as_sent(event_type):
    assert validate_data(event_type, FULL[event_type]) == FULL[event_type]


@pytest.mark.parametrize("event_type", [*TYPES, *INTERNAL_TYPES])
def test_an_unknown_field_is_refused_by_its_path(event_type):
    assert fault_at(event_type, "shoe_size", 43).found == "an unknown field"


@pytest.mark.parametrize(("event_type", "path"), LEAVES)
def test_null_is_refused_everywhere_for_absent_is_how_to_say_unknown(event_type, path):
    fault = fault_at(event_type, path, None)
    assert (fault.found, fault.do) == ("null", "leave the field out when it is not known")


@pytest.mark.parametrize(("event_type", "path"), LEAVES)
def test_an_object_where_a_plain_value_belongs_is_refused_by_its_path(event_type, path):
    assert fault_at(event_type, path, {"x": {"y": 1}}).found == "an object with 1 fields"


def value_at(event_type: str, path: str) -> Any:
    value: Any = FULL[event_type]
    for step in path.split("."):
        value = value[step]
    return value


NUMBERS = [(t, p) for t, p in LEAVES if type(value_at(t, p)) in (int, float)]
TRUTHS = [(t, p) for t, p in LEAVES if type(value_at(t, p)) is bool]
TEXTS = [(t, p) for t, p in LEAVES if type(value_at(t, p)) is str]


@pytest.mark.parametrize(("event_type", "path"), NUMBERS)
@pytest.mark.parametrize("value", ["7", True, -1e9, 1e9, 2**60, math.nan, math.inf])
def test_numbers_are_numbers_in_range(event_type, path, value):
    fault_at(event_type, path, value)


@pytest.mark.parametrize(("event_type", "path"), TRUTHS)
@pytest.mark.parametrize("value", ["true", 1, 0, "yes"])
def test_true_and_false_are_not_words_or_numbers(event_type, path, value):
    fault_at(event_type, path, value)


@pytest.mark.parametrize(("event_type", "path"), TEXTS)
@pytest.mark.parametrize("value", ["", "x" * 5000, "a\x00", "\ud800"])
def test_texts_are_bounded_and_fit_for_storage(event_type, path, value):
    fault_at(event_type, path, value)


def test_a_whole_number_sent_as_a_decimal_becomes_an_integer():
    data = validate_data("milepost.session.completed", {"session": "s", "kind": "run", "reps": 6.0, "rpe": 3.0, "duration_s": 10.5})
    assert (repr(data["reps"]), repr(data["rpe"]), repr(data["duration_s"])) == ("6", "3", "10.5")


def test_a_fraction_where_a_count_belongs_is_refused():
    assert fault_at("milepost.session.completed", "reps", 2.5).expected == "a whole number from 0 to 1000"


@pytest.mark.parametrize(
    ("event_type", "required"),
    [
        ("milepost.course.started", {"course", "protocol", "injury", "timezone"}),
        ("milepost.session.completed", {"session", "kind"}),
        ("milepost.session.skipped", {"reason"}),
        ("milepost.symptom.reported", {"when"}),
        ("milepost.sensor.summarised", {"session", "device"}),
        ("milepost.milestone.assessed", {"test", "assessor"}),
        ("milepost.wellness.reported", set()),
        ("milepost.clearance.recorded", {"gate", "granted", "by"}),
        ("milepost.recommendation.answered", {"answer", "by"}),
        ("milepost.course.adjusted", {"reason", "by"}),
        ("milepost.course.ended", {"course"}),
        ("milepost.event.corrected", {"corrects", "data"}),
        ("milepost.event.retracted", {"retracts", "reason"}),
    ],
)
def test_only_what_the_contract_requires_is_required(event_type, required):
    validate_data(event_type, {name: FULL[event_type][name] for name in required})
    for name in required:
        with pytest.raises(EventFault) as caught:
            validate_data(event_type, {key: FULL[event_type][key] for key in required - {name}})
        assert [(fault.path, fault.found) for fault in caught.value.faults] == [(f"data.{name}", "nothing")]


@pytest.mark.parametrize(
    ("event_type", "path", "words"),
    [
        ("milepost.course.started", "injury.site", SITES),
        ("milepost.clearance.recorded", "gate", GATES),
        ("milepost.milestone.assessed", "test", tuple(test for test in TESTS if test not in MEASURES)),
    ],
)
def test_every_word_of_a_catalogue_is_accepted_and_no_other(event_type, path, words):
    for word in words:
        validate_data(event_type, _replaced(FULL[event_type], path.split("."), word))
    fault_at(event_type, path, "elbow")


def test_a_fault_in_a_list_is_named_with_its_place():
    with pytest.raises(EventFault) as caught:
        validate_data("milepost.symptom.reported", {"when": "daily", "flags": ["night_pain", "nigt_pain"]})
    (fault,) = caught.value.faults
    assert (fault.path, fault.do) == ("data.flags[1]", "did you mean night_pain?")


def test_all_red_flags_fit_into_one_report():
    assert validate_data("milepost.symptom.reported", {"when": "daily", "flags": list(FLAGS)})["flags"] == list(FLAGS)


def test_settled_minutes_contradict_not_settled():
    validate_data("milepost.symptom.reported", {"when": "after", "settled_min": 30})
    with pytest.raises(EventFault) as caught:
        validate_data("milepost.symptom.reported", {"when": "after", "settled_min": 30, "settled": False})
    assert [fault.path for fault in caught.value.faults] == ["data.settled_min"]


@pytest.mark.parametrize(
    ("test", "value", "unit", "path"),
    [
        ("ankle_dorsiflexion_knee_to_wall", 11, "mm", "data.unit"),
        ("ankle_dorsiflexion_knee_to_wall", 110, "cm", "data.value"),
        ("visa_a", 101, None, "data.value"),
        ("leg_stiffness", 9, "N/m", "data.unit"),
    ],
)
def test_the_value_of_a_test_is_in_the_unit_and_range_of_the_test(test, value, unit, path):
    data = {"test": test, "assessor": "clinician", "value": value} | ({"unit": unit} if unit else {})
    with pytest.raises(EventFault) as caught:
        validate_data("milepost.milestone.assessed", data)
    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_readiness_score_lies_on_its_own_scale():
    with pytest.raises(EventFault) as caught:
        validate_data("milepost.wellness.reported", {"readiness": {"scale": "i_prrs", "score": 61}})
    assert [fault.path for fault in caught.value.faults] == ["data.readiness.score"]


@pytest.mark.parametrize("protocol", ["Progressive", "a b", "-x", "x@", "x@1@2", "x" * 65])
def test_a_protocol_is_an_id_with_or_without_version(protocol):
    fault_at("milepost.course.started", "protocol", protocol)


@pytest.mark.parametrize("zone", ["Europe/Berln", "CET+1", "../etc/passwd", "europe/berlin"])
def test_a_zone_is_one_of_the_zone_list(zone):
    assert fault_at("milepost.course.started", "timezone", zone).expected == "a time zone of the IANA list, as in Europe/Berlin"


@pytest.mark.parametrize("date", ["2026-02-30", "2026-1-5", "2026-01-05T00:00:00Z", "20260105", "0001-01-01"])
def test_a_date_is_a_day_of_the_calendar(date):
    fault_at("milepost.course.started", "injury.onset_date", date)


def test_the_new_data_of_a_correction_is_whole_and_bounded():
    assert fault_at("milepost.event.corrected", "data", {}).found == "an empty object"
    deep: Any = 1
    for _ in range(30):
        deep = {"x": deep}
    with pytest.raises(EventFault) as caught:
        validate_data("milepost.event.corrected", {"corrects": "e", "data": {"y": deep}})
    assert "levels of nesting" in caught.value.faults[0].expected
    with pytest.raises(EventFault):
        validate_data("milepost.event.corrected", {"corrects": "e", "data": {"y": list(range(5000))}})


def test_data_that_is_not_an_object_is_refused():
    for data in (list[int](), "x", None, 3):
        with pytest.raises(EventFault) as caught:
            validate_data("milepost.symptom.reported", data)
        assert [fault.path for fault in caught.value.faults] == ["data"]


def test_a_fault_never_repeats_more_than_a_glimpse_of_what_was_sent():
    fault = fault_at("milepost.symptom.reported", "site", "my name is " + "x" * 300)
    assert len(fault.found) <= 70


def test_the_data_of_an_event_does_not_share_what_the_sender_holds():
    data: dict[str, Any] = {"when": "daily", "flags": ["night_pain"]}
    obj = {
        "specversion": "1.0",
        "id": "1",
        "source": "urn:t",
        "type": "milepost.symptom.reported",
        "subject": "a",
        "time": "2026-03-02T07:00:00Z",
        "data": data,
    }
    event = parse(obj)
    data["flags"].append("foot_drop")
    assert event.data["flags"] == ["night_pain"]

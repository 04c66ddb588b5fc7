"""FIT files as events: what they say, in the contract's units, and nothing they do not say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.ingest.formats.dynamics import cadence_spm
from services.ingest.formats.fit import SOURCE, Naming, Recording, recording
from services.ingest.formats.fit_messages import FileFault, read
from services.ingest.formats.fit_write import write_run_walk
from shared.events import parse

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "fit"
LIMIT = 200_000
START = datetime(2026, 3, 3, 17, 0, tzinfo=UTC)


def real(name: str, **naming: Any) -> Recording:
    return recording((RECORDINGS / name).read_bytes(), Naming("athlete-1", **naming), LIMIT)


def written(**options: Any) -> bytes:
    return write_run_walk(START, options.pop("reps", [(60, 240)] * 6), **options)


def session_of(made: Recording) -> dict[str, Any]:
    (event,) = (item for item in made.events if item["type"] == "milepost.session.completed")
    data: dict[str, Any] = event["data"]
    return data


def sensors_of(made: Recording) -> list[dict[str, Any]]:
    return [item["data"] for item in made.events if item["type"] == "milepost.sensor.summarised"]


def encoded(*messages: tuple[str, dict[str, Any]], fields: dict[int, tuple[dict[str, Any], dict[str, Any]]] | None = None) -> bytes:
    """A FIT file of these messages, with developer fields by key."""
    from garmin_fit_sdk import Encoder
    from garmin_fit_sdk.profile import Profile

    # The stubs want every field of a message; a file needs only some.
    encoder: Any = Encoder()
    for key, (app, description) in (fields or {}).items():
        encoder.add_developer_field(key, app, description)
    for kind, content in messages:
        encoder.write_mesg({"mesg_num": Profile["mesg_num"][kind], **content})
    return bytes(encoder.close())


FILE_ID = ("FILE_ID", {"type": "activity", "manufacturer": "garmin", "product": 1, "time_created": START})


def session(sport: str = "running", begin: datetime = START, seconds: float = 300, **content: Any) -> tuple[str, dict[str, Any]]:
    return (
        "SESSION",
        {"start_time": begin, "timestamp": begin, "total_timer_time": seconds, "total_elapsed_time": seconds, "sport": sport} | content,
    )


def records(count: int, begin: datetime = START, **content: Any) -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            "RECORD",
            {"timestamp": begin + timedelta(seconds=second), "enhanced_speed": 2.6, "distance": 2.6 * second, "cadence": 83} | content,
        )
        for second in range(count)
    ]


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the real recordings are not on this machine")
class TestRealRecordings:
    def test_a_run_with_native_dynamics_reads_as_published(self):
        made = real("run-fenix2-native-dynamics.fit")
        data = session_of(made)
        assert (data["distance_m"], data["duration_s"], data["kind"]) == (9008.22, 2832, "run")
        whole = sensors_of(made)[0]
        assert whole["device"] == {"maker": "garmin", "model": "fenix2", "origin": "native"}
        assert (whole["cadence_spm"], whole["vertical_oscillation_mm"], whole["ground_contact_ms"]) == (162, 106.2, 252)
        assert [item["segment"] for item in sensors_of(made)] == ["whole", "first_third", "last_third"]
        assert made.decoder == "garmin-fit-sdk"
        assert len(read((RECORDINGS / "run-fenix2-native-dynamics.fit").read_bytes(), LIMIT).of("record")) == 2809

    def test_compressed_timestamps_are_read_by_the_second_decoder(self):
        messages = read((RECORDINGS / "run-compressed-timestamps.fit").read_bytes(), LIMIT)
        assert (messages.decoder, len(messages.of("record"))) == ("fitdecode", 755)

    def test_a_device_whose_clock_was_never_set_needs_the_start_from_the_sender(self):
        with pytest.raises(FileFault, match="clock of the device was not set"):
            real("run-compressed-timestamps.fit")
        made = real("run-compressed-timestamps.fit", start="2026-03-01T08:00:00+01:00")
        assert made.events[0]["time"] == "2026-03-01T07:00:00Z"
        assert session_of(made)["distance_m"] == 10248.67

    def test_a_plain_run_reads_as_published(self):
        made = real("run-plain.fit")
        data = session_of(made)
        assert (data["distance_m"], data["duration_s"], data["hr_avg_bpm"], data["hr_max_bpm"]) == (6001.89, 1953.485, 157, 184)
        assert (data["kind"], data["reps"]) == ("run", 1)
        assert len(read((RECORDINGS / "run-plain.fit").read_bytes(), LIMIT).of("record")) == 1945
        assert sensors_of(made)[0]["cadence_spm"] == pytest.approx(2 * 78.109375, abs=0.05)

    def test_a_file_cut_short_keeps_what_can_be_read_and_says_so(self):
        made = real("corrupt-unexpected-eof.fit")
        assert len(read((RECORDINGS / "corrupt-unexpected-eof.fit").read_bytes(), LIMIT).of("record")) == 14
        assert made.warnings == ["the file breaks off; what comes before was read"]
        assert session_of(made)["distance_m"] == 5.73

    def test_every_event_made_is_valid(self):
        for path in sorted(RECORDINGS.glob("*.fit")):
            for event in real(path.name, start="2026-03-01T08:00:00+01:00").events:
                parse(event)


def test_a_run_walk_is_split_into_what_was_run_and_what_was_walked():
    data = session_of(recording(written(rpe=3), Naming("a"), LIMIT))
    assert (data["kind"], data["run_s"], data["walk_s"], data["reps"], data["duration_s"]) == ("run_walk", 360, 1440, 6, 1800)
    assert data["run_distance_m"] == pytest.approx(936, rel=0.02)
    assert data["rpe"] == 3


def test_running_dynamics_of_a_run_walk_are_those_of_the_running():
    whole, first, last = sensors_of(recording(written(cadence_spm=170), Naming("a"), LIMIT))
    assert whole["cadence_spm"] == pytest.approx(170, abs=0.3)
    assert whole["step_length_mm"] == pytest.approx(1000 * 2.6 / (170 / 60), rel=0.02)
    assert (whole["segment"], first["segment"], last["segment"]) == ("whole", "first_third", "last_third")
    assert whole["coverage_pct"] == 100


def test_a_session_without_dynamics_still_tells_its_cadence():
    whole = sensors_of(recording(written(dynamics=False), Naming("a"), LIMIT))[0]
    assert "ground_contact_ms" not in whole
    assert whole["cadence_spm"] == pytest.approx(166, abs=0.3)


def test_the_same_file_makes_the_same_events():
    assert written() == written()
    assert recording(written(), Naming("a"), LIMIT) == recording(written(), Naming("a"), LIMIT)


def test_ids_come_from_the_content_and_names_from_the_sender():
    made = recording(written(), Naming("a", "c-1", None, "W1", False), LIMIT)
    assert {event["source"] for event in made.events} == {SOURCE}
    assert len({event["id"] for event in made.events}) == len(made.events)
    assert all(event["course"] == "c-1" for event in made.events)
    data = session_of(made)
    assert (data["step"], data["planned"], data["session"]) == ("W1", False, made.session)
    assert made.session.startswith("fit-")
    assert session_of(recording(written(), Naming("a", session="s-9"), LIMIT))["session"] == "s-9"


def test_a_file_cut_anywhere_is_read_in_part_or_refused_and_never_invented():
    whole = written(reps=[(60, 60)] * 2)
    for length in range(0, len(whole), 97):
        try:
            made = recording(whole[:length], Naming("a"), LIMIT)
        except FileFault as fault:
            assert str(fault)
            continue
        assert made.warnings
        # The summary stands at the end of the file: without it, totals of a part would pass for the whole.
        assert "duration_s" not in session_of(made)
        assert "run_s" not in session_of(made)


@pytest.mark.parametrize("file", [b"", b"\x00", b"not a fit file at all, but long enough", b"\x0e\x20\x00\x00\xff\xff\xff\x7f.FIT\x00\x00"])
def test_what_is_no_fit_file_is_refused_with_a_sentence(file):
    with pytest.raises(FileFault, match="send"):
        recording(file, Naming("a"), LIMIT)


def test_a_file_that_is_no_activity_is_refused():
    with pytest.raises(FileFault, match="no activity but 'course'"):
        recording(encoded(("FILE_ID", {"type": "course", "manufacturer": "garmin"})), Naming("a"), LIMIT)


def test_another_sport_is_cross_training_and_strength_is_strength():
    assert session_of(recording(encoded(FILE_ID, session("cycling")), Naming("a"), LIMIT))["kind"] == "cross_training"
    strength = session("training", sub_sport="strength_training")
    assert session_of(recording(encoded(FILE_ID, strength), Naming("a"), LIMIT))["kind"] == "strength"


def test_a_file_that_does_not_say_the_sport_is_refused():
    with pytest.raises(FileFault, match="which sport"):
        recording(encoded(FILE_ID, session("generic")), Naming("a"), LIMIT)


def test_a_multisport_file_is_one_session_for_each_sport_and_none_for_transitions():
    run_begin = START + timedelta(seconds=700)
    file = encoded(
        FILE_ID,
        session("cycling", START, 600),
        session("transition", START + timedelta(seconds=600), 100),
        session("running", run_begin, 300),
        *records(300, run_begin),
    )
    made = recording(file, Naming("a", session="tri"), LIMIT)
    sessions = [item["data"] for item in made.events if item["type"] == "milepost.session.completed"]
    assert [(item["session"], item["kind"]) for item in sessions] == [("tri-1", "cross_training"), ("tri-2", "run")]
    assert sessions[1]["run_s"] == 300


def test_a_fraction_of_a_stride_counts_and_strides_become_steps():
    assert cadence_spm({"cadence": 83, "fractional_cadence": 0.5}) == 167
    assert cadence_spm({"avg_running_cadence": 81}, "avg_") == 162
    assert cadence_spm({}) is None


def developer_field(number: int, name: str, unit: str) -> tuple[dict[str, Any], dict[str, Any]]:
    app = {"developer_data_index": 0, "application_id": list(range(16))}
    return app, {
        "developer_data_index": 0,
        "field_definition_number": number,
        "fit_base_type_id": 0x88,
        "field_name": name,
        "units": unit,
    }


def test_a_foot_pod_beside_the_watch_is_a_source_of_its_own_in_its_own_units():
    fields = {
        1: developer_field(7, "Leg Spring Stiffness", "kN/m"),
        2: developer_field(8, "Vertical Oscillation", "Centimeters"),
        3: developer_field(9, "Ground Time", "Milliseconds"),
        4: developer_field(10, "Form Power", "Watts"),
    }
    described = [("DEVELOPER_DATA_ID", fields[1][0]), *(("FIELD_DESCRIPTION", field[1]) for field in fields.values())]
    values: dict[str, Any] = {"developer_fields": {1: 9.75, 2: 7.25, 3: 268.0, 4: 70.0}, "vertical_oscillation": 97.5, "stance_time": 271.0}
    made = recording(encoded(FILE_ID, *described, *records(300, **values), session(), fields=fields), Naming("a"), LIMIT)
    whole = {item["device"]["origin"]: item for item in sensors_of(made) if item["segment"] == "whole"}
    assert whole["native"]["vertical_oscillation_mm"] == 97.5
    assert whole["native"]["ground_contact_ms"] == 271
    pod = whole["developer_field"]
    assert pod["device"] == {"origin": "developer_field", "maker": "stryd", "model": f"app {bytes(range(16)).hex()}"}
    assert (pod["vertical_oscillation_mm"], pod["ground_contact_ms"], pod["leg_stiffness_kn_per_m"]) == (72.5, 268, 9.75)


def test_a_developer_field_in_an_unknown_unit_is_left_out_and_named():
    fields = {1: developer_field(7, "Ground Time", "furlongs")}
    described = [("DEVELOPER_DATA_ID", fields[1][0]), ("FIELD_DESCRIPTION", fields[1][1])]
    file = encoded(FILE_ID, *described, *records(300, developer_fields={1: 268.0}), session(), fields=fields)
    made = recording(file, Naming("a"), LIMIT)
    assert {item["device"]["origin"] for item in sensors_of(made)} == {"native"}
    assert made.warnings == ["developer field 'Ground Time' is left out: its unit 'furlongs' is not known"]


def test_the_balance_of_ground_contact_is_left_out_for_its_side_is_not_known():
    made = recording(encoded(FILE_ID, *records(300, stance_time_balance=50.5), session()), Naming("a"), LIMIT)
    assert all("contact_balance_left_pct" not in item for item in sensors_of(made))
    assert "which side" in made.warnings[0]


def test_a_value_that_no_runner_has_is_left_out_and_named():
    made = recording(encoded(FILE_ID, *records(300), session(avg_heart_rate=12, max_heart_rate=150)), Naming("a"), LIMIT)
    assert "hr_avg_bpm" not in session_of(made)
    assert made.warnings == ["hr_avg_bpm is left out: expected a whole number from 20 to 260, found 12"]


def test_records_that_cover_too_little_leave_the_split_unknown():
    made = recording(encoded(FILE_ID, *records(100), session(seconds=300)), Naming("a"), LIMIT)
    assert "run_s" not in session_of(made)
    assert "33 % of the time" in made.warnings[0]


def test_a_sound_file_without_a_summary_is_summed_up_from_its_records():
    made = recording(encoded(FILE_ID, ("SPORT", {"sport": "running"}), *records(300)), Naming("a"), LIMIT)
    assert session_of(made)["duration_s"] == 299
    assert "summary of the session is missing" in made.warnings[0]


def test_more_messages_than_may_be_read_are_not_read():
    made = recording(encoded(FILE_ID, session(), *records(300)), Naming("a"), 100)
    assert made.warnings[0] == "the file has more than 100 messages; those after that were not read"
    assert "run_s" not in session_of(made)


def test_a_wrong_checksum_is_a_warning_and_no_refusal():
    file = bytearray(written())
    file[-1] ^= 0xFF
    made = recording(bytes(file), Naming("a"), LIMIT)
    assert made.warnings == ["the checksum of the file does not match; the values were taken as they stand"]
    assert session_of(made)["run_s"] == 360


@pytest.mark.parametrize("reps", [[], [(0, 0)]])
def test_a_session_without_a_second_cannot_be_written(reps):
    with pytest.raises(ValueError, match="no second"):
        write_run_walk(START, reps)


def test_a_start_without_offset_cannot_be_written():
    with pytest.raises(ValueError, match="aware"):
        write_run_walk(START.replace(tzinfo=None), [(60, 60)])


def test_what_a_person_says_of_the_session_goes_before_what_the_device_wrote():
    said = {"rpe": 4.5, "gait_changed": False, "technique_ok": True, "technique_by": "coach", "completed": True, "terrain": "flat"}
    data = session_of(recording(written(rpe=3), Naming("a", said=said), LIMIT))
    assert {name: data[name] for name in said} == said
    assert (data["run_s"], data["reps"]) == (360, 6)


def test_what_a_person_says_goes_with_a_session_that_is_no_run_too():
    made = recording(encoded(FILE_ID, session("cycling")), Naming("a", said={"rpe": 6}), LIMIT)
    assert (session_of(made)["kind"], session_of(made)["rpe"]) == ("cross_training", 6)

"""Data of earlier versions is read as today's; what senders could ever send, they can still send."""

import orjson
import pytest
from hypothesis import given, strategies as st

from shared.events import INTERNAL_TYPES, TYPES, EventFault, parse
from shared.events.versions import ATTRIBUTE, UPCASTS, current, upcast
from tests.golden.versions import EVENTS, TODAY, VOCABULARY, golden, narrower, path, read, vocabulary

FILES = [(event_type, version) for event_type in TODAY for version in range(1, current(event_type) + 1)]
CHAIN = {
    ("milepost.x", 1): lambda data: {**data, "b": data["a"] + 1},
    ("milepost.x", 2): lambda data: {"c": data["b"] * 10, "a": data["a"]},
    ("milepost.x", 3): lambda data: {"d": data["c"] - data["a"]},
}


def test_every_version_of_every_type_that_has_versions_has_its_golden_file():
    assert {event_type for event_type, _ in UPCASTS} <= TODAY.keys() == set(INTERNAL_TYPES)
    missing = [str(path(*one)) for one in FILES if not path(*one).exists()]
    assert not missing, "python -m tests.golden.versions writes today's; an earlier one comes from a history"
    assert {file.stem + file.suffix for file in EVENTS.iterdir()} == {path(*one).name for one in FILES}


@pytest.mark.law("same-bytes")
@pytest.mark.parametrize(("event_type", "version"), FILES)
def test_a_stored_event_of_any_version_is_read_as_it_always_was(event_type: str, version: int):
    kept = golden(event_type, version)
    before = orjson.dumps(kept["stored"])
    assert read(kept["stored"]) == kept["read"]
    assert orjson.dumps(kept["stored"]) == before, "what is stored never changes"
    assert read(kept["read"]) == kept["read"]
    assert kept["stored"].get(ATTRIBUTE) == (None if version == 1 else str(version))


@pytest.mark.parametrize(("event_type", "version"), sorted(UPCASTS))
def test_a_step_does_something_to_its_golden_event(event_type: str, version: int):
    data = golden(event_type, version)["stored"]["data"]
    assert UPCASTS[event_type, version](data) != data


def test_versions_have_no_gaps_and_no_step_leads_from_nowhere():
    for event_type, version in UPCASTS:
        assert 1 <= version < current(event_type)
        assert all((event_type, number) in UPCASTS for number in range(1, current(event_type)))


def test_what_senders_send_has_one_version_for_its_corrections_carry_none():
    assert not {event_type for event_type, _ in UPCASTS} & TYPES.keys()


@given(st.integers(), st.integers(1, 4))
def test_a_chain_of_steps_is_its_steps_one_after_another(a: int, version: int):
    data = {"a": a}
    for number in range(1, version):
        data = CHAIN["milepost.x", number](data)
    marked = {} if version == 1 else {ATTRIBUTE: str(version)}
    stored = {"type": "milepost.x", "id": "1", **marked, "data": data}
    assert upcast(stored, CHAIN) == {"type": "milepost.x", "id": "1", "data": {"d": (a + 1) * 10 - a}}


@pytest.mark.parametrize("version", ["3", "1", "0", "-1", "02", "²", "two", "", 2, None])
def test_a_version_that_this_release_does_not_know_is_refused_by_name(version: object):
    stored = golden("milepost.time.reached", 2)["stored"] | {ATTRIBUTE: version}
    if version is None:
        assert parse(stored, internal=True).data == TODAY["milepost.time.reached"], "null is unset"
        return
    with pytest.raises(EventFault) as raised:
        parse(stored, internal=True)
    assert [fault.path for fault in raised.value.faults] == [ATTRIBUTE]


def test_senders_have_no_versions_to_speak_of():
    event = golden("milepost.course.migrated", 1)["stored"]
    sent = event | {"type": "milepost.course.ended", "data": {"course": "c"}, ATTRIBUTE: "1"}
    with pytest.raises(EventFault) as raised:
        parse(sent)
    assert [fault.path for fault in raised.value.faults] == [ATTRIBUTE]


def test_everything_that_could_ever_be_sent_can_still_be_sent():
    before = orjson.loads(VOCABULARY.read_bytes())
    assert before.keys() == {*TYPES, *INTERNAL_TYPES}
    for event_type, old in before.items():
        assert narrower(old, vocabulary()[event_type], event_type) == []
    assert before == vocabulary(), "the vocabulary grew: python -m tests.golden.versions"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda schema: schema["properties"].pop("when"), "data.when: is gone"),
        (lambda schema: schema["required"].append("side"), "data.side: is required now"),
        (lambda schema: schema["properties"]["pain_nrs"].update(maximum=9), "data.pain_nrs: maximum 10 became 9"),
        (lambda schema: schema["properties"]["when"]["enum"].remove("daily"), "data.when: no longer takes ['daily']"),
        (lambda schema: schema["properties"]["settled"].update(type="string"), "data.settled: boolean became string"),
        (lambda schema: schema["properties"]["flags"].update(maxItems=3), "data.flags: maxItems 40 became 3"),
        (lambda schema: schema["properties"]["flags"]["items"]["enum"].remove("foot_drop"), "data.flags[]: no longer takes ['foot_drop']"),
    ],
)
def test_a_vocabulary_that_refuses_what_history_may_hold_is_found(change, said: str):
    old = vocabulary()["milepost.symptom.reported"]
    new = orjson.loads(orjson.dumps(old))
    change(new)
    assert narrower(old, new) == [said] and narrower(new, new) == []

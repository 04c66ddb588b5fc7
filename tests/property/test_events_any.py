"""Whatever JSON arrives, the answer is an event or a list of faults, never anything else."""

import copy
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, strategies as st

from services.ingest.intake import Intake, Outcome, Sealed
from shared.auth import ROLE_SCOPES, Principal
from shared.events import TYPES, EventFault, parse
from shared.settings import Settings

TEXT = st.text(max_size=8) | st.sampled_from([*TYPES, "1.0", "2026-03-02T07:00:00Z", "daily", "knee", "key:k1", "clinician", "data", "by"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)
NAMES = ("specversion", "id", "source", "type", "subject", "time", "course", "tenant", "recordedtime", "data", "sequence", "extra")

SYMPTOM = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "urn:test",
    "type": "milepost.symptom.reported",
    "subject": "athlete-1",
    "time": "2026-03-02T07:00:00Z",
    "data": {"when": "daily", "pain_nrs": 2, "flags": ["night_pain"]},
}
DATA = st.dictionaries(
    st.sampled_from(
        ["when", "pain_nrs", "flags", "settled", "settled_min", "by", "gate", "granted", "data", "corrects", "test", "value", "unit"]
    ),
    JSON,
    max_size=5,
)


@st.composite
def nearly_events(draw: st.DrawFn) -> Any:
    """An event with some of its attributes replaced by anything, or taken away."""
    event: dict[str, Any] = copy.deepcopy(SYMPTOM)
    event["type"] = draw(st.sampled_from(list(TYPES)))
    event["data"] = draw(DATA)
    event |= draw(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3))
    for name in draw(st.sets(st.sampled_from(NAMES), max_size=2)):
        event.pop(name, None)
    return event


@given(JSON | nearly_events())
def test_parse_gives_an_event_that_reads_back_equal_or_faults_with_paths(raw):
    try:
        event = parse(raw)
    except EventFault as fault:
        assert fault.faults
        assert all(one.expected and one.found and one.do for one in fault.faults)
        assert "\n" not in str(fault)
    else:
        assert parse(event.wire()) == event
        assert parse(event.wire()).digest() == event.digest()


@given(JSON | nearly_events(), st.sampled_from(["integrator", "clinician"]))
def test_ingest_seals_or_rejects_and_changes_nothing_of_what_was_sent(raw, role):
    intake = Intake(Settings(pseudonym_key="22" * 32), lambda: datetime(2026, 3, 3, tzinfo=UTC))
    principal = Principal("k1", "clinic-a", role, ROLE_SCOPES[role], "test")
    before = repr(raw)
    judged = intake.judge(intake.begin(principal), 0, raw)
    assert repr(raw) == before
    if isinstance(judged, Outcome):
        assert judged.outcome == "rejected"
        assert judged.faults
    else:
        assert isinstance(judged, Sealed)

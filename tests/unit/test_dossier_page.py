"""The dossier as a page: what did not decide is never shown as if it had been found."""

import orjson

from services.decision.audit.page import page
from tests.property.histories import receive_all, started

EARLIER, LATER = "2026-11-12T00:00:01Z", "2026-11-12T00:00:02Z"
MADE = {
    "course": "c1",
    "subject": "a1",
    "tenant": "clinic",
    "made_at": "2026-11-23T10:00:00Z",
    "checkpoint": "",
    "key": "",
    "signature": "",
    "leaves": [],
    "deliveries": [],
    "packs": [],
}


def test_a_rule_that_could_not_be_judged_is_told_as_not_known_after_those_that_decided() -> None:
    raw = started(start_step="W3")
    raw["data"]["injury"] |= {"surgery_date": "2026-02-27"}
    decision = receive_all([raw])[1][-1]
    leaves = [{"rows": [{"table": "decisions", "row": {"body": decision.encoded.decode()}}]}]
    told = page({**MADE, "leaves": leaves})
    assert "<span class='action'>not known</span>: Pain above 6 of 10" in told
    assert "<span class='action'>hold</span>: After an operation" in told
    assert told.index("After an operation") < told.index("Pain above 6 of 10")
    assert "name='viewport'" in told


def test_times_steps_and_fields_are_told_as_people_read_them_and_nothing_in_them_is_markup() -> None:
    raw = started(start_step="W3")
    decision = receive_all([raw])[1][-1]
    data = {"when": "daily", "injury": {"tissue": "tendon"}, "pain_nrs": 0, "flags": ["<i>"]}
    event = {"time": "2026-11-11T07:00:00.000000Z", "type": "milepost.symptom.reported", "body": orjson.dumps({"data": data}).decode()}
    rows = [{"table": "events", "row": event}, {"table": "decisions", "row": {"body": decision.encoded.decode()}}]
    never = dict.fromkeys(("at", "endpoint", "status", "error", "because"))
    told = [never | {"type": "x", "state": "pending", "told_at": LATER}, never | {"type": "x", "state": "pending", "told_at": EARLIER}]
    html = page({**MADE, "leaves": [{"rows": rows}], "deliveries": told})
    assert "<time datetime='2026-11-11T07:00:00.000000Z'>2026-11-11 07:00:00</time>" in html
    assert (
        "<p>1 decision on 1 event. The last, known at <span class='at'><time" in html and "<span class='action'>hold</span> at W3" in html
    )
    assert "when: <b>daily</b>, injury.tissue: <b>tendon</b>, pain_nrs: <b>0</b>, flags: <b>[&quot;&lt;i&gt;&quot;]</b>" in html
    assert html.index("2026-11-12 00:00:01") < html.index("2026-11-12 00:00:02")

"""The dossier as a page: what did not decide is never shown as if it had been found."""

from services.decision.audit.page import page
from tests.property.histories import receive_all, started


def test_a_rule_that_could_not_be_judged_is_told_as_not_known_after_those_that_decided() -> None:
    raw = started(start_step="W3")
    raw["data"]["injury"] |= {"surgery_date": "2026-02-27"}
    decision = receive_all([raw])[1][-1]
    leaves = [{"rows": [{"table": "decisions", "row": {"body": decision.encoded.decode()}}]}]
    made = {"course": "c1", "subject": "a1", "tenant": "clinic", "made_at": "2026-11-23", "checkpoint": "", "key": "", "signature": ""}
    told = page({**made, "leaves": leaves, "deliveries": [], "packs": []})
    assert "<span class='action'>not known</span>: Pain above 6 of 10" in told
    assert "<span class='action'>hold</span>: After an operation" in told
    assert told.index("After an operation") < told.index("Pain above 6 of 10")
    assert "name='viewport'" in told

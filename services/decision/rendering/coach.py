"""For a coach: status, dose and stop rules, nothing of symptoms, flags or reasons. The stop rules are the pack's, alike for everybody."""

from typing import Any

from services.decision import advice
from services.decision.core.dosing import shown_dose
from services.decision.core.protocol import Protocol
from services.decision.core.summary import fitted
from services.decision.rendering.words import Record, day, dose_lines, rendering, sentence


def for_coach(record: Record, pack: Protocol | None) -> dict[str, Any]:
    """The released form in words: an advance shows only once a clinician accepted it."""
    rung = pack.step(record["from_step"]) if pack is not None and record["from_step"] in pack.place else None
    told = advice.released(record, None if rung is None else shown_dose(rung.dose))
    runs = told["running"] in ("as_dosed", "repeat")
    waiting = told["status"] == advice.AWAITING
    when = told["not_before"] if told["running"] != "withheld" else None
    return rendering(
        "coach",
        fitted(told["summary"]),
        [
            ("Status", ["Waiting for a clinician's answer" if waiting else "Released"]),
            ("Dose", [sentence(line) for line in dose_lines(told["dose"], pack, told["step"])] if runs else []),
            ("Earliest day", [day(when)] if when else []),
            ("Stop the session when", list(told["stop_if"]) if runs else []),
        ],
        status=told["status"],
    )

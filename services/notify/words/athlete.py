"""For the athlete: what to do next and why, without jargon, gates or numbers of rules."""

from typing import Final

from services.notify.words.moments import Record, Words, known, next_session

_SAID: Final = {
    "advance": "You may go on to the next step.",
    "hold": "Stay at this step for now.",
    "regress": "Go back a step; that is part of the way.",
}
MOST_REASONS: Final = 5


def for_athlete(decision: Record, shown: Record, zone: str | None) -> Words:
    """`shown` is what may be told of the decision; an advance that is not released stays unspoken."""
    referred = decision.get("urgency") == "stop_and_refer"
    if referred:
        to = (decision.get("referral") or {}).get("to") or "your clinician"
        summary = f"Stop running and get in touch with {to}."
    elif shown["status"] == "awaiting_clinician":
        summary = "Stay with what you were told last; your clinician has yet to answer."
    elif shown["running"] == "withheld":
        summary = "No running for now."
    else:
        summary = _SAID.get(decision["action"], "Your next session is settled.")
    reasons: list[str] = []
    if shown["status"] != "awaiting_clinician":
        reasons = [reason["text"] for reason in decision.get("reasons") or () if reason.get("outcome") in ("hold", "regress", "refer")]
    stop = [f"Stop: {rule}." for rule in shown.get("stop_if") or ()]
    following = next_session(shown, shown.get("step"), shown.get("dose")) or "Ask your clinician."
    return Words(summary, (*tuple(dict.fromkeys(reasons))[:MOST_REASONS], *stop), following, known(shown, zone))

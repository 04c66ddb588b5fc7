"""For a coach: how matters stand, the dose and the stop rules; never a symptom, a flag or a reason."""

from services.notify.words.moments import Record, Words, known, next_session

AWAITING = "awaiting_clinician"


def for_coach(shown: Record, zone: str | None) -> Words:
    """From what a coach may be shown (`payloads.for_coach`), never from the decision itself."""
    running, status = shown["running"], shown["status"]
    if running == "withheld":
        summary = "No running for now; the clinician knows why."
    elif running == "walk_only":
        summary = "Walking only for now."
    elif status == AWAITING:
        summary = "Stay with what was released last; a clinician has yet to answer."
    else:
        summary = "The next session is released."
    stop = tuple(f"Stop: {rule}." for rule in shown.get("stop_if") or ())
    following = next_session(shown, shown.get("step"), shown.get("dose")) or "Ask the clinician for the dose."
    return Words(summary, stop, following, known(shown, zone))

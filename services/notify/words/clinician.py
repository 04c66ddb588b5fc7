"""For a clinician: the decision's own summary and every rule that spoke, with what is missing."""

from collections.abc import Mapping
from typing import Any, Final

from services.notify.words.moments import Record, Words, known, next_session

MOST_REASONS: Final = 12


def for_clinician(decision: Record, zone: str | None) -> Words:
    """Summary, reasons with their grade, what stands in the way and what is not known."""
    told = [
        f"{reason['text'].rstrip('.')} ({reason['grade'].replace('_', ' ')})." for reason in decision.get("reasons") or () if _spoke(reason)
    ]
    told += [f"In the way: {text}." for text in decision.get("blocking") or ()]
    told += [f"Not known: {text}." for text in decision.get("missing") or ()]
    referral = decision.get("referral")
    if referral:
        told.insert(0, f"Refer to {referral['to']} within {referral['within_h']} h.")
    return Words(
        decision.get("summary") or "",
        tuple(dict.fromkeys(told))[:MOST_REASONS],
        next_session(decision, decision["to_step"], decision.get("dose")),
        known(decision, zone),
    )


def _spoke(reason: Any) -> bool:
    told = isinstance(reason, Mapping) and bool(reason.get("text")) and bool(reason.get("grade"))
    return told and reason.get("outcome") not in ("not_met", "unknown")

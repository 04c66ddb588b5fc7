"""How a tenant has notices released and escalated. Pure."""

from typing import Any, Final, NamedTuple

from services.notify.notices import STOP_AND_REFER
from services.notify.release import AFTER_CLINICIAN

ACKNOWLEDGE_WITHIN_S: Final = 900
ANSWER_WITHIN_S: Final = 86_400


class Policy(NamedTuple):
    """`coach_release`: `after_clinician`, `status_only` or `direct`. A referral that nobody acknowledged, and a recommendation that
    nobody answered, are said again after so many seconds, and again. The defaults are the careful ones: an advance waits for a clinician,
    a referral for a quarter of an hour, an answer for a day."""

    coach_release: str = AFTER_CLINICIAN
    acknowledge_within_s: int = ACKNOWLEDGE_WITHIN_S
    answer_within_s: int = ANSWER_WITHIN_S


def needs_answer(decision: dict[str, Any]) -> bool:
    """Whether a clinician has yet to answer: an advance, or a hold or regress that asks for review. A referral asks for more."""
    return decision.get("answer") is None and (decision["action"] == "advance" or decision["urgency"] == "review")


def still_refers(decision: dict[str, Any]) -> bool:
    """Whether a referral of the course waits for somebody to take it up; a clinician's answer does so."""
    return bool(decision["urgency"] == STOP_AND_REFER) and decision.get("answer") is None

"""Terms that a source attaches to its data: who may not be shown what follows from it. Pure.

An event carries them in the CloudEvents attribute `terms`, separated by spaces; a decision inherits those of every event it rests on.
"""

from collections.abc import Mapping
from typing import Any, Final

NO_COACH: Final = "no_coach"
NO_THIRD_PARTY: Final = "no_third_party"
TERMS: Final = (NO_COACH, NO_THIRD_PARTY)


def terms_of(text: str) -> tuple[str, ...]:
    """The terms in an attribute's text, sorted, each once. Raises ValueError for a term that does not exist.

    >>> terms_of("no_third_party no_coach")
    ('no_coach', 'no_third_party')
    """
    found = sorted({part for part in text.split(" ") if part})
    if not found or not set(found) <= set(TERMS):
        raise ValueError(f"expected some of {', '.join(TERMS)}, separated by spaces")
    return tuple(found)


def evidence_ids(decision: Mapping[str, Any]) -> set[str]:
    """The ids of the events that a decision names as evidence; empty for a record without reasons."""
    found: set[str] = set()
    for reason in decision.get("reasons") or ():
        if isinstance(reason, Mapping):
            for piece in reason.get("evidence") or ():
                found.update(piece.get("events") or ())
    return found

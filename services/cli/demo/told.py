"""Which decisions a receiver has to be told of when nothing is coalesced: those whose advice differs from the last. Pure.

Written apart from the service that tells, so that the demonstration checks it instead of repeating it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Decision = Mapping[str, Any]

ADVICE: Final = ("action", "to_step", "running", "urgency", "not_before")


class Expectation:
    """What one course was told so far, and what it has to be told next."""

    def __init__(self) -> None:
        self._advice: tuple[Any, ...] | None = None
        self._same: set[str] = set()

    def of(self, decisions: Iterable[Decision]) -> list[tuple[str, str]]:
        """(decision id, notice type) of each of these decisions that is to be told, in their order."""
        expected: list[tuple[str, str]] = []
        for decision in decisions:
            advice = tuple(decision[name] for name in ADVICE)
            if advice == self._advice:
                self._same.add(decision["id"])
                continue
            wrong = decision.get("supersedes") in self._same
            expected.append((decision["id"], "recommendation.superseded" if wrong else "recommendation.changed"))
            self._advice, self._same = advice, {decision["id"]}
        return expected

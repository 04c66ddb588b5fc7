"""A decision explained: folded again from what was known when it was made, so that trace and counterfactual are of that very moment."""

from dataclasses import dataclass
from typing import Any

import orjson

from services.decision.athletes import restored
from services.decision.core.athlete import Library
from services.decision.store.athletes import History


class NotRecomputed(Exception):
    """Folding again does not give this decision: its trace would be that of another."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The full trace, and `would_advance_if` with `measure_next`."""

    trace: list[dict[str, Any]]
    explanation: dict[str, Any]


def recomputed(packs: Library, history: History, course: str, body: bytes) -> Recomputed:
    """Of the decision `body` of the course, from the history it was made from. Raises `NotRecomputed`, and `PacksRefused`."""
    athlete = restored(packs, history)
    stored = orjson.loads(body)
    if course not in athlete.courses:
        raise NotRecomputed
    now = orjson.loads(orjson.dumps(athlete.content(course)))
    if any(stored.get(name) != value for name, value in now.items()):
        raise NotRecomputed
    return Recomputed(athlete.trace(course), athlete.explanation(course))

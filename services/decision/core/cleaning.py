"""Whether a session was clean, by its protocol's own conditions over the session's facts."""

from collections.abc import Iterable
from typing import Any

from services.decision.core.conditions import flat, picked, together
from services.decision.core.facts.registry import encoder, of_session
from services.decision.core.protocol import Protocol
from services.decision.core.sessions import Session
from services.decision.core.trivalent import Tri, Unknown

KEPT = 1024
"""Combinations of values of which the verdict is kept."""


class Cleaning:
    """One protocol's conditions, bound to the facts they read."""

    def __init__(self, protocol: Protocol) -> None:
        self._conditions, self._width = protocol.clean, len(protocol.slots)
        slots = sorted(dict.fromkeys(condition.slot for condition in flat(protocol.clean)))
        fact_of = {slot: protocol.slots[slot].fact for slot in slots}
        self._slots = {
            name: tuple((slot, encoder(protocol.facts[name])) for slot in slots if fact_of[slot] == name)
            for name in dict.fromkeys(fact_of.values())
        }
        """Of each fact its slots, and how its value is written for the engines."""
        self._read = picked(slots)
        self._known: dict[tuple[Any, ...], Tri] = {}

    def cleaned(self, session: Session) -> Session:
        """The session, which nobody keeps yet, with `clean` judged."""
        values = self.values(session)
        of = self._read(values)
        # Most reports leave these values as others had them: judged once for each combination.
        clean = self._known.get(of)
        if clean is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            clean = self._known[of] = together(self._conditions, values)
        session.judged(clean)
        return session

    def values(self, session: Session) -> list[int | None]:
        """What the conditions read, by slot; other slots are None. Of a session made of another one only what rests on what changed."""
        values = session.values
        if not values:
            values.extend([None] * self._width)
            names: Iterable[str] = self._slots
        else:
            names = session.stale
        for name in names:
            slots = self._slots.get(name)
            if slots is not None:
                value = of_session(name, session).value
                for slot, as_read in slots:
                    values[slot] = None if type(value) is Unknown else as_read(value)
        session.stale.clear()
        return values

"""Which conditions the recorded cases have seen decide: each one met, not met and, where it can be, unknown, while its rule followed it.

A condition decides when its rule would be met with it met and not met with it not met, everything else as it is (masking MC/DC).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.decision.core.conditions import holds
from services.decision.core.protocol import AnyOf, Condition, Protocol
from services.decision.core.question import applies
from services.decision.core.trivalent import Tri
from services.decision.rules.testing.cases import Cases
from services.decision.rules.testing.mutants import words
from services.decision.rules.testing.situations import OF_PLACE, values_of

_STATES = (Tri.MET, Tri.NOT_MET, Tri.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Coverage:
    """`wanted` states of conditions, of which `missing` were not seen, in words."""

    wanted: int
    missing: tuple[str, ...]

    @property
    def seen(self) -> int:
        return self.wanted - len(self.missing)


def coverage(protocol: Protocol, cases: Cases) -> Coverage:
    """Over every case of every rule, and of `clean`."""
    asked = [(values_of(protocol, facts), step, tissue) for _, facts, step, tissue in cases.asked(protocol)]
    sessions = [values_of(protocol, facts) for _, facts in cases.sessions()]
    wanted, missing = 0, []
    for rule in protocol.rules:
        found = [values for values, step, tissue in asked if applies(rule, step, tissue)]
        for said, state in _unseen(protocol, rule.id, rule.when, found):
            wanted += 1
            missing += [] if state is None else [f"{said} {state.word.replace('_', ' ')}"]
    for said, state in _unseen(protocol, "clean", protocol.clean, sessions):
        wanted += 1
        missing += [] if state is None else [f"{said} {state.word.replace('_', ' ')}"]
    return Coverage(wanted, tuple(missing))


def _unseen(
    protocol: Protocol, name: str, when: Sequence[Condition | AnyOf], asked: Sequence[Sequence[int | None]]
) -> Iterator[tuple[str, Tri | None]]:
    """For each state that is wanted: where, and the state itself if no case shows it."""
    singles = [(n, one) for n, entry in enumerate(when) for one in (entry.conditions if isinstance(entry, AnyOf) else (entry,))]
    seen: list[dict[Tri, None]] = [{} for _ in singles]
    for values in asked:
        states = [holds(one, values) for _, one in singles]
        entries = [
            max((state for (m, _), state in zip(singles, states, strict=True) if m == n), default=Tri.NOT_MET) for n in range(len(when))
        ]
        for k, (n, _) in enumerate(singles):
            others = all(found is Tri.MET for m, found in enumerate(entries) if m != n)
            beside = all(state is Tri.NOT_MET for j, ((m, _), state) in enumerate(zip(singles, states, strict=True)) if m == n and j != k)
            if others and beside:
                seen[k][states[k]] = None
    for (_, one), found in zip(singles, seen, strict=True):
        for state in _STATES:
            if state is Tri.UNKNOWN and protocol.slots[one.slot].fact in OF_PLACE:
                continue
            yield f"{name}: {words(protocol, one)}", None if state in found else state

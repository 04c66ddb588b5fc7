"""The facts as bounded integers: for each the thresholds any rule compares it with, its range, and how old or by whom it may be.

A rule only ever asks on which side of a threshold a value lies, so an integer is told by the thresholds it passes; the literals `at most
c` for rising c are that integer, exactly. A slot is the fact seen through a limit of age and of who assessed it: slots of one fact share
value, age and assessor, so they cannot contradict one another.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.decision.core.conditions import flat
from services.decision.core.protocol import Condition, FactType, Protocol, Slot
from services.decision.rules.prove.solver import Model, Solver, Term

ASSESSORS = ("self", "coach", "clinician")

_SPOKEN_OF = (
    *("injury.bone_risk", "injury.suits_protocol", "course.at_entry", "session.rise_next_morning", "session.pain_higher_next_morning"),
    *("referral.open", "engine.faulted", "protocol.expired"),
)
ALWAYS_TOLD_APART = dict.fromkeys(_SPOKEN_OF, (0,))
"""Borders that axioms and laws speak of, whether or not a rule does."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One fact's bounded integer. Scaled as the engines compare it."""

    fact: FactType
    low: int
    high: int
    cuts: tuple[int, ...]
    """Rising; a cut c separates values up to c from those above. Each lies in [low, high)."""
    ages: tuple[int, ...]
    """The `max_age_days` asked for, rising."""
    assessors: tuple[str, ...]
    """The standings asked for, rising."""

    def is_best(self, value: int) -> bool:
        """On the good side of every threshold; True where no direction is worse."""
        if self.fact.worse == "none" or not self.cuts:
            return True
        return value <= self.cuts[0] if self.fact.worse in ("higher", "true") else value > self.cuts[-1]

    def cells(self) -> Iterator[tuple[int, int]]:
        """The pieces no rule can see into, lowest first, as first and last value."""
        first = self.low
        for cut in (*self.cuts, self.high):
            yield first, cut
            first = cut + 1


def borders(condition: Condition) -> Iterable[int]:
    """The values c for which a condition changes between c and c + 1."""
    encoded = condition.encoded
    for each in encoded if isinstance(encoded, tuple) else (encoded,):
        if condition.op in ("at_most", "above"):
            yield each
        elif condition.op in ("at_least", "below"):
            yield each - 1
        else:
            yield each - 1
            yield each


def domains(protocols: Iterable[Protocol]) -> dict[str, Domain]:
    """Every fact the packs read, in the order of first reading."""
    types: dict[str, FactType] = {}
    cuts: dict[str, list[int]] = {}
    slots: dict[str, list[Slot]] = {}
    for protocol in protocols:
        for slot in protocol.slots:
            types.setdefault(slot.fact, protocol.facts[slot.fact])
            slots.setdefault(slot.fact, []).append(slot)
        for condition in flat([*(one for rule in protocol.rules for one in rule.when), *protocol.clean]):
            cuts.setdefault(protocol.slots[condition.slot].fact, []).extend(borders(condition))
    for name in types:
        cuts.setdefault(name, []).extend(ALWAYS_TOLD_APART.get(name, ()))
    return {name: _domain(fact, cuts[name], slots[name]) for name, fact in types.items()}


def _domain(fact: FactType, cuts: list[int], slots: list[Slot]) -> Domain:
    low, high = fact.bottom, fact.top
    return Domain(
        fact,
        low,
        high,
        tuple(sorted({cut for cut in cuts if low <= cut < high})),
        tuple(sorted({slot.max_age_days for slot in slots if slot.max_age_days is not None})),
        tuple(name for name in ASSESSORS[1:] if any(slot.assessor == name for slot in slots)),
    )


class State:
    """What is known of an athlete, as propositions: one copy. Parts not given are this copy's own."""

    def __init__(
        self, solver: Solver, space: Mapping[str, Domain], values_of: "State | None" = None, known_of: "State | None" = None
    ) -> None:
        self.space = space
        self.at_most: dict[str, tuple[Term, ...]] = {} if values_of is None else values_of.at_most
        self.is_known: dict[str, Term] = {} if known_of is None else known_of.is_known
        self.fresh: dict[str, tuple[Term, ...]] = {} if known_of is None else known_of.fresh
        self.assessed: dict[str, tuple[Term, ...]] = {} if known_of is None else known_of.assessed
        self._solver = solver
        for name, domain in space.items():
            if values_of is None:
                self.at_most[name] = tuple(solver.var() for _ in domain.cuts)
                for lower, higher in zip(self.at_most[name], self.at_most[name][1:], strict=False):
                    solver.implies(lower, higher)
            if known_of is None:
                self.is_known[name] = solver.var()
                self.fresh[name] = tuple(solver.var() for _ in domain.ages)
                for younger, older in zip(self.fresh[name], self.fresh[name][1:], strict=False):
                    solver.implies(younger, older)
                self.assessed[name] = tuple(solver.var() for _ in domain.assessors)
                for lower, higher in zip(self.assessed[name], self.assessed[name][1:], strict=False):
                    solver.implies(higher, lower)

    def up_to(self, fact: str, number: int) -> Term:
        """The fact's value is at most so much."""
        domain = self.space[fact]
        if number >= domain.high:
            return True
        if number < domain.low:
            return False
        return self.at_most[fact][domain.cuts.index(number)]

    def seen(self, slot: Slot) -> Term:
        """The slot has a value: known, young enough, assessed by somebody of enough standing."""
        domain = self.space[slot.fact]
        parts = [self.is_known[slot.fact]]
        if slot.max_age_days is not None:
            parts.append(self.fresh[slot.fact][domain.ages.index(slot.max_age_days)])
        if slot.assessor is not None:
            parts.append(self.assessed[slot.fact][domain.assessors.index(slot.assessor)])
        return self._solver.all(parts)

    def passes(self, condition: Condition, fact: str) -> Term:
        """The known value fulfils the condition."""
        solver, encoded = self._solver, condition.encoded
        if condition.op in ("is", "one_of", "not_one_of"):
            members = encoded if isinstance(encoded, tuple) else (encoded,)
            found = solver.any(solver.all((self.up_to(fact, each), solver.no(self.up_to(fact, each - 1)))) for each in members)
            return solver.no(found) if condition.op == "not_one_of" else found
        assert isinstance(encoded, int)
        if condition.op == "at_most":
            return self.up_to(fact, encoded)
        if condition.op == "below":
            return self.up_to(fact, encoded - 1)
        return solver.no(self.up_to(fact, encoded if condition.op == "above" else encoded - 1))

    def is_best(self, fact: str) -> Term:
        """Known, and nowhere better by the rules: on the good side of every threshold. True where no direction is worse."""
        domain, solver = self.space[fact], self._solver
        if domain.fact.worse == "none":
            return True
        known = [self.is_known[fact], *self.fresh[fact], *self.assessed[fact]]
        values = self.at_most[fact]
        rising = domain.fact.worse in ("higher", "true")
        return solver.all([*known, *(values if rising else (solver.no(term) for term in values))])

    def literals(self, model: Model) -> dict[str, list[Term]]:
        """For each fact the literals that describe it as the model has it."""
        described: dict[str, list[Term]] = {}
        for name in self.space:
            terms = [self.is_known[name]]
            if model.holds(self.is_known[name]):
                terms += [*self.fresh[name], *self.assessed[name], *self.at_most[name]]
            described[name] = [term if model.holds(term) else self._solver.no(term) for term in terms]
        return described

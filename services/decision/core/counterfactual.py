"""The smallest change that would advance: which facts would have to be otherwise, and how far. Exact, over the pack's own conditions.

Every fact that a rule in scope reads has finitely many ways to be: as it is, or a value in one of the stretches that the thresholds cut
out. An advance asks for clauses over these: each entry of an advance rule is met, each protective rule is not. Branch and bound takes the
cheapest way of each fact, and where a clause is still open tries each of its terms; what it finds first by (facts changed, distance)
cannot be undercut.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from services.decision.core.conditions import flat, holds, met_by
from services.decision.core.protocol import TISSUES, AnyOf, Condition, FactType, Protocol, Rule
from services.decision.core.question import applies
from services.decision.core.trivalent import Tri

MOST_NODES = 2000
"""Branches tried before the search gives up. The shipped packs need fewer than a hundred."""

Values = Sequence[int | None]
Masks = dict[str, int]
"""For each fact the ways it may be, one bit each; the lowest is the cheapest. Bit 0 is: as it is now."""
Cost = tuple[int, Fraction]
"""Facts changed, and how far the known ones move."""


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that has to be otherwise. Numbers are as the engines compare them."""

    fact: str
    now: int | None
    """Its value now, if a slot knows it."""
    stale: bool
    """A value is known, and for some condition too old or from somebody who may not assess it."""
    value: int
    """The nearest value that does; of what is not known the least that does."""
    low: int
    high: int
    """Every value in this stretch does as well, the other changes being as they are."""
    choices: tuple[int, ...] = ()
    """Of a choice, all that do."""


@dataclass(frozen=True, slots=True)
class Smallest:
    """`changes` is None where nothing that can change would advance, or where the search gave up (`exact` false)."""

    changes: tuple[Change, ...] | None
    exact: bool = True
    cost: Cost = (0, Fraction(0))
    standing_in_the_way: tuple[str, ...] = ()
    """Ids of the rules that no change can satisfy."""


@dataclass(slots=True)
class Ways:
    """How one fact may be."""

    kind: FactType
    slots: tuple[int, ...]
    now: int | None
    stale: bool
    elements: list[int] = field(default_factory=list)
    """Values beside the present one, cheapest first; element n has bit n + 1."""
    costs: list[Cost] = field(default_factory=list)
    """Of each bit."""
    grid: list[int] = field(default_factory=list)
    """Every value at which some condition may turn, in order."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Holds where one of its terms does; a term holds where each of its facts is in one of the ways."""

    rule: str
    terms: tuple[Mapping[str, int], ...]


class Search:
    """One question: a pack, what is known, the rung and the tissue. `fixed` facts cannot change, `free` ones change at no cost."""

    def __init__(
        self, protocol: Protocol, values: Values, rung: int, tissue: int, fixed: Sequence[str] = (), free: Sequence[str] = ()
    ) -> None:
        self.values = values
        step = protocol.steps[rung + 1]
        self.rules = [rule for rule in protocol.rules if applies(rule, step, TISSUES[tissue])]
        self.fact_of = [slot.fact for slot in protocol.slots]
        self.by_fact: dict[str, list[Condition]] = {}
        for rule in self.rules:
            for condition in flat(rule.when):
                self.by_fact.setdefault(self.fact_of[condition.slot], []).append(condition)
        self.ways = {
            fact: self._ways(protocol.facts[fact], conditions, fact in fixed, fact in free)
            for fact, conditions in sorted(self.by_fact.items())
        }
        self.clauses = [clause for rule in self.rules for clause in self._clauses(rule)]
        self.clauses.sort(key=lambda clause: clause.rule)
        if not any(rule.kind == "advance" for rule in self.rules):
            self.clauses.append(Clause("", ()))
        self.nodes = 0
        self.best: tuple[Cost, Masks] | None = None

    def _ways(self, kind: FactType, conditions: Sequence[Condition], fixed: bool, free: bool) -> Ways:
        slots = tuple(sorted({condition.slot: None for condition in conditions}))
        known = [value for slot in slots if (value := self.values[slot]) is not None]
        now = known[0] if known else None
        ways = Ways(kind, slots, now, bool(known) and len(known) < len(slots), costs=[(0, Fraction(0))])
        if fixed:
            return ways
        edges: dict[int, None] = {} if now is None else {now: None}
        for condition in conditions:
            for threshold in condition.encoded if isinstance(condition.encoded, tuple) else (condition.encoded,):
                edges |= {threshold - 1: None, threshold: None, threshold + 1: None}
        everything = range(kind.bottom, kind.top + 1) if kind.choices else (kind.bottom, *edges, kind.top)
        ways.grid = sorted({value: None for value in everything if kind.bottom <= value <= kind.top})
        # Least demanding first: of what is not known yet, the worst value that still does.
        worst_first = sorted(ways.grid, key=lambda value: -value if kind.worse in ("higher", "true") else value)
        nearest = worst_first if now is None else sorted(worst_first, key=lambda value: abs(value - now))
        seen: dict[tuple[bool, ...], None] = {}
        for value in nearest:
            if known == [value] * len(slots):
                continue
            looks = tuple(met_by(condition, value) for condition in conditions)
            if looks not in seen:
                seen[looks] = None
                ways.elements.append(value)
                far = Fraction(0) if now is None else Fraction(abs(value - now), kind.scale)
                ways.costs.append((0, Fraction(0)) if free else (1, far))
        return ways

    def _mask(self, condition: Condition, *wanted: Tri) -> tuple[str, int]:
        fact = self.fact_of[condition.slot]
        mask = 1 if holds(condition, self.values) in wanted else 0
        for bit, value in enumerate(self.ways[fact].elements, 1):
            if (Tri.MET if met_by(condition, value) else Tri.NOT_MET) in wanted:
                mask |= 1 << bit
        return fact, mask

    def _clauses(self, rule: Rule) -> list[Clause]:
        if rule.kind == "advance":
            return [
                _clause(rule.id, [dict([self._mask(one, Tri.MET)]) for one in (e.conditions if isinstance(e, AnyOf) else (e,))])
                for e in rule.when
            ]
        wanted = (Tri.NOT_MET,) if rule.unknown == "hold" else (Tri.NOT_MET, Tri.UNKNOWN)
        terms = []
        for entry in rule.when:
            term: Masks = {}
            for condition in flat([entry]):
                fact, mask = self._mask(condition, *wanted)
                term[fact] = term.get(fact, mask) & mask
            terms.append(term)
        return [_clause(rule.id, terms)]

    def run(self) -> Smallest:
        """The smallest change, or why there is none."""
        blocked = self._solve()
        if self.nodes > MOST_NODES:
            return Smallest(None, False)
        if self.best is None:
            return Smallest(None, True, standing_in_the_way=tuple(sorted(dict.fromkeys(blocked))))
        cost, found = self.best
        return Smallest(self._changes(found), True, cost)

    def fewest(self) -> int | None:
        """How many facts the smallest change has; None as in `run`. Saves the stretches of values, which only words need."""
        self._solve()
        return None if self.best is None or self.nodes > MOST_NODES else self.best[0][0]

    def _solve(self) -> list[str]:
        """Finds `best`; the rules that nothing can satisfy."""
        masks = {fact: (1 << len(ways.costs)) - 1 for fact, ways in self.ways.items()}
        blocked = self._forced(masks)
        if not blocked:
            self._branch(masks)
        return blocked

    def _forced(self, masks: Masks) -> list[str]:
        """Works in the clauses with one term, which leave no choice; the rules that cannot be satisfied."""
        blocked = []
        for clause in self.clauses:
            if not clause.terms:
                blocked.append(clause.rule)
            if len(clause.terms) == 1:
                for fact, mask in clause.terms[0].items():
                    masks[fact] &= mask
                    if not masks[fact]:
                        blocked.append(clause.rule)
                        masks[fact] = mask
        return blocked

    def _cost(self, masks: Masks) -> Cost:
        count, far = 0, Fraction(0)
        for fact, mask in masks.items():
            if not mask & 1:
                one = self.ways[fact].costs[_lowest(mask)]
                count, far = count + one[0], far + one[1]
        return count, far

    def _branch(self, masks: Masks) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            return
        cost = self._cost(masks)
        if self.best is not None and cost >= self.best[0]:
            return
        open_terms: list[Mapping[str, int]] | None = None
        for clause in self.clauses:
            if any(all(mask >> _lowest(masks[fact]) & 1 for fact, mask in term.items()) for term in clause.terms):
                continue
            terms = [term for term in clause.terms if all(masks[fact] & mask for fact, mask in term.items())]
            if open_terms is None or len(terms) < len(open_terms):
                open_terms = terms
        if open_terms is None:
            self.best = (cost, masks)
            return
        narrowed = [masks | {fact: masks[fact] & mask for fact, mask in term.items()} for term in open_terms]
        for branch in sorted(narrowed, key=self._cost):
            self._branch(branch)

    def _changes(self, masks: Masks) -> tuple[Change, ...]:
        chosen = {fact: _lowest(mask) for fact, mask in masks.items()}
        return tuple(self._change(fact, chosen) for fact, bit in sorted(chosen.items()) if bit)

    def _change(self, fact: str, chosen: dict[str, int]) -> Change:
        ways = self.ways[fact]
        value = ways.elements[chosen[fact] - 1]
        good = [other for other in ways.grid if self._advances(fact, other, chosen)]
        if ways.kind.choices:
            return Change(fact, ways.now, ways.stale, value, value, value, tuple(good))
        at = ways.grid.index(value)
        low = high = at
        while low > 0 and ways.grid[low - 1] in good:
            low -= 1
        while high + 1 < len(ways.grid) and ways.grid[high + 1] in good:
            high += 1
        return Change(fact, ways.now, ways.stale, value, ways.grid[low], ways.grid[high])

    def _advances(self, fact: str, value: int, chosen: dict[str, int]) -> bool:
        """Whether it advances as well with this value of the fact."""
        conditions, ways = self.by_fact[fact], self.ways[fact]
        looks = [met_by(condition, value) for condition in conditions]
        for bit, other in enumerate(ways.elements, 1):
            if [met_by(condition, other) for condition in conditions] == looks:
                trial = chosen | {fact: bit}
                return all(
                    any(all(mask >> trial[name] & 1 for name, mask in term.items()) for term in clause.terms) for clause in self.clauses
                )
        return False


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _clause(rule: str, terms: Sequence[Mapping[str, int]]) -> Clause:
    """The terms without those that cannot hold; those that speak of the same one fact as one."""
    alone: Masks = {}
    others: list[Mapping[str, int]] = []
    for term in terms:
        if len(term) == 1:
            [(fact, mask)] = term.items()
            alone[fact] = alone.get(fact, 0) | mask
        else:
            others.append(term)
    merged = [{fact: mask} for fact, mask in alone.items()]
    return Clause(rule, tuple(term for term in (*merged, *others) if all(term.values())))


def smallest_change(
    protocol: Protocol, values: Values, rung: int, tissue: int, fixed: Sequence[str] = (), free: Sequence[str] = ()
) -> Smallest:
    """The fewest facts that would have to be otherwise for these values to advance, and of as many the nearest.

    Distance counts in each fact's own unit, a yes or no and a grade as one; what is not known costs no distance to learn. A changed fact
    has its new value in every slot that reads it, as a report made now by somebody entitled would. The same arguments give the same answer.
    """
    return Search(protocol, values, rung, tissue, fixed, free).run()


def applied(protocol: Protocol, values: Values, changes: Sequence[Change]) -> tuple[int | None, ...]:
    """The values with the changes made."""
    new = {change.fact: change.value for change in changes}
    return tuple(new.get(slot.fact, value) for slot, value in zip(protocol.slots, values, strict=True))

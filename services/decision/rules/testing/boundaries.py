"""The questions at the border of everything a pack says: one step below, at and above each threshold, unknown, too old, by somebody of
lesser standing, and at the first and last step and the tissues of each rule.

In each of them one condition alone decides, as far as the pack allows it.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from services.decision.core.conditions import flat, holds
from services.decision.core.protocol import COMPLETE, ENTRY, TISSUES, AnyOf, Condition, Protocol, Rule
from services.decision.core.question import applies
from services.decision.core.trivalent import Tri
from services.decision.rules.testing.settling import Pack
from services.decision.rules.testing.situations import ASSESSORS, OF_PLACE, UNKNOWN, Facts, Said, Seen, Situation, of_place, values_of

AT_PLACE = ("injury.tissue", "course.at_entry")
"""Facts that no situation can say otherwise."""
STEPS = "steps"
"""The name of the cases that belong to no rule: each step as usual, and held at it."""


def usual(protocol: Protocol) -> dict[str, Seen]:
    """What holds in every situation that does not say otherwise."""
    return Pack(protocol).usual


def boundaries(protocol: Protocol) -> Iterator[tuple[str, Situation]]:
    """Rule id (or `STEPS`) and situation, in the pack's order; each situation once."""
    told: dict[Situation, None] = {}
    pack = Pack(protocol)
    found = _Boundaries(pack)
    for name, situations in (
        (STEPS, found.of_steps()),
        *((rule.id, found.of_rule(rule)) for rule in protocol.rules),
    ):
        for situation in situations:
            if situation not in told:
                told[situation] = None
                yield name, situation


def clean_boundaries(protocol: Protocol) -> Iterator[Said]:
    """The facts of sessions at the border of being clean, over what is usual."""
    pack = Pack(protocol)
    told: dict[Said, None] = {}
    for entry in protocol.clean:
        for alone in flat([entry]):
            name = pack.fact(alone)
            beside = [one for one in flat([entry]) if one is not alone]
            pins = {pack.fact(one): Seen(_failing(pack, one)) for one in beside}
            for seen in _shades(pack, alone):
                facts = tuple((each, (found,)) for each, found in sorted({**pins, name: seen}.items()))
                told.setdefault(facts)
    yield from told


class _Boundaries:
    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.protocol = pack.protocol
        ladder = [step.id for step in self.protocol.ladder]
        middle = len(ladder) * 2 // 3
        self.order = [*ladder[middle:], *reversed(ladder[:middle]), ENTRY, COMPLETE]
        """Steps in which a case is best told: high enough on the ladder to see how far back a rule leads."""
        population = self.protocol.population.tissues
        self.tissues = [*(t for t in population if t != "bone"), *(t for t in population if t == "bone")]

    def of_steps(self) -> Iterator[Situation]:
        """Each step as usual, each tissue, and each step under one plain hold: rest after a step is seen in the first and the last."""
        held = next((rule for rule in self.protocol.rules if _is_plain_hold(rule)), None)
        tissue = self.tissues[0]
        for step in self.protocol.steps:
            yield self._situation(step, tissue, self.pack.base(step, tissue))
        for step in self.protocol.steps if held is not None else ():
            assert held is not None
            [condition] = flat(held.when)
            state = {**self.pack.base(step, tissue), self.pack.fact(condition): Seen(_passing(self.pack, condition))}
            yield self._situation(step, tissue, state)
        for other in TISSUES:
            yield self._situation(self.order[0], other, self.pack.base(self.order[0], other))

    def of_rule(self, rule: Rule) -> Iterator[Situation]:
        place = self._place(rule)
        if place is None:
            return
        step, tissue = place
        speaks: dict[str, Seen] | None = None
        for entry in rule.when:
            for alone in flat([entry]):
                if self.pack.fact(alone) in AT_PLACE:
                    yield from self._elsewhere(rule, entry, alone, step, tissue)
                    continue
                state = self._alone(rule, entry, alone, step, tissue)
                for seen in _shades(self.pack, alone):
                    shade = {**state, self.pack.fact(alone): seen}
                    yield self._situation(step, tissue, shade)
                    if speaks is None and self._speaks(rule, shade):
                        speaks = shade
        if speaks is not None:
            yield from self._of_scope(rule, speaks, step, tissue)

    def _place(self, rule: Rule) -> tuple[str, str] | None:
        """Where the rule is best told: where what follows from step and tissue lets it speak, and for whom the pack is."""
        tissues = list(dict.fromkeys((*self.tissues, *(rule.tissues or TISSUES))))
        places = [(step, tissue) for tissue in tissues for step in self.order if applies(rule, step, tissue)]
        return min(places, key=lambda place: self._hindered(rule, *place), default=None)

    def _hindered(self, rule: Rule, step: str, tissue: str) -> int:
        """How many entries of the rule cannot be met there, whatever else is known."""
        values = values_of(self.protocol, of_place(self.protocol, step, tissue))
        outside = tissue not in self.protocol.population.tissues
        bone = any(self.pack.fact(one) == "injury.bone_risk" for one in flat(rule.when)) and tissue != "bone"
        return (
            outside
            + 2 * bone
            + 2
            * sum(
                all(self.pack.fact(one) in AT_PLACE and holds(one, values) is Tri.NOT_MET for one in flat([entry])) for entry in rule.when
            )
        )

    def _elsewhere(self, rule: Rule, entry: Condition | AnyOf, alone: Condition, step: str, tissue: str) -> Iterator[Situation]:
        """The same with other tissues, or at entry and on the ladder: facts that only the place itself can make otherwise."""
        kind = self.protocol.facts[self.pack.fact(alone)]
        by_tissue = kind.name == "injury.tissue"
        places = [(step, kind.choices[value]) for value in self.pack.edges(alone)] if by_tissue else [(ENTRY, tissue), (step, tissue)]
        for other_step, other in places:
            pins = {
                self.pack.fact(one): Seen(_failing(self.pack, one))
                for one in flat([entry])
                if one is not alone and self.pack.fact(one) not in AT_PLACE
            }
            beside = [one for each in rule.when if each is not entry for one in flat([each])[:1]]
            pins |= {self.pack.fact(one): Seen(_passing(self.pack, one)) for one in beside if self.pack.fact(one) not in AT_PLACE}
            yield self._situation(other_step, other, self.pack.settle(other_step, other, pins))
            if applies(rule, other_step, other) and other != tissue:
                for edge in edges_of(self.protocol, rule, other):
                    yield self._situation(edge, other, self.pack.settle(edge, other, pins))

    def _alone(self, rule: Rule, entry: Condition | AnyOf, alone: Condition, step: str, tissue: str) -> dict[str, Seen]:
        """The athlete in whom this condition decides its rule, with the condition met."""
        pins = {self.pack.fact(alone): Seen(_passing(self.pack, alone))}
        pins |= {
            name: Seen(_failing(self.pack, one))
            for one in flat([entry])
            if one is not alone and (name := self.pack.fact(one)) not in pins and name not in OF_PLACE
        }
        return self.pack.settle(step, tissue, pins, alone)

    def _speaks(self, rule: Rule, facts: Facts) -> bool:
        """A protective rule that is met; an advance rule that is not."""
        values = values_of(self.protocol, facts)
        found = min((max(holds(one, values) for one in flat([entry])) for entry in rule.when), default=Tri.MET)
        return found is (Tri.NOT_MET if rule.kind == "advance" else Tri.MET)

    def _of_scope(self, rule: Rule, speaks: Facts, at: str, tissue: str) -> Iterator[Situation]:
        """The rule speaking at both sides of every edge of its scope, and with every tissue where it names some."""
        pins = {name: speaks[name] for name in dict.fromkeys(self.pack.fact(one) for one in flat(rule.when)) if name not in AT_PLACE}
        for step in edges_of(self.protocol, rule, tissue):
            yield self._situation(step, tissue, self.pack.settle(step, tissue, pins))
        if rule.tissues is not None:
            for other in dict.fromkeys((*rule.tissues, *self.protocol.population.tissues)):
                yield self._situation(at, other, self.pack.settle(at, other, pins))

    def _situation(self, step: str, tissue: str, facts: Mapping[str, Seen]) -> Situation:
        """Only what is not as usual is said."""
        usual = {**self.pack.usual, **of_place(self.protocol, step, tissue)}
        said = tuple((name, (seen,)) for name, seen in sorted(facts.items()) if seen != usual.get(name))
        return Situation((step,), (tissue,), said)


def edges_of(protocol: Protocol, rule: Rule, tissue: str) -> list[str]:
    """The steps at both sides of each edge of a rule's scope, and the ends of the ladder of steps where it reaches them."""
    steps = protocol.steps
    inside = [applies(rule, step, tissue) for step in steps]
    found = [step for n, step in enumerate(steps) if n in (0, len(steps) - 1) and inside[n]]
    for (one, here), (other, there) in pairwise(zip(steps, inside, strict=True)):
        if here != there:
            found += [one, other]
    return [step for step in steps if step in found]


def _shades(pack: Pack, condition: Condition) -> Iterator[Seen]:
    """The values at the condition's border, unknown, too old, and by somebody of lesser standing."""
    name = pack.fact(condition)
    values = pack.edges(condition)
    for value in values:
        yield Seen(value)
    if name not in OF_PLACE:
        yield UNKNOWN
    slot = pack.protocol.slots[condition.slot]
    passing = _passing(pack, condition)
    if slot.max_age_days is not None:
        for days in (slot.max_age_days, slot.max_age_days + 1):
            yield Seen(passing, days)
    if name.startswith("milestone."):
        for assessor in ASSESSORS[:-1] if slot.assessor is not None else ():
            yield Seen(passing, 0, assessor)


def _passing(pack: Pack, condition: Condition) -> int:
    """A value that meets the condition, as near to its border as there is."""
    return _nearest(pack, condition, Tri.MET)


def _failing(pack: Pack, condition: Condition) -> int:
    return _nearest(pack, condition, Tri.NOT_MET)


def _nearest(pack: Pack, condition: Condition, wanted: Tri) -> int:
    kind = pack.protocol.facts[pack.fact(condition)]
    best = pack.usual.get(kind.name, UNKNOWN).value
    tried = [*([best] if best is not None and wanted is Tri.NOT_MET else []), *pack.edges(condition), kind.bottom, kind.top]
    tried += range(kind.bottom, kind.top + 1) if kind.choices else ()
    for value in tried:
        values: list[int | None] = [None] * len(pack.protocol.slots)
        values[condition.slot] = value
        if holds(condition, values) is wanted:
            return value
    return kind.bottom


def _is_plain_hold(rule: Rule) -> bool:
    """A hold that applies everywhere, for one yes or no, and asks for nothing else."""
    whole = rule.steps is None and rule.tissues is None and rule.kind == "hold" and not rule.excepted_by
    one = flat(rule.when)
    return whole and len(one) == 1 and isinstance(one[0].value, bool) and rule.then.rest_days is None and rule.then.urgency == "routine"

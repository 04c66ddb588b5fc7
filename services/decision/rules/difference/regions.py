"""The difference of two packs by meaning: for whom the verdict changes, from what to what, and whether that is more permissive.

A region is a box over the facts that the changed rules read, at some steps and for some tissues. Boxes are widened as far as the change
reaches and taken out until none is left, so outside of them both packs say the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.decision.core.conditions import flat
from services.decision.core.protocol import RUNNING_ORDER, URGENCY_ORDER, AnyOf, Condition, Population, Protocol, Rule, Then
from services.decision.rules.prove.athlete import Athlete, label, listed, number, read
from services.decision.rules.prove.encoding import Encoding, Place
from services.decision.rules.prove.solver import Model, Solver, Term
from services.decision.rules.prove.space import Domain, domains

ACTIONS = ("refer", "regress", "hold", "advance")
DOES = {"refer": "referred", "regress": "sent back", "hold": "held", "advance": "advanced"}
CLEAN = "a session now counts as clean"
MOST = 12
"""Regions listed for one kind of change …"""
MOST_IN_ALL = 60
"""… and altogether; more are said to exist, and count as more permissive."""


@dataclass(frozen=True, slots=True)
class Region:
    """Part of the fact space where the verdict changes."""

    id: str
    """Stable for the same two packs."""
    words: str
    more_permissive: bool
    change: str
    """From what to what: `held becomes advanced`."""
    steps: tuple[str, ...]
    tissues: tuple[str, ...]
    example: Athlete | None
    """Somebody in it; None where it is about a session."""


@dataclass(frozen=True, slots=True)
class _Change:
    words: str
    more_permissive: bool
    term: Term


def regions(old: Protocol, new: Protocol) -> tuple[list[Region], bool]:
    """Every region, the more permissive first, and whether all are listed. Raises `Unproved` where one is not settled."""
    comparing = _Comparing(old, new)
    found: list[Region] = []
    complete = True
    for change in sorted(comparing.changes(), key=lambda one: not one.more_permissive):
        if len(found) >= MOST_IN_ALL:
            complete = complete and not comparing.happens(change)
            continue
        for one in comparing.regions(change):
            if one is None:
                complete = False
            else:
                found.append(replace(one, id=f"R{len(found) + 1}"))
    return sorted(found, key=lambda one: not one.more_permissive), complete


Meaning = tuple[str, tuple[object, ...], Then, tuple[str, ...] | None, tuple[str, ...] | None, str]


def meaning(pack: Protocol, rule: Rule) -> Meaning:
    """What a rule does, without its place, text and sources."""
    then = replace(rule.then, resume_when=())
    return rule.kind, tuple(_meant(pack, one) for one in rule.when), then, rule.steps, rule.tissues, rule.unknown


def _meant(pack: Protocol, entry: Condition | AnyOf) -> object:
    return frozenset((pack.slots[one.slot], one.op, one.encoded) for one in flat([entry]))


def _changed(pack: Protocol, other: Protocol) -> list[str]:
    """The facts that this pack's changed rules read, and where only conditions changed, those of the changed conditions."""
    theirs = {rule.id: meaning(other, rule) for rule in other.rules}
    found: list[str] = []
    for rule in pack.rules:
        mine, known = meaning(pack, rule), theirs.get(rule.id)
        if mine == known:
            continue
        kept: tuple[object, ...] = () if known is None or (mine[0], *mine[2:]) != (known[0], *known[2:]) else known[1]
        found += [pack.slots[one.slot].fact for entry in rule.when if _meant(pack, entry) not in kept for one in flat([entry])]
    clean = [_meant(other, entry) for entry in other.clean]
    return found + [pack.slots[one.slot].fact for entry in pack.clean if _meant(pack, entry) not in clean for one in flat([entry])]


class _Comparing:
    """Both packs over one athlete."""

    def __init__(self, old: Protocol, new: Protocol) -> None:
        self.solver = Solver()
        # Whom a pack is for is told apart as a setting; the rules are compared for those it was and is for.
        population = Population(tuple(t for t in old.population.tissues if t in new.population.tissues))
        self.old, self.new = replace(old, population=population), replace(new, population=population)
        self.space = domains([old, new])
        steps = [step for step in old.steps if step in new.steps]
        self.place = Place(self.solver, steps)
        before, after = (Encoding(self.solver, pack, self.place, self.space) for pack in (self.old, self.new))
        self.before, self.after = before, after
        self.state = before.state()
        self.was, self.now = before.verdict(self.state), after.verdict(self.state)
        self.facts = dict.fromkeys([*_changed(old, new), *_changed(new, old)])

    def changes(self) -> Iterator[_Change]:
        """Every kind of change, in its direction."""
        solver, was, now = self.solver, self.was, self.now
        for n, one in enumerate(ACTIONS):
            for m, other in enumerate(ACTIONS):
                if n != m:
                    term = solver.all((getattr(was, one), getattr(now, other)))
                    yield _Change(f"{DOES[one]} becomes {DOES[other]}", m > n, term)
        both_back = solver.all((was.regressing, now.regressing))
        for words, freer, mild, strict in (("goes back less far", True, now, was), ("goes further back", False, was, now)):
            depths = sorted({*was.depths, *now.depths})
            less = solver.any(
                [
                    solver.all((strict.to_entry(), solver.no(mild.to_entry()))),
                    *(solver.all((strict.back_at_least(d), solver.no(mild.back_at_least(d)), solver.no(mild.to_entry()))) for d in depths),
                ]
            )
            yield _Change(words, freer, solver.all((both_back, less)))
        same = solver.any(solver.all((getattr(was, action), getattr(now, action))) for action in ACTIONS)
        levels = [(was.running_at_least(n), now.running_at_least(n)) for n in range(1, len(RUNNING_ORDER))]
        yield from self._graded("running is less restricted", "running is more restricted", same, levels)
        rests = sorted({rule.then.rest_days or 0 for pack in (self.old, self.new) for rule in pack.rules} - {0})
        yield from self._graded("rests shorter", "rests longer", same, [(was.rest_at_least(d), now.rest_at_least(d)) for d in rests])
        clean, cleaner = (each.entries(pack.clean, self.state, {})[0] for each, pack in ((self.before, self.old), (self.after, self.new)))
        yield _Change(CLEAN, True, solver.all((cleaner, solver.no(clean))))
        yield _Change("a session no longer counts as clean", False, solver.all((clean, solver.no(cleaner))))
        levels = [(was.urgency_at_least(n), now.urgency_at_least(n)) for n in range(1, len(URGENCY_ORDER))]
        yield from self._graded("less urgent", "more urgent", same, levels)

    def _graded(self, less: str, more: str, same: Term, levels: Sequence[tuple[Term, Term]]) -> Iterator[_Change]:
        """A consequence that is less, or more, in one of its degrees, while the action stays."""
        solver = self.solver
        yield _Change(less, True, solver.all((same, solver.any(solver.all((a, solver.no(b))) for a, b in levels))))
        yield _Change(more, False, solver.all((same, solver.any(solver.all((b, solver.no(a))) for a, b in levels))))

    def happens(self, change: _Change) -> bool:
        return change.term is not False and self.solver.possible("DIFF", change.term)

    def regions(self, change: _Change) -> Iterator[Region | None]:
        """The boxes of one change; None last where there are more than are listed."""
        solver, question = self.solver, "DIFF"
        blocked: list[Term] = []
        told: list[str] = []
        for _ in range(MOST):
            if change.term is False or not solver.possible(question, change.term, *blocked):
                return
            goal = [change.term, *blocked]
            # As well as can be: first in what the change does not read, so that a box says what the change is about.
            others = [name for name in self.space if name not in self.facts]
            # And with a bone injury if one is reached: what it takes there holds for the others too, and so the box is widest.
            well: list[Term] = [at for at in (self.place.tissue["bone"],) if solver.possible(question, *goal, at)]
            wished = [best for name in (*others, *self.facts) if (best := self.state.is_best(name)) is not True]
            well += solver.together(question, [*goal, *well], wished)
            model = solver.find(question, *goal, *well)
            assert model is not None
            box, context, steps, tissues = self._box(change, model)
            where = [solver.any(self.place.step[s] for s in steps), solver.any(self.place.tissue[t] for t in tissues)]
            blocked.append(solver.no(solver.all([*box, *where])))
            region = self._told(change, model, box, context, steps, tissues)
            if region.words not in told:
                told.append(region.words)
                yield region
        if solver.possible(question, change.term, *blocked):
            yield None

    def _box(self, change: _Change, model: Model) -> tuple[list[int], list[Term], tuple[str, ...], tuple[str, ...]]:
        """The literals that make the change while everything else is as in the model, and the steps and tissues for which they do."""
        solver, place = self.solver, self.place
        literals = self.state.literals(model)
        step, tissue = place.of(model)
        context = [term for name, terms in literals.items() if name not in self.facts and self._free(name) for term in terms]
        own = [term for name in literals if name in self.facts and self._free(name) for term in self._strongest_first(name, literals[name])]
        bound = [term for name in literals if not self._free(name) for term in self._strongest_first(name, literals[name])]
        here = [place.step[step], place.tissue[tissue]]
        # Where an athlete stands also decides a few facts; they are let go first and come back only where the change needs them.
        box = self._widest([*own, *bound], solver.no(change.term), *context, *here)
        still = [*box, *context]
        steps = tuple(s for s, at in place.step.items() if s == step or self._also(change, still, at, place.tissue[tissue]))
        tissues = tuple(
            t for t, at in place.tissue.items() if t == tissue or all(self._also(change, still, place.step[s], at) for s in steps)
        )
        return box, context, steps, tissues

    def _strongest_first(self, name: str, terms: Sequence[Term]) -> list[Term]:
        """Upper bounds rising, lower bounds falling, then what is known: so that of two that would do the weaker is kept."""
        values = {*self.state.at_most[name]}
        upper = [term for term in terms if term in values]
        lower = [term for term in terms if self.solver.no(term) in values]
        return upper + lower[::-1] + [term for term in terms if term not in values and self.solver.no(term) not in values][::-1]

    def _widest(self, literals: Sequence[Term], *terms: Term) -> list[int]:
        """Of the literals, which with the terms cannot hold, those that are needed for it; earlier ones are let go first."""
        kept = [literal for literal in literals if literal is not True and literal is not False]

        def let_go(some: Sequence[int]) -> None:
            nonlocal kept
            without = [literal for literal in kept if literal not in some]
            if not self.solver.possible("DIFF", *terms, *without):
                kept = without
            elif len(some) > 1:
                let_go(some[: len(some) // 2])
                let_go(some[len(some) // 2 :])

        if kept:
            let_go(list(kept))
        return kept

    def _free(self, name: str) -> bool:
        """The fact does not merely say again where the athlete stands."""
        return name not in ("injury.tissue", "injury.bone_risk", "injury.suits_protocol", "course.at_entry")

    def _also(self, change: _Change, still: Sequence[Term], step: Term, tissue: Term) -> bool:
        solver = self.solver
        everywhere = not solver.possible("DIFF", solver.no(change.term), *still, step, tissue)
        return everywhere and solver.possible("DIFF", change.term, *still, step, tissue)

    def _told(
        self, change: _Change, model: Model, box: Sequence[int], context: Sequence[Term], steps: tuple[str, ...], tissues: tuple[str, ...]
    ) -> Region:
        kept = {*box}
        said = [words for name in self.facts if self._free(name) and (words := self._interval(self.space[name], kept))]
        amiss = [words for name in self.space if name not in self.facts and self._free(name) and (words := self._amiss(name, model))]
        at = steps[0] if len(steps) == 1 else "every step" if len(steps) == len(self.place.step) else _run(steps, list(self.place.step))
        population = self.new.population.tissues
        meant = [tissue for tissue in tissues if tissue in population] or [*tissues]
        who = "" if set(population) <= set(meant) else f", {listed(meant)} injuries"
        where = f"at {at}{who}" + (f", with {listed(said)}" if said else ", whatever is reported")
        also = f"; when also {listed(amiss)}" if amiss else ", all else well"
        example = read(model, self.state, *self.place.of(model), list(self.facts))
        return Region("", f"{change.words} {where}{also}", change.more_permissive, change.words, steps, tissues, example)

    def _interval(self, domain: Domain, kept: set[int]) -> str:
        """The values of one fact that the box allows; empty where it allows all."""
        name, state = domain.fact.name, self.state
        title = label(domain.fact)
        if -state.is_known[name] in kept if isinstance(state.is_known[name], int) else False:
            return f"{title} unknown"
        low, high = domain.low, domain.high
        for cut, term in zip(domain.cuts, state.at_most[name], strict=True):
            if term in kept:
                high = min(high, cut)
            if -term in kept:
                low = max(low, cut + 1)
        said = ""
        if (low, high) != (domain.low, domain.high):
            said = f"{title} {_between(domain, low, high)}" if domain.fact.kind == "number" else f"{title}: {_between(domain, low, high)}"
        elif state.is_known[name] in kept:
            said = f"{title} known"
        old = max((limit for limit, term in zip(domain.ages, state.fresh[name], strict=True) if -term in kept), default=None)
        if old is not None:
            said = (said or title) + f", older than {old} days"
        lesser = [who for who, term in zip(domain.assessors, state.assessed[name], strict=True) if -term in kept]
        return said if not lesser else (said or title) + f", not assessed by a {lesser[0]}"

    def _amiss(self, name: str, model: Model) -> str:
        domain = self.space[name]
        if domain.fact.worse == "none" or model.holds(self.state.is_best(name)):
            return ""
        return self._interval(domain, {term for term in self.state.literals(model)[name] if term is not True and term is not False})


def _between(domain: Domain, low: int, high: int) -> str:
    fact = domain.fact
    if fact.kind != "number":
        return " or ".join(number(fact, value) for value in range(low, high + 1))
    if low == high:
        return number(fact, low)
    whole = low % fact.scale == 0
    first = number(fact, low) if whole else f"above {number(fact, low - 1)}"
    if high == domain.high:
        return f"of {first} or more" if whole else first
    last = f"below {number(fact, high + 1)}" if (high + 1) % fact.scale == 0 else number(fact, high)
    if low == domain.low:
        return last if last.startswith("below") else f"of {last} or less"
    return f"{first} to {last}" if whole else f"{first} and up to {last}"


def _run(steps: Sequence[str], order: Sequence[str]) -> str:
    """`W1 to W11` where they follow one another, else a list."""
    places = [order.index(step) for step in steps]
    if places == list(range(places[0], places[-1] + 1)):
        return f"{steps[0]} to {steps[-1]}"
    return listed([*steps])

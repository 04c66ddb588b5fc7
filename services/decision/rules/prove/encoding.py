"""A pack's verdict as propositions, for every step and tissue at once: what the reference engine answers, for all athletes together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.decision.core.protocol import ENTRY, RUNNING_ORDER, TISSUES, URGENCY_ORDER, AnyOf, Condition, Protocol, Rule
from services.decision.core.question import applies
from services.decision.rules.prove.axioms import require_axioms
from services.decision.rules.prove.solver import Model, Solver, Term
from services.decision.rules.prove.space import Domain, State


class Place:
    """Where an athlete stands: exactly one step and one tissue. Shared by every copy that is compared."""

    def __init__(self, solver: Solver, steps: Sequence[str], tissues: Sequence[str] = TISSUES) -> None:
        self.step = {step: solver.var() for step in steps}
        self.tissue = {tissue: solver.var() for tissue in tissues}
        self._solver = solver
        for several in (list(self.step.values()), list(self.tissue.values())):
            solver.require_any(several)
            for n, one in enumerate(several):
                for other in several[n + 1 :]:
                    solver.require_any((solver.no(one), solver.no(other)))

    def of(self, model: Model) -> tuple[str, str]:
        """Step and tissue of a model."""
        return next(s for s, t in self.step.items() if model.holds(t)), next(s for s, t in self.tissue.items() if model.holds(t))

    def within(self, steps: Sequence[str], tissues: Sequence[str]) -> Term:
        if not steps or not tissues:
            return False
        some_step = True if len(steps) == len(self.step) else self._solver.any(self.step[step] for step in steps)
        some_tissue = True if len(tissues) == len(self.tissue) else self._solver.any(self.tissue[tissue] for tissue in tissues)
        return self._solver.all((some_step, some_tissue))


@dataclass(frozen=True, slots=True)
class Vote:
    """One rule in one copy: in scope, met and unknown (both only within scope)."""

    rule: Rule
    scope: Term
    met: Term
    unknown: Term


class Verdict:
    """What a pack says about one copy. Each of the four actions is a literal, and exactly one holds."""

    def __init__(self, solver: Solver, votes: Sequence[Vote], ignore_passing: bool = False) -> None:
        self.votes = votes
        self._solver = solver
        kinds = {kind: [vote for vote in votes if vote.rule.kind == kind] for kind in ("refer", "regress", "hold", "advance")}
        self._met = [v for v in votes if v.rule.kind != "advance"]
        holding = [v for v in kinds["hold"] if not (ignore_passing and v.rule.unknown == "pass")]
        refer = solver.any(v.met for v in kinds["refer"])
        self.regressing = solver.any(v.met for v in kinds["regress"])
        waiting = [v.unknown for kind in ("refer", "regress", "hold") for v in kinds[kind] if v.rule.unknown == "hold"]
        self.held = solver.any([*(v.met for v in holding), *waiting])
        in_scope = solver.any(v.scope for v in kinds["advance"])
        all_met = solver.all(solver.any((solver.no(v.scope), v.met)) for v in kinds["advance"])
        self.advancing = solver.all((in_scope, all_met))
        self.refer = refer
        self.regress = solver.all((self.regressing, solver.no(refer)))
        self.advance = solver.all((self.advancing, solver.no(self.held), solver.no(self.regressing), solver.no(refer)))
        self.hold = solver.no(solver.any((self.refer, self.regress, self.advance)))

    def action(self, model: Model) -> str:
        return next(name for name in ("refer", "regress", "hold", "advance") if model.holds(getattr(self, name)))

    @property
    def depths(self) -> list[int]:
        """The numbers of rungs a regress of this pack may go back, rising."""
        return sorted({max(v.rule.then.steps_back, 1) for v in self.votes if v.rule.kind == "regress" and not v.rule.then.to_entry})

    def back_at_least(self, rungs: int) -> Term:
        """A met regress goes back so many rungs or more; one to entry is not counted here."""
        return self._solver.any(
            v.met for v in self.votes if v.rule.kind == "regress" and max(v.rule.then.steps_back, 1) >= rungs and not v.rule.then.to_entry
        )

    def to_entry(self) -> Term:
        return self._solver.any(v.met for v in self.votes if v.rule.kind == "regress" and v.rule.then.to_entry)

    def targets(self) -> dict[int | str, Term]:
        """Where the course goes: 0 stays or gains, n so many rungs back at least, `entry`; exactly one holds."""
        solver = self._solver
        entry = self.to_entry()
        found: dict[int | str, Term] = {0: solver.no(self.regressing), ENTRY: entry}
        depths = self.depths
        for n, depth in enumerate(depths):
            further = self.back_at_least(depths[n + 1]) if n + 1 < len(depths) else False
            found[depth] = solver.all((self.back_at_least(depth), solver.no(further), solver.no(entry)))
        return {target: term for target, term in found.items() if term is not False}

    def running_at_least(self, level: int) -> Term:
        """A met rule asks for running as restricted as `RUNNING_ORDER[level]` or more."""
        wanted = RUNNING_ORDER[level:]
        return self._solver.any(v.met for v in self._met if v.rule.then.running in wanted)

    def urgency_at_least(self, level: int) -> Term:
        wanted = URGENCY_ORDER[level:]
        return self._solver.any([*(v.met for v in self._met if v.rule.then.urgency in wanted), self.refer])

    def rest_at_least(self, days: int) -> Term:
        return self._solver.any(v.met for v in self._met if (v.rule.then.rest_days or 0) >= days)


class Encoding:
    """One pack over one space and place; `votes` and `verdict` make a copy for a state."""

    def __init__(self, solver: Solver, protocol: Protocol, place: Place, space: Mapping[str, Domain]) -> None:
        self.solver, self.protocol, self.place, self.space = solver, protocol, place, space
        here = [step for step in protocol.steps if step in place.step]
        self.scopes: list[Term] = []
        for rule in protocol.rules:
            steps = [step for step in here if any(applies(rule, step, tissue) for tissue in place.tissue)]
            tissues = [tissue for tissue in place.tissue if any(applies(rule, step, tissue) for step in here)]
            self.scopes.append(place.within(steps, tissues))

    def state(self, values_of: State | None = None, known_of: State | None = None) -> State:
        """A copy of an athlete that obeys what the catalogue says of its facts."""
        made = State(self.solver, self.space, values_of, known_of)
        require_axioms(self.solver, self.protocol, self.place.step, self.place.tissue, made)
        return made

    def votes(self, state: State) -> list[Vote]:
        """Every rule of the pack over this state."""
        memo: dict[tuple[int, str, object], tuple[Term, Term]] = {}
        return [self._vote(rule, scope, state, memo) for rule, scope in zip(self.protocol.rules, self.scopes, strict=True)]

    def _vote(self, rule: Rule, scope: Term, state: State, memo: dict[tuple[int, str, object], tuple[Term, Term]]) -> Vote:
        if scope is False:
            return Vote(rule, False, False, False)
        met, not_met = self.entries(rule.when, state, memo)
        solver = self.solver
        return Vote(
            rule,
            scope,
            solver.all((scope, met)),
            solver.all((scope, solver.no(met), solver.no(not_met))),
        )

    def entries(
        self, when: Sequence[Condition | AnyOf], state: State, memo: dict[tuple[int, str, object], tuple[Term, Term]]
    ) -> tuple[Term, Term]:
        """Met and not met of a conjunction."""
        solver = self.solver
        met, not_met = [], []
        for entry in when:
            parts = [self.condition(one, state, memo) for one in (entry.conditions if isinstance(entry, AnyOf) else (entry,))]
            met.append(solver.any(part[0] for part in parts))
            not_met.append(solver.all(part[1] for part in parts))
        return solver.all(met), solver.any(not_met)

    def condition(self, condition: Condition, state: State, memo: dict[tuple[int, str, object], tuple[Term, Term]]) -> tuple[Term, Term]:
        """Met and not met of one condition; neither is unknown."""
        key = (condition.slot, condition.op, condition.encoded)
        found = memo.get(key)
        if found is None:
            slot = self.protocol.slots[condition.slot]
            seen, passes = state.seen(slot), state.passes(condition, slot.fact)
            solver = self.solver
            found = memo[key] = (
                solver.all((seen, passes)),
                solver.all((seen, solver.no(passes))),
            )
        return found

    def verdict(self, state: State, ignore_passing: bool = False) -> Verdict:
        return Verdict(self.solver, self.votes(state), ignore_passing)

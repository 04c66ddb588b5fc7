"""One pack laid out for proof: its verdict on an athlete, on the same athlete worse off, and on the same with less known.

Everything is built when first asked for and kept, since most laws ask of the same copies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from services.decision.core.protocol import ENTRY, Protocol
from services.decision.core.question import Action
from services.decision.core.recovery import earlier, no_more
from services.decision.engines.reference import judge
from services.decision.rules.prove.athlete import Athlete, Known, read
from services.decision.rules.prove.encoding import Encoding, Place, Verdict
from services.decision.rules.prove.solver import STEPS, Model, Solver, Term
from services.decision.rules.prove.space import State, domains


class Unconfirmed(AssertionError):
    """The engine answers otherwise than the encoding said: a fault of the prover, never of the pack."""


class Proof:
    """Questions about one pack. Raises `Unproved` where one is not settled within its bound."""

    def __init__(self, protocol: Protocol, steps: int = STEPS) -> None:
        self.protocol = protocol
        self.solver = Solver(steps)
        self.space = domains([protocol])
        self.place = Place(self.solver, protocol.steps)
        self.encoding = Encoding(self.solver, protocol, self.place, self.space)

    @cached_property
    def state(self) -> State:
        """The athlete as they are."""
        return self.encoding.state()

    @cached_property
    def verdict(self) -> Verdict:
        return self.encoding.verdict(self.state)

    @cached_property
    def strict_verdict(self) -> Verdict:
        """The same, as if the holds that let the unknown pass were not there."""
        return Verdict(self.solver, self.verdict.votes, ignore_passing=True)

    @cached_property
    def worse(self) -> State:
        """The same athlete, no fact better and any of them worse; the same is known of both."""
        other = self.encoding.state(known_of=self.state)
        for name, domain in self.space.items():
            pairs = list(zip(self.state.at_most[name], other.at_most[name], strict=True))
            for here, there in pairs:
                if domain.fact.worse in ("higher", "true", "none"):
                    self.solver.implies(there, here)
                if domain.fact.worse in ("lower", "false", "none"):
                    self.solver.implies(here, there)
        return other

    @cached_property
    def worse_verdict(self) -> Verdict:
        return self.encoding.verdict(self.worse)

    @cached_property
    def lost(self) -> State:
        """The same athlete with the same values, of which fewer are known, or older, or from somebody of lesser standing."""
        other = self.encoding.state(values_of=self.state)
        for name in self.space:
            self.solver.implies(other.is_known[name], self.state.is_known[name])
            for here, there in zip(self.state.fresh[name], other.fresh[name], strict=True):
                self.solver.implies(there, here)
            for here, there in zip(self.state.assessed[name], other.assessed[name], strict=True):
                self.solver.implies(there, here)
        return other

    @cached_property
    def lost_verdict(self) -> Verdict:
        return self.encoding.verdict(self.lost)

    def raised(self, before: Verdict, after: Verdict) -> Term:
        """`after` leads to a step that asks for more than the one `before` leads to, neither of them an advance."""
        solver, steps = self.solver, self.place.step
        pairs: dict[tuple[int | str, int | str], list[str]] = {}
        targets, others = before.targets(), after.targets()
        for step in self.protocol.steps:
            for one in targets:
                for other in others:
                    if one != other and self._asks_more(step, other, one):
                        pairs.setdefault((one, other), []).append(step)
        found = [
            solver.all((targets[one], others[other], solver.any(steps[step] for step in where))) for (one, other), where in pairs.items()
        ]
        return solver.all((solver.no(before.advance), solver.no(after.advance), solver.any(found)))

    def _asks_more(self, step: str, target: int | str, than: int | str) -> bool:
        one, other = (self._target(step, each) for each in (target, than))
        if one in (other, ENTRY):
            return False
        if other == ENTRY:
            return True
        first, second = self.protocol.step(one), self.protocol.step(other)
        return first is not None and second is not None and not no_more(first.dose, second.dose)

    def _target(self, step: str, target: int | str) -> str:
        if target == 0:
            return step
        return ENTRY if isinstance(target, str) else earlier(self.protocol, step, target)

    def more_permissive(self, before: Verdict, after: Verdict) -> Term:
        """`after` allows more than `before`: refer, regress, hold, advance in this order."""
        solver = self.solver
        return solver.any(
            (
                solver.all((after.advance, solver.no(before.advance))),
                solver.all((after.hold, solver.any((before.refer, before.regress)))),
                solver.all((after.regress, before.refer)),
            )
        )

    def find(self, question: str, *terms: Term, well: Sequence[State] = ()) -> Model | None:
        """A model of the terms in which, as far as they allow, every fact of the states in `well` is at its best."""
        goal = list(terms)
        if not self.solver.possible(question, *goal):
            return None
        for state in well:
            goal += self.solver.together(question, goal, [best for name in self.space if (best := state.is_best(name)) is not True])
        return self.solver.find(question, *goal)

    def athlete(self, model: Model, state: State, named: Iterable[str] = ()) -> Athlete:
        """The athlete of a model in whom only what is not at its best matters, and what is named. Kept only if the engine agrees."""
        whole = read(model, state, *self.place.of(model))
        named = set(named)
        matters = [one.fact.name for one in whole.facts if one.fact.name in named or self._amiss(one)]
        return replace(whole, matters=tuple(matters))

    def _amiss(self, one: Known) -> bool:
        """Unknown, doubtful or on the worse side of some threshold, and not a mere echo of where the athlete stands."""
        domain = self.space[one.fact.name]
        if one.fact.worse == "none" or one.fact.name in AT_STEP:
            return False
        return one.value is None or bool(one.age_days) or one.assessor != "clinician" or not domain.is_best(one.value)

    def confirmed(self, athlete: Athlete, action: str) -> Athlete:
        """The athlete, once the reference engine answered as the encoding did."""
        found = athlete.action(self.protocol, _action_of)
        if found != action:
            raise Unconfirmed(f"{athlete.words()}: the encoding says {action}, the engine {found}")
        return athlete


AT_STEP = ("injury.tissue", "injury.bone_risk", "injury.suits_protocol", "course.at_entry")
"""Facts that only say again where the athlete stands and what for."""


def _action_of(protocol: Protocol, values: Sequence[int | None], rung: int, tissue: int) -> Action:
    return judge(protocol, values, rung, tissue).action

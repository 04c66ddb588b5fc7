"""The one door to z3: propositions, and whether some of them can hold together.

Every number a rule compares is bounded, so the questions are finite and z3's finite-domain solver settles them. What limits a search is
counted steps, never time: the same question has the same answer on every machine.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import z3

Term = Any
"""A z3 proposition, or a plain bool where the answer is known already."""

STEPS = 20_000_000
"""z3 resource units for one question; the hardest seen in a pack of 200 rules took under a hundredth of it."""


class Unproved(Exception):
    """A question that was not settled within its bound. Never read as an answer."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


class Model:
    """One way in which everything asked for holds."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def holds(self, term: Term) -> bool:
        return term if isinstance(term, bool) else bool(z3.is_true(self._model.eval(term, model_completion=True)))


class Solver:
    """Propositions under one context of their own, so that proofs neither share state nor order."""

    def __init__(self, steps: int = STEPS) -> None:
        self._context = z3.Context()
        self._solver = z3.SolverFor("QF_FD", ctx=self._context)
        self._solver.set("random_seed", 0)
        self._solver.set("rlimit", steps)
        self._made = 0

    def var(self) -> Term:
        self._made += 1
        return z3.Bool(f"p{self._made}", self._context)

    def all(self, terms: Iterable[Term]) -> Term:
        open_ = []
        for term in terms:
            if term is False:
                return False
            if term is not True:
                open_.append(term)
        if not open_:
            return True
        return open_[0] if len(open_) == 1 else z3.And(open_)

    def any(self, terms: Iterable[Term]) -> Term:
        open_ = []
        for term in terms:
            if term is True:
                return True
            if term is not False:
                open_.append(term)
        if not open_:
            return False
        return open_[0] if len(open_) == 1 else z3.Or(open_)

    def no(self, term: Term) -> Term:
        return not term if isinstance(term, bool) else z3.Not(term)

    def named(self, term: Term) -> Term:
        """A variable that is true exactly when `term` is; constants and variables stay what they are."""
        if isinstance(term, bool) or z3.is_const(term):
            return term
        made = self.var()
        self._solver.add(made == term)
        return made

    def require(self, term: Term) -> None:
        if term is not True:
            self._solver.add(z3.BoolVal(False, self._context) if term is False else term)

    def implies(self, first: Term, then: Term) -> None:
        """From now on `then` holds wherever `first` does."""
        self.require(self.any((self.no(first), then)))

    def find(self, question: str, *terms: Term) -> Model | None:
        """A way in which all terms hold, None where there is none; raises `Unproved`, naming the question, when neither is settled."""
        wanted = [self.named(term) if not _is_literal(term) else term for term in terms if term is not True]
        if any(term is False for term in wanted):
            return None
        found = self._solver.check(*wanted)
        if found == z3.unknown:
            raise Unproved(question)
        return Model(self._solver.model()) if found == z3.sat else None

    def needed(self, question: str, literals: Sequence[Term], *terms: Term) -> list[Term]:
        """Of `literals`, which together with `terms` cannot hold, a part that cannot either and of which nothing can be left out."""
        context = [term for term in terms if term is not True]
        kept = [literal for literal in literals if not isinstance(literal, bool)]
        if self._solver.check(*context, *kept) != z3.unsat:
            raise Unproved(question)
        core = {term.get_id() for term in self._solver.unsat_core()}
        kept = [literal for literal in kept if literal.get_id() in core]
        for literal in list(kept):
            without = [other for other in kept if other is not literal]
            if self._solver.check(*context, *without) == z3.unsat:
                kept = without
        return kept


def _is_literal(term: Term) -> bool:
    return isinstance(term, bool) or z3.is_const(term) or (z3.is_not(term) and z3.is_const(term.arg(0)))

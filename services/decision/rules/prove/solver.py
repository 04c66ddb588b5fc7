"""The one door to z3: propositions, and whether some of them can hold together.

A proposition is a number, its denial the negative of it. Every number a rule compares is bounded, so all questions are finite and z3's
finite-domain solver settles them; it is handed clauses in bulk, for building its terms one by one costs more than solving them. What
limits a search is counted steps, never time: the same question has the same answer on every machine.
"""

from collections.abc import Callable, Iterable, Sequence

import z3
from z3 import z3core

Term = int | bool
"""A proposition, or a plain bool where the answer is known already. `True` is never the proposition 1: those begin at 2."""

STEPS = 20_000_000
"""z3 resource units for one question; the hardest seen in a pack of 200 rules took under a hundredth of it."""


class Unproved(Exception):
    """A question that was not settled within its bound. Never read as an answer."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


class Model:
    """One way in which everything asked for holds."""

    def __init__(self, model: z3.ModelRef, literal: Callable[[int], z3.BoolRef]) -> None:
        self._model, self._literal = model, literal

    def holds(self, term: Term) -> bool:
        if term is True or term is False:
            return term
        return bool(z3.is_true(self._model.eval(self._literal(term), model_completion=True)))


class Solver:
    """Propositions under one context of their own, so that proofs neither share state nor order."""

    def __init__(self, steps: int = STEPS) -> None:
        self._context = z3.Context()
        self._solver = z3.SolverFor("QF_FD", ctx=self._context)
        self._solver.set("random_seed", 0)
        self._solver.set("rlimit", steps)
        self._last = 1
        self._clauses: list[str] = []
        self._shared: dict[tuple[int, ...], int] = {}
        self._literals: dict[int, z3.BoolRef] = {}

    def var(self) -> int:
        self._last += 1
        return self._last

    def any(self, terms: Iterable[Term]) -> Term:
        open_: dict[int, None] = {}
        for term in terms:
            if term is True or (term is not False and -term in open_):
                return True
            if term is not False:
                open_[term] = None
        if len(open_) < 2:
            return next(iter(open_), False)
        key = tuple(sorted(open_))
        made = self._shared.get(key)
        if made is None:
            made = self._shared[key] = self.var()
            self._clauses.append(f"{-made} {' '.join(map(str, key))} 0")
            self._clauses += [f"{made} {-one} 0" for one in key]
        return made

    def all(self, terms: Iterable[Term]) -> Term:
        return self.no(self.any([self.no(term) for term in terms]))

    def no(self, term: Term) -> Term:
        return not term if term is True or term is False else -term

    def same(self, one: Term, other: Term) -> Term:
        """Both hold or neither does."""
        return self.any((self.all((one, other)), self.all((self.no(one), self.no(other)))))

    def require(self, term: Term) -> None:
        """From now on `term` holds."""
        if term is not True:
            self._clauses.append("0" if term is False else f"{term} 0")

    def require_any(self, terms: Iterable[Term]) -> None:
        """From now on one of the terms holds; no proposition is made of it."""
        open_ = [term for term in terms if term is not False]
        if not any(term is True for term in open_):
            self._clauses.append(" ".join(map(str, [*open_, 0])))

    def implies(self, first: Term, then: Term) -> None:
        """From now on `then` holds wherever `first` does."""
        self.require_any((self.no(first), then))

    def possible(self, question: str, *terms: Term) -> bool:
        """Whether all terms can hold together; raises `Unproved`, naming the question, when that is not settled."""
        if any(term is False for term in terms):
            return False
        self._hand_over()
        found = self._solver.check(*[self._literal(term) for term in terms if term is not True])
        if found == z3.unknown:
            raise Unproved(question)
        return bool(found == z3.sat)

    def find(self, question: str, *terms: Term) -> Model | None:
        """A way in which all terms hold, None where there is none; raises `Unproved` when neither is settled."""
        if not self.possible(question, *terms):
            return None
        return Model(self._solver.model(), self._literal)

    def needed(self, question: str, literals: Sequence[Term], *terms: Term) -> list[int]:
        """Of `literals`, which together with `terms` cannot hold, a part that cannot either and of which nothing can be left out."""
        kept = [literal for literal in literals if literal is not True and literal is not False]
        if self.possible(question, *terms, *kept):
            raise Unproved(question)
        core = {_number(term.arg(0).decl()) * -1 if z3.is_not(term) else _number(term.decl()) for term in self._solver.unsat_core()}
        kept = [literal for literal in kept if literal in core]
        for literal in list(kept):
            without = [other for other in kept if other != literal]
            if not self.possible(question, *terms, *without):
                kept = without
        return kept

    def together(self, question: str, goal: Sequence[Term], wished: Sequence[Term]) -> list[Term]:
        """Of the terms wished for, in their order, those that can hold beside the goal and the ones before them."""
        if not wished or self.possible(question, *goal, *wished):
            return list(wished)
        if len(wished) == 1:
            return []
        half = len(wished) // 2
        first = self.together(question, goal, wished[:half])
        return first + self.together(question, [*goal, *first], wished[half:])

    def _hand_over(self) -> None:
        if self._clauses:
            head = f"p cnf {self._last} {len(self._clauses)}"
            self._solver.from_string("\n".join((head, *self._clauses, "")))
            self._clauses.clear()

    def _literal(self, term: int) -> z3.BoolRef:
        """The solver's name of a proposition: the number it has in the clauses."""
        found = self._literals.get(term)
        if found is None:
            if term < 0:
                found = z3.Not(self._literal(-term))
            else:
                reference = self._context.ref()
                symbol = z3core.Z3_mk_int_symbol(reference, term)
                found = z3.BoolRef(z3core.Z3_mk_const(reference, symbol, z3.BoolSort(self._context).ast), self._context)
            self._literals[term] = found
        return found


def _number(declared: z3.FuncDeclRef) -> int:
    """The proposition that z3 calls `k!7`."""
    return int(declared.name().removeprefix("k!"))

"""Whether a mutant can be told from its pack at all, over every athlete there can be: proved, never guessed.

Compared is all that a recorded case shows: the action, where it leads, rest, running, urgency, and the rules that decide. What is not
settled within the prover's bound counts as different.
"""

from collections.abc import Mapping
from typing import Final

from services.decision.core.protocol import RUNNING_ORDER, URGENCY_ORDER, Protocol
from services.decision.rules.prove.encoding import Encoding, Place, Verdict
from services.decision.rules.prove.solver import Solver, Term, Unproved
from services.decision.rules.prove.space import domains
from services.decision.rules.testing.mutants import Mutant

_QUESTION: Final = "MUTANT"


def same(protocol: Protocol, mutant: Mutant) -> bool:
    """True when no athlete, at any step, with any tissue, is answered otherwise by the mutant."""
    if mutant.touches not in ("rule", "clean"):
        return mutant.touches == "course" and _counts_the_same(protocol, mutant.protocol)
    solver = Solver()
    space = domains([protocol, mutant.protocol])
    place = Place(solver, protocol.steps)
    before, after = (Encoding(solver, one, place, space) for one in (protocol, mutant.protocol))
    state = before.state()
    if mutant.touches == "clean":
        differing = [
            _differ(solver, *both)
            for both in zip(before.entries(protocol.clean, state, {}), after.entries(mutant.protocol.clean, state, {}), strict=True)
        ]
    else:
        differing = _answers_differ(solver, before.verdict(state), after.verdict(state))
    try:
        return solver.find(_QUESTION, solver.any(differing)) is None
    except Unproved:
        return False


def _counts_the_same(protocol: Protocol, mutant: Protocol) -> bool:
    """Where one clean session is always enough, it does not matter how near the next one is."""
    progress, other = protocol.progress, mutant.progress
    one_is_enough = max(progress.clean_sessions, progress.after_failure, progress.on_rebuild) == 1
    needs = ("clean_sessions", "after_failure", "on_rebuild", "unclean_restarts")
    kept = all(getattr(progress, name) == getattr(other, name) for name in needs)
    return one_is_enough and kept and progress.non_consecutive != other.non_consecutive


def _differ(solver: Solver, one: Term, other: Term) -> Term:
    return solver.any((solver.all((one, solver.no(other))), solver.all((other, solver.no(one)))))


def _answers_differ(solver: Solver, one: Verdict, other: Verdict) -> list[Term]:
    pairs: list[tuple[Term, Term]] = [(getattr(one, name), getattr(other, name)) for name in ("refer", "regress", "hold", "advance")]
    mine, yours = one.targets(), other.targets()
    pairs += [(mine.get(target, False), yours.get(target, False)) for target in dict.fromkeys((*mine, *yours))]
    pairs += [(one.running_at_least(level), other.running_at_least(level)) for level in range(1, len(RUNNING_ORDER))]
    pairs += [(one.urgency_at_least(level), other.urgency_at_least(level)) for level in range(1, len(URGENCY_ORDER))]
    rests = sorted({vote.rule.then.rest_days for verdict in (one, other) for vote in verdict.votes if vote.rule.then.rest_days})
    pairs += [(one.rest_at_least(days), other.rest_at_least(days)) for days in rests]
    told, again = _named(solver, one), _named(solver, other)
    pairs += [(told.get(name, False), again.get(name, False)) for name in dict.fromkeys((*told, *again))]
    return [_differ(solver, *pair) for pair in pairs]


def _named(solver: Solver, verdict: Verdict) -> Mapping[str, Term]:
    """For each rule, and for each while unknown, when an answer names it."""
    found: dict[str, Term] = {}
    for vote in verdict.votes:
        rule = vote.rule
        met, unknown = f"{rule.id} met", f"{rule.id} unknown"
        if rule.kind == "advance":
            found[met] = solver.all((verdict.advance, vote.met))
            in_the_way = solver.all((verdict.hold, solver.no(verdict.held)))
            found[unknown] = solver.all((in_the_way, vote.unknown))
            found[f"{rule.id} not met"] = solver.all((in_the_way, vote.scope, solver.no(vote.met), solver.no(vote.unknown)))
            continue
        levels = {"refer": (verdict.refer,), "regress": (verdict.refer, verdict.regress), "hold": (verdict.hold,)}
        found[met] = solver.all((solver.any(levels[rule.kind]), vote.met))
        if rule.unknown == "hold":
            found[unknown] = solver.all((verdict.hold, vote.unknown))
    return found

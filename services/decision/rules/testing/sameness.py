"""Whether a mutant can be told from its pack at all, over every athlete there can be: proved, never guessed.

Compared is all that a recorded case shows: the action, where it leads, rest, running, urgency, and the rules that decide. What is not
settled within the prover's bound counts as different.
"""

from collections.abc import Mapping
from typing import Final

from services.decision.core.protocol import COMPLETE, ENTRY, RUNNING_ORDER, URGENCY_ORDER, Protocol
from services.decision.core.recovery import earlier
from services.decision.rules.prove.athlete import Athlete, read
from services.decision.rules.prove.encoding import Encoding, Place, Verdict
from services.decision.rules.prove.solver import Solver, Term, Unproved
from services.decision.rules.prove.space import domains
from services.decision.rules.testing.mutants import Mutant

_QUESTION: Final = "MUTANT"


def same(protocol: Protocol, mutant: Mutant) -> bool:
    """True when no athlete, at any step, with any tissue, is answered otherwise by the mutant."""
    if mutant.touches not in ("rule", "clean"):
        return mutant.touches == "course" and _counts_the_same(protocol, mutant.protocol)
    try:
        return _Compared(protocol, mutant).athlete() is None
    except Unproved:
        return False


def telling(protocol: Protocol, mutant: Mutant) -> Athlete | None:
    """An athlete whom the mutant of a rule answers otherwise than the pack, if there is one and it is found."""
    try:
        return _Compared(protocol, mutant).athlete() if mutant.touches == "rule" else None
    except Unproved:
        return None


class _Compared:
    """A pack and its mutant over one athlete."""

    def __init__(self, protocol: Protocol, mutant: Mutant) -> None:
        solver = self._solver = Solver()
        space = domains([protocol, mutant.protocol])
        self._place = Place(solver, protocol.steps)
        before, after = (Encoding(solver, one, self._place, space) for one in (protocol, mutant.protocol))
        state = self._state = before.state()
        if mutant.touches == "clean":
            entries = (before.entries(protocol.clean, state, {}), after.entries(mutant.protocol.clean, state, {}))
            self._differing = [_differ(solver, *both) for both in zip(*entries, strict=True)]
        else:
            self._differing = _answers_differ(solver, self._place, protocol, before.verdict(state), after.verdict(state))

    def athlete(self) -> Athlete | None:
        model = self._solver.find(_QUESTION, self._solver.any(self._differing))
        return None if model is None else read(model, self._state, *self._place.of(model))


def _counts_the_same(protocol: Protocol, mutant: Protocol) -> bool:
    """Where one clean session is always enough, it does not matter how near the next one is."""
    progress, other = protocol.progress, mutant.progress
    one_is_enough = max(progress.clean_sessions, progress.after_failure, progress.on_rebuild) == 1
    needs = ("clean_sessions", "after_failure", "on_rebuild", "unclean_restarts")
    kept = all(getattr(progress, name) == getattr(other, name) for name in needs)
    return one_is_enough and kept and progress.non_consecutive != other.non_consecutive


def _differ(solver: Solver, one: Term, other: Term) -> Term:
    return solver.any((solver.all((one, solver.no(other))), solver.all((other, solver.no(one)))))


def _answers_differ(solver: Solver, place: Place, protocol: Protocol, one: Verdict, other: Verdict) -> list[Term]:
    pairs: list[tuple[Term, Term]] = [(getattr(one, name), getattr(other, name)) for name in ("refer", "regress", "hold", "advance")]
    mine, yours = (_back_to(solver, place, protocol, verdict) for verdict in (one, other))
    pairs += [(mine.get(step, False), yours.get(step, False)) for step in dict.fromkeys((*mine, *yours))]
    for level in range(1, len(RUNNING_ORDER)):
        pairs.append((_running(solver, place, one, mine, level), _running(solver, place, other, yours, level)))
    pairs += [(one.urgency_at_least(level), other.urgency_at_least(level)) for level in range(1, len(URGENCY_ORDER))]
    rests = sorted({vote.rule.then.rest_days for verdict in (one, other) for vote in verdict.votes if vote.rule.then.rest_days})
    for days in rests:
        seen = _rest_shows(solver, place, protocol, one, days)
        pairs.append((solver.all((seen, one.rest_at_least(days))), solver.all((seen, other.rest_at_least(days)))))
    told, again = _named(solver, one), _named(solver, other)
    pairs += [(told.get(name, False), again.get(name, False)) for name in dict.fromkeys((*told, *again))]
    return [_differ(solver, *pair) for pair in pairs]


def _back_to(solver: Solver, place: Place, protocol: Protocol, verdict: Verdict) -> dict[str, Term]:
    """For each step, when a regress leads to it."""
    found: dict[str, list[Term]] = {}
    for target, here in verdict.targets().items():
        for step in protocol.steps:
            if target != 0:
                to = ENTRY if isinstance(target, str) else earlier(protocol, step, target)
                found.setdefault(to, []).append(solver.all((here, place.step[step])))
    return {step: solver.any(terms) for step, terms in found.items()}


def _running(solver: Solver, place: Place, verdict: Verdict, back_to: Mapping[str, Term], level: int) -> Term:
    """Running as restricted as this or more: by a rule, or because at entry there is only walking."""
    stays = solver.all((place.step[ENTRY], solver.no(verdict.advance)))
    walks = solver.any((stays, back_to.get(ENTRY, False))) if level <= RUNNING_ORDER.index("walk_only") else False
    return solver.any((verdict.running_at_least(level), walks))


def _rest_shows(solver: Solver, place: Place, protocol: Protocol, verdict: Verdict, days: int) -> Term:
    """Where a rule's rest of so many days is more than the step itself asks for; going back from `complete` ends at some step."""
    rest = protocol.rest_days
    plain = solver.any(place.step[step] for step in protocol.steps if step != COMPLETE and days > rest.get(step, 0))
    at_once = solver.any((solver.no(verdict.regressing), verdict.to_entry(), days > min(rest.values(), default=0)))
    return solver.any((plain, solver.all((place.step[COMPLETE], at_once))))


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

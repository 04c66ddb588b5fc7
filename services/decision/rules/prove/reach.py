"""Whether every step can be left, and whether every rule can change anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.decision.core.conditions import flat
from services.decision.core.protocol import RUNNING_ORDER, URGENCY_ORDER, Rule
from services.decision.core.question import applies
from services.decision.rules.prove.encoding import Verdict, Vote
from services.decision.rules.prove.proof import Proof
from services.decision.rules.prove.solver import Term


@dataclass(frozen=True, slots=True)
class Stuck:
    """A step and the tissues at which nobody can ever advance; `reviewed` when only holds that ask for a review stand in the way."""

    step: str
    tissues: tuple[str, ...]
    reviewed: tuple[str, ...]
    entered: bool
    """An advance rule applies there at all."""


def dead_ends(proof: Proof) -> Iterator[Stuck]:
    """LIVE: at every step but the last, some athlete of the pack's population advances."""
    protocol = proof.protocol
    answers: dict[object, tuple[bool, bool]] = {}
    for step in protocol.steps[:-1]:
        stuck: list[str] = []
        reviewed = False
        for tissue in protocol.population.tissues:
            scope = tuple(n for n, rule in enumerate(protocol.rules) if applies(rule, step, tissue))
            group = (scope, tissue if "injury.tissue" in proof.space or tissue == "bone" else "")
            if group not in answers:
                here = (proof.place.step[step], proof.place.tissue[tissue])
                lives = proof.solver.possible("LIVE", proof.verdict.advance, *here)
                answers[group] = (lives, lives or proof.solver.possible("LIVE", _without_reviews(proof).advance, *here))
            lives, with_review = answers[group]
            if not lives:
                stuck.append(tissue)
                reviewed = with_review
        if stuck:
            asks = [
                r for r in protocol.rules if r.kind == "hold" and r.then.urgency == "review" and r.steps is not None and step in r.steps
            ]
            narrow = [r.id for r in asks if len(r.steps or ()) < len(protocol.ladder)]
            entered = any(r.kind == "advance" and applies(r, step, stuck[0]) for r in protocol.rules)
            yield Stuck(step, tuple(stuck), tuple(narrow) if reviewed else (), entered)


def _without_reviews(proof: Proof) -> Verdict:
    """The verdict as if no hold that asks for a review were there."""
    kept = [v for v in proof.verdict.votes if not (v.rule.kind == "hold" and v.rule.then.urgency == "review")]
    return Verdict(proof.solver, kept)


def dead_rules(proof: Proof) -> Iterator[tuple[str, str | None]]:
    """DEAD: rules that cannot change any verdict, each with the rule that always speaks as strictly, if one does."""
    solver, votes = proof.solver, proof.verdict.votes
    advances = [vote for vote in votes if vote.rule.kind == "advance"]
    strictness = [_strictness(vote.rule) for vote in votes]
    free = solver.no(solver.any((proof.verdict.held, proof.verdict.regressing, proof.verdict.refer)))
    questions: list[tuple[Vote, list[Vote], Term]] = []
    for n, vote in enumerate(votes):
        if vote.rule.kind == "advance":
            others = [v for v in advances if v is not vote]
            all_met = solver.all(solver.any((solver.no(v.scope), v.met)) for v in others)
            alone = solver.no(solver.any(v.scope for v in others))
            speaks = solver.any((solver.all((alone, vote.met)), solver.all((solver.no(alone), solver.no(vote.met)))))
            questions.append((vote, [], solver.all((vote.scope, all_met, speaks, free))))
            continue
        stronger = [
            v
            for m, v in enumerate(votes)
            if m != n and v.rule.kind != "advance" and v.scope is not False and _as_strict(strictness, m, n)
            if set(vote.rule.then.resume_when) <= set(v.rule.then.resume_when)
        ]
        questions.append((vote, stronger, solver.all((vote.met, solver.no(solver.any(v.met for v in stronger))))))
    # Every question is put together before the first is asked: the solver is slow to take in more between two answers.
    dead: dict[str, tuple[int, ...]] = {}
    for vote, stronger, question in questions:
        mine = _strictness(vote.rule)
        if mine in dead.values() and any(dead.get(v.rule.id) == mine for v in stronger):
            # Of two rules that ask the same one must stand: one that is dead silences no other.
            stronger = [v for v in stronger if v.rule.id not in dead]
            question = solver.all((vote.met, solver.no(solver.any(v.met for v in stronger))))
        if not solver.possible("DEAD", question):
            dead[vote.rule.id] = mine
            yield vote.rule.id, _silenced_by(proof, vote, stronger)


def _silenced_by(proof: Proof, vote: Vote, stronger: list[Vote]) -> str | None:
    """One of the stricter rules that is met wherever the rule is, the first that reads what it reads; None where it is never met."""
    seen = proof.solver.find("DEAD", vote.met)
    if seen is None:
        return None
    read = _slots(vote.rule)
    near = sorted((other for other in stronger if seen.holds(other.met)), key=lambda other: not read & _slots(other.rule))
    always = (other.rule.id for other in near if not proof.solver.possible("DEAD", vote.met, proof.solver.no(other.met)))
    return next(always, "one or another stricter rule")


def _slots(rule: Rule) -> set[int]:
    return {condition.slot for condition in flat(rule.when)}


def _as_strict(strictness: Sequence[tuple[int, ...]], one: int, other: int) -> bool:
    """`one` asks for everything `other` asks for."""
    mine, yours = strictness[one], strictness[other]
    return mine[0] >= yours[0] and all(m >= y for m, y in zip(mine, yours, strict=True))


def _strictness(rule: Rule) -> tuple[int, ...]:
    then = rule.then
    return (
        ("advance", "hold", "regress", "refer").index(rule.kind),
        int(then.to_entry),
        99 if then.to_entry else then.steps_back,
        then.rest_days or 0,
        0 if then.running is None else RUNNING_ORDER.index(then.running),
        URGENCY_ORDER.index(then.urgency),
        int(rule.unknown == "hold"),
    )

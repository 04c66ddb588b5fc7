"""Whether every step can be left, and whether every rule can change anything."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.decision.core.protocol import RUNNING_ORDER, URGENCY_ORDER, Protocol, Rule
from services.decision.core.question import applies
from services.decision.rules.prove.encoding import Verdict
from services.decision.rules.prove.proof import Proof


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
    protocol, solver = proof.protocol, proof.solver
    kept = [v for v in proof.verdict.votes if not (v.rule.kind == "hold" and v.rule.then.urgency == "review")]
    without_reviews = Verdict(solver, kept)
    answers: dict[object, tuple[bool, bool]] = {}
    for step in protocol.steps[:-1]:
        stuck: list[str] = []
        reviewed = False
        for tissue in protocol.population.tissues:
            scope = tuple(n for n, rule in enumerate(protocol.rules) if applies(rule, step, tissue))
            group = (scope, tissue if "injury.tissue" in proof.space or tissue == "bone" else "")
            if group not in answers:
                here = (proof.place.step[step], proof.place.tissue[tissue])
                lives = proof.solver.find("LIVE", proof.verdict.advance, *here) is not None
                answers[group] = (lives, lives or proof.solver.find("LIVE", without_reviews.advance, *here) is not None)
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


def dead_rules(proof: Proof) -> Iterator[tuple[str, str | None]]:
    """DEAD: rules that cannot change any verdict, each with the rule that always speaks as strictly, if one does."""
    solver, votes = proof.solver, proof.verdict.votes
    advances = [vote for vote in votes if vote.rule.kind == "advance"]
    for vote in votes:
        rule = vote.rule
        if rule.kind == "advance":
            others = solver.all(solver.any((solver.no(v.scope), v.met)) for v in advances if v is not vote)
            alone = solver.no(solver.any(v.scope for v in advances if v is not vote))
            speaks = solver.all((vote.scope, others, solver.any((alone, solver.no(vote.met))), solver.any((solver.no(alone), vote.met))))
            free = solver.no(solver.any((proof.verdict.held, proof.verdict.regressing, proof.verdict.refer)))
            if solver.find("DEAD", speaks, free) is None and solver.find("DEAD", speaks) is None:
                yield rule.id, None
            continue
        stronger = [v for v in votes if v is not vote and _as_strict(proof.protocol, v.rule.id, rule.id)]
        if solver.find("DEAD", vote.met, *(solver.no(v.met) for v in stronger)) is None:
            met = solver.find("DEAD", vote.met)
            by = None if met is None else next((v.rule.id for v in stronger if met.holds(v.met)), None)
            yield rule.id, by


def _as_strict(protocol: Protocol, one: str, other: str) -> bool:
    """`one` asks for everything `other` asks for; of two that ask the same, the first stands."""
    rules = {rule.id: (n, rule) for n, rule in enumerate(protocol.rules)}
    (first, a), (second, b) = rules[one], rules[other]
    if a.kind == "advance" or b.kind == "advance":
        return False
    mine, yours = _strictness(a), _strictness(b)
    at_least = all(m >= y for m, y in zip(mine, yours, strict=True)) and set(b.then.resume_when) <= set(a.then.resume_when)
    return at_least and (mine != yours or first < second)


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

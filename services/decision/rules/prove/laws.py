"""The safety laws that can be proved, each as a question to one pack. An empty answer is the proof; every item is an athlete who breaks it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.decision.core.conditions import flat
from services.decision.core.protocol import COMPLETE, ENTRY, RUNNING_ORDER, AnyOf, Protocol
from services.decision.core.question import applies
from services.decision.rules.prove.athlete import Athlete, label, listed
from services.decision.rules.prove.encoding import Verdict
from services.decision.rules.prove.proof import Proof
from services.decision.rules.prove.solver import Model, Term
from services.decision.rules.prove.space import State

SHOWN = 5
"""Athletes shown for one law; each differs from the others in what breaks it."""

RED_FLAG = "referral.open"
ENGINE_FAULT = "engine.faulted"
COUNT = "step.clean_sessions_short"
"""The count of clean sessions: known only where what `clean` asks for is."""

DONE = {"advance": "would be advanced", "hold": "would be held", "regress": "would go back", "refer": "would be referred"}


@dataclass(frozen=True, slots=True)
class Breach:
    """An athlete whom the pack treats against a law, as one sentence, and the facts and rules it turns on."""

    athlete: Athlete
    sentence: str
    facts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


def missing_never_advances(proof: Proof) -> Iterator[Breach]:
    """SAFE-01: whoever advances with something unknown, too old or too lowly assessed advances whatever its value is."""
    solver = proof.solver
    for _ in range(SHOWN):
        goal = solver.all((proof.lost_verdict.advance, solver.no(proof.strict_verdict.advance)))
        model = proof.find("SAFE-01", goal)
        if model is None:
            break
        model, facts = _fewest(proof, "SAFE-01", goal, {n: _same_knowledge(proof, n) for n in proof.space}, (proof.lost, proof.state))
        full, less = proof.athlete(model, proof.state, facts), proof.athlete(model, proof.lost, facts)
        proof.confirmed(less, "advance")
        was = proof.verdict.action(model)
        said = listed([label(proof.space[f].fact) for f in facts])
        yield Breach(
            less,
            f"{less.words()} {DONE['advance']}; with {said} known as in this athlete it is otherwise: {full.words()} {DONE[was]}.",
            facts,
        )
        solver.require(solver.any(_same_knowledge(proof, fact) for fact in facts))
    for family in ("pain",):
        yield from _advances_without(proof, "SAFE-01", (family,), lambda step: True)


def _advances_without(proof: Proof, law: str, families: Sequence[str], at: "StepTest") -> Iterator[Breach]:
    """An advance at one of these steps while no fact of the families is known."""
    solver = proof.solver
    silent = [solver.no(proof.state.is_known[name]) for name in proof.space if families_of(proof.protocol, name) & set(families)]
    steps = [step for step in proof.protocol.steps if at(step)]
    goal = solver.all((proof.verdict.advance, *silent, solver.any(proof.place.step[step] for step in steps)))
    model = proof.find(law, goal, well=(proof.state,))
    if model is None:
        return
    athlete = proof.confirmed(proof.athlete(model, proof.state), "advance")
    yield Breach(athlete, f"{athlete.words()}, all else well, {DONE['advance']} with nothing known of {' or '.join(families)}.")


StepTest = type(lambda step: True)


def families_of(protocol: Protocol, fact: str) -> set[str]:
    """The families a known fact speaks for; the count of clean sessions speaks for whatever `clean` cannot do without."""
    found = {protocol.facts[fact].family}
    if fact == COUNT:
        for entry in protocol.clean:
            parts = [protocol.facts[protocol.slots[one.slot].fact].family for one in flat([entry])]
            if not isinstance(entry, AnyOf) or len(set(parts)) == 1:
                found |= set(parts)
    return found


def worse_never_freer(proof: Proof) -> Iterator[Breach]:
    """SAFE-02: making any fact worse never makes the verdict more permissive nor leads to a step that asks for more."""
    solver = proof.solver
    freer = solver.named(proof.more_permissive(proof.verdict, proof.worse_verdict))
    more = solver.named(proof.raised(proof.verdict, proof.worse_verdict))
    goal = solver.named(solver.any((freer, more)))
    for _ in range(SHOWN):
        if proof.find("SAFE-02", goal) is None:
            return
        model, facts = _fewest(proof, "SAFE-02", goal, {n: _same_value(proof, n) for n in proof.space}, (proof.state, proof.worse))
        before, after = proof.athlete(model, proof.state, facts), proof.athlete(model, proof.worse, facts)
        was, now = proof.verdict.action(model), proof.worse_verdict.action(model)
        proof.confirmed(before, was)
        proof.confirmed(after, now)
        said = listed([label(proof.space[f].fact) for f in facts])
        end = DONE[now] if model.holds(freer) else f"{DONE[now]} to a step that asks for more"
        yield Breach(before, f"{before.words()} {DONE[was]}; with {said} worse, {_lower(after.words())} {end}.", facts)
        solver.require(solver.any(_same_value(proof, fact) for fact in facts))


def pain_not_alone(proof: Proof) -> Iterator[Breach]:
    """SAFE-03: no advance while nothing is known of function and technique, nor, once running has begun, of load."""
    yield from _advances_without(proof, "SAFE-03", ("function", "technique"), lambda step: step != COMPLETE)
    yield from _advances_without(proof, "SAFE-03", ("load",), lambda step: step not in (ENTRY, COMPLETE))


def red_flag_stops(proof: Proof) -> Iterator[Breach]:
    """SAFE-06: whoever has an open red flag is referred and does not run, whatever else is known."""
    yield from _always(proof, "SAFE-06", RED_FLAG, proof.verdict, "refer")
    if RED_FLAG in proof.space:
        solver = proof.solver
        withheld = proof.verdict.running_at_least(RUNNING_ORDER.index("withheld"))
        flagged = solver.all((_is_true(proof, proof.state, RED_FLAG), proof.verdict.refer, solver.no(withheld)))
        model = proof.find("SAFE-06", flagged, well=(proof.state,))
        if model is not None:
            athlete = proof.confirmed(proof.athlete(model, proof.state, (RED_FLAG,)), "refer")
            yield Breach(athlete, f"{athlete.words()} would be referred and still run: no rule that is met withholds running.", (RED_FLAG,))


def engine_fault_holds(proof: Proof) -> Iterator[Breach]:
    """SAFE-14: nobody advances while the engines differ or one failed."""
    yield from _always(proof, "SAFE-14", ENGINE_FAULT, proof.verdict, "not advance")


def _always(proof: Proof, law: str, fact: str, verdict: Verdict, wanted: str) -> Iterator[Breach]:
    solver = proof.solver
    broken = verdict.advance if wanted == "not advance" else solver.no(getattr(verdict, wanted))
    known = fact in proof.space
    model = proof.find(law, broken, *([_is_true(proof, proof.state, fact)] if known else []), well=(proof.state,))
    if model is None:
        return
    action = verdict.action(model)
    athlete = proof.confirmed(proof.athlete(model, proof.state, (fact,)), action)
    told = f"{athlete.words()} {DONE[action]}" if known else f"{athlete.words()}, whatever {fact} is, {DONE[action]}: no rule reads it"
    yield Breach(athlete, f"{told}.", (fact,))


def _is_true(proof: Proof, state: State, fact: str) -> Term:
    return proof.solver.all((state.is_known[fact], proof.solver.no(state.up_to(fact, 0))))


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
    kept = [
        v for v in proof.verdict.votes if not (v.rule.kind == "hold" and v.rule.then.urgency == "review")
    ]
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
            asks = [r for r in protocol.rules if r.kind == "hold" and r.then.urgency == "review" and r.steps is not None and step in r.steps]
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


def _strictness(rule: object) -> tuple[int, ...]:
    from services.decision.core.protocol import URGENCY_ORDER, Rule

    assert isinstance(rule, Rule)
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


def _same_value(proof: Proof, fact: str) -> Term:
    pairs = zip(proof.state.at_most[fact], proof.worse.at_most[fact], strict=True)
    return proof.solver.named(proof.solver.all(a == b for a, b in pairs if a is not b))


def _same_knowledge(proof: Proof, fact: str) -> Term:
    one, other = proof.state, proof.lost
    pairs = [(one.is_known[fact], other.is_known[fact])]
    pairs += zip((*one.fresh[fact], *one.assessed[fact]), (*other.fresh[fact], *other.assessed[fact]), strict=True)
    return proof.solver.named(proof.solver.all(a == b for a, b in pairs))


def _fewest(proof: Proof, law: str, goal: Term, same: dict[str, Term], well: Sequence[State]) -> tuple[Model, tuple[str, ...]]:
    """A model of the goal in which as few facts as possible differ between the copies, and those facts."""
    kept: list[Term] = []
    changed: list[str] = []
    for name, equal in same.items():
        if equal is True:
            continue
        if proof.solver.find(law, goal, *kept, equal) is not None:
            kept.append(equal)
        else:
            changed.append(name)
    model = proof.find(law, goal, *kept, well=well)
    assert model is not None
    return model, tuple(changed)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]

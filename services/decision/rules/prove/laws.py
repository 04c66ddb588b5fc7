"""The safety laws that can be proved, each as a question to one pack.

An empty answer is the proof; every item is an athlete who breaks the law.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.decision.core.conditions import flat
from services.decision.core.protocol import COMPLETE, ENTRY, RUNNING_ORDER, AnyOf, Protocol
from services.decision.rules.prove.athlete import Athlete, label, listed
from services.decision.rules.prove.encoding import Verdict
from services.decision.rules.prove.proof import Proof
from services.decision.rules.prove.solver import Model, Term
from services.decision.rules.prove.space import State

SHOWN = 5
"""Athletes shown for one law; each differs from the others in what breaks it."""

RED_FLAG = "referral.open"
ENGINE_FAULT = "engine.faulted"
EXPIRED = "protocol.expired"
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
    model = proof.find("SAFE-01", _silent(proof, proof.verdict.advance, ("pain",), proof.protocol.steps), well=(proof.state,))
    if model is not None:
        athlete = proof.confirmed(proof.athlete(model, proof.state), "advance")
        yield Breach(athlete, f"An athlete at {athlete.step} with no fact of pain known, all else well, {DONE['advance']}.")


def _silent(proof: Proof, advancing: Term, families: Sequence[str], steps: Sequence[str]) -> Term:
    """Somebody advances at one of these steps while no fact of the families is known."""
    solver = proof.solver
    silent = [solver.no(proof.state.is_known[name]) for name in proof.space if families_of(proof.protocol, name) & set(families)]
    return solver.all((advancing, *silent, solver.any(proof.place.step[step] for step in steps)))


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
    freer = proof.more_permissive(proof.verdict, proof.worse_verdict)
    more = proof.raised(proof.verdict, proof.worse_verdict)
    goal = solver.any((freer, more))
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
    """SAFE-03: no advance's own gates are met while nothing is known of function and technique, nor, on the ladder, of load.

    What holds beside it does not count: an advance must itself rest on more than pain.
    """
    steps = [step for step in proof.protocol.steps if step != COMPLETE]
    for families, where in ((("function", "technique"), steps), (("load",), [step for step in steps if step != ENTRY])):
        goal = _silent(proof, proof.verdict.advancing, families, where)
        model = proof.find("SAFE-03", goal, well=(proof.state,))
        if model is not None:
            athlete = proof.athlete(model, proof.state)
            met = f"An athlete at {athlete.step}, all else well, meets every gate of the advance"
            yield Breach(athlete, f"{met} with nothing known of {' or '.join(families)}.")


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


def expired_holds(proof: Proof) -> Iterator[Breach]:
    """SAFE-11: nobody advances under a pack that is past its last date."""
    yield from _always(proof, "SAFE-11", EXPIRED, proof.verdict, "not advance")


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


def _same_value(proof: Proof, fact: str) -> Term:
    pairs = zip(proof.state.at_most[fact], proof.worse.at_most[fact], strict=True)
    return proof.solver.all(proof.solver.same(a, b) for a, b in pairs)


def _same_knowledge(proof: Proof, fact: str) -> Term:
    one, other = proof.state, proof.lost
    pairs = [(one.is_known[fact], other.is_known[fact])]
    pairs += zip((*one.fresh[fact], *one.assessed[fact]), (*other.fresh[fact], *other.assessed[fact]), strict=True)
    return proof.solver.all(proof.solver.same(a, b) for a, b in pairs)


def _fewest(proof: Proof, law: str, goal: Term, same: dict[str, Term], well: Sequence[State]) -> tuple[Model, tuple[str, ...]]:
    """A model of the goal in which as few facts as possible differ between the copies, and those facts."""
    kept: list[Term] = []
    changed: list[str] = []
    for name, equal in same.items():
        if equal is True:
            continue
        if proof.solver.possible(law, goal, *kept, equal):
            kept.append(equal)
        else:
            changed.append(name)
    model = proof.find(law, goal, *kept, well=well)
    assert model is not None
    return model, tuple(changed)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]

"""The encoding says what the engine says, and a proof says what trying every athlete says."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from services.decision.core.conditions import flat
from services.decision.core.protocol import ENTRY, TISSUES
from services.decision.core.question import applies
from services.decision.core.recovery import earlier, no_more
from services.decision.core.trivalent import Tri
from services.decision.engines.reference import judge
from services.decision.rules.difference.regions import DOES, regions
from services.decision.rules.prove import laws
from services.decision.rules.prove.athlete import Athlete, Known
from services.decision.rules.prove.proof import Proof
from tests.property.histories import PACKS, histories, receive_all
from tests.property.packs import FACTS, STEPS, VALUES, every_value, knowns, packs

PERMISSIVE = ("refer", "regress", "hold", "advance")


def described(proof, known):
    """The literals of a state that say exactly what is known."""
    state, solver = proof.state, proof.solver
    terms = []
    for one in known:
        name = one.fact.name
        if name not in proof.space:
            continue
        domain = proof.space[name]
        terms.append(state.is_known[name] if one.value is not None else solver.no(state.is_known[name]))
        if one.value is not None:
            terms += [t if one.value <= cut else solver.no(t) for cut, t in zip(domain.cuts, state.at_most[name], strict=True)]
        terms += [t if one.age_days <= limit else solver.no(t) for limit, t in zip(domain.ages, state.fresh[name], strict=True)]
        rank = ("self", "coach", "clinician").index
        terms += [
            t if rank(one.assessor) >= rank(who) else solver.no(t) for who, t in zip(domain.assessors, state.assessed[name], strict=True)
        ]
    return terms


@pytest.mark.law("two-engines")
@settings(max_examples=100, deadline=None)
@given(packs(), st.lists(st.tuples(knowns(), st.sampled_from(STEPS), st.sampled_from(TISSUES)), min_size=1, max_size=8))
def test_the_encoding_gives_every_verdict_that_the_reference_engine_gives(protocol, athletes):
    proof = Proof(protocol)
    for known, step, tissue in athletes:
        athlete = Athlete(step, tissue, known)
        answer = judge(protocol, athlete.values(protocol), protocol.place[step], TISSUES.index(tissue))
        verdict, here = proof.verdict, (proof.place.step[step], proof.place.tissue[tissue])
        model = proof.solver.find("this athlete", *described(proof, known), *here)
        assert model is not None
        assert verdict.action(model) == answer.action
        read = [Tri.MET if model.holds(vote.met) else Tri.UNKNOWN if model.holds(vote.unknown) else Tri.NOT_MET for vote in verdict.votes]
        assert tuple(read) == answer.verdicts


def to_step(protocol, answer, step):
    back = [rule for rule, verdict in zip(protocol.rules, answer.verdicts, strict=True) if rule.kind == "regress" and verdict is Tri.MET]
    if not back:
        return step
    return ENTRY if any(rule.then.to_entry for rule in back) else earlier(protocol, step, max(max(r.then.steps_back for r in back), 1))


def asks_more(protocol, one, than):
    if one in (than, ENTRY):
        return False
    first, second = protocol.step(one), protocol.step(than)
    return than == ENTRY or (first is not None and second is not None and not no_more(first.dose, second.dose))


def somebody_worse_is_freer(protocol):
    """Try every athlete at every step with every single fact one value worse."""
    names = list(FACTS)
    for rung, tissue in product(range(-1, 4), range(2)):
        step = protocol.steps[rung + 1]
        answers = {}
        for values in every_value():
            slots = tuple(values[names.index(slot.fact)] for slot in protocol.slots)
            answers[values] = judge(protocol, slots, rung, tissue)
        for values, answer in answers.items():
            for n, name in enumerate(names):
                worse = values[n] + (-1 if FACTS[name].worse == "lower" else 1)
                if worse not in VALUES[name]:
                    continue
                other = answers[(*values[:n], worse, *values[n + 1 :])]
                if PERMISSIVE.index(other.action) > PERMISSIVE.index(answer.action):
                    return True
                if "advance" not in (answer.action, other.action) and asks_more(
                    protocol, to_step(protocol, other, step), to_step(protocol, answer, step)
                ):
                    return True
    return False


@pytest.mark.law("worse-never-freer")
@settings(max_examples=40, deadline=None)
@given(packs(most=3))
def test_whoever_is_worse_and_freer_by_trying_is_found_by_proof(protocol):
    if somebody_worse_is_freer(protocol):
        assert list(laws.worse_never_freer(Proof(protocol)))


@pytest.mark.law("worse-never-freer")
@settings(max_examples=60, deadline=None)
@given(packs(), knowns(), st.data())
def test_no_athlete_breaks_a_law_that_was_proved(protocol, known, data):
    proof = Proof(protocol)
    freer, unknown = list(laws.worse_never_freer(proof)), list(laws.missing_never_advances(proof))
    step, tissue = data.draw(st.sampled_from(STEPS)), data.draw(st.sampled_from(TISSUES))
    athlete = Athlete(step, tissue, known)

    def of(one):
        return judge(protocol, one.values(protocol), protocol.place[step], TISSUES.index(tissue))

    name = data.draw(st.sampled_from(list(FACTS)))
    before = next(one for one in known if one.fact.name == name)
    if before.value is not None and not freer:
        values = [v for v in VALUES[name] if (v <= before.value if FACTS[name].worse == "lower" else v >= before.value)]
        worse = athlete.with_fact(Known(before.fact, data.draw(st.sampled_from(values)), before.age_days, before.assessor))
        assert PERMISSIVE.index(of(worse).action) <= PERMISSIVE.index(of(athlete).action)
    if not unknown and all(rule.unknown == "hold" for rule in protocol.rules):
        lost = athlete.with_fact(Known(before.fact, None))
        assert of(lost).action != "advance" or of(athlete).action == "advance"


@settings(max_examples=40, deadline=None)
@given(packs(most=3), packs(most=3), knowns(), st.sampled_from(STEPS), st.sampled_from(TISSUES))
def test_whoever_is_judged_otherwise_by_another_pack_is_in_a_region_of_the_difference(old, new, known, step, tissue):
    athlete = Athlete(step, tissue, known)
    was, now = (judge(p, athlete.values(p), p.place[step], TISSUES.index(tissue)).action for p in (old, new))
    if was != now:
        found, complete = regions(old, new)
        change = f"{DOES[was]} becomes {DOES[now]}"
        at = [one for one in found if one.change == change and step in one.steps and tissue in one.tissues]
        assert at or not complete
        assert all(one.more_permissive == (PERMISSIVE.index(now) > PERMISSIVE.index(was)) for one in at)


@pytest.fixture(scope="module")
def proofs():
    """Made once for each pack that a history names."""
    return {}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(raws=histories())
def test_no_athlete_whom_the_core_knows_is_left_out_of_a_proof(proofs, raws):
    """The axioms hold of every course: what they rule out cannot be."""
    for decision in receive_all(raws)[1]:
        asked = decision.question
        proof = proofs.get(asked.pack) or proofs.setdefault(asked.pack, Proof(PACKS.by_hash[asked.pack]))
        protocol, solver, state, verdict = proof.protocol, proof.solver, proof.state, proof.verdict
        step, tissue = protocol.steps[asked.rung + 1], TISSUES[asked.tissue]
        read = {one.slot for rule in protocol.rules if applies(rule, step, tissue) for one in flat(rule.when)}
        terms = [proof.place.step[step], proof.place.tissue[tissue]]
        for slot in sorted(read):
            name, value = protocol.slots[slot].fact, asked.values[slot]
            seen = state.seen(protocol.slots[slot])
            terms.append(solver.no(seen) if value is None else seen)
            if value is not None:
                assert proof.space[name].low <= value <= proof.space[name].high, name
                cuts = zip(proof.space[name].cuts, state.at_most[name], strict=True)
                terms += [term if value <= cut else solver.no(term) for cut, term in cuts]
        model = solver.find("a course of the core", *terms)
        assert model is not None
        assert verdict.action(model) == asked.answer.action

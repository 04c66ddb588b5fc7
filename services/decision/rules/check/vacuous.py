"""VACUOUS: every condition can fail."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import AnyOf, Condition
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label

CODE = "VACUOUS"


def check(case: Case) -> Iterator[Finding]:
    yield from case.of_history(CODE)
    for rule in case.protocol.rules:
        for at, entry in enumerate(rule.when):
            if always(case, entry):
                yield _finding(case, case.at_rule(rule.id, f"when[{at}]"), rule.id, entry)
    for at, entry in enumerate(case.protocol.clean):
        if always(case, entry):
            yield _finding(case, case.at(f"clean[{at}]"), "clean", entry)


def always(case: Case, entry: Condition | AnyOf) -> bool:
    """Met whatever the known values are."""
    proof, slots = case.proof, case.protocol.slots
    parts = flat([entry])
    passes = [proof.state.passes(one, slots[one.slot].fact) for one in parts]
    if any(term is True for term in passes):
        return True
    if len({slots[one.slot].fact for one in parts}) == len(parts):
        return False  # Alternatives over different facts can all fail at once.
    seen = [proof.state.seen(slots[one.slot]) for one in parts]
    return not proof.solver.possible(CODE, *seen, *(proof.solver.no(term) for term in passes))


def _finding(case: Case, place: tuple[str, int, int, str], rule: str, entry: Condition | AnyOf) -> Finding:
    fact = case.protocol.facts[case.protocol.slots[flat([entry])[0].slot].fact]
    said = f"a condition of {rule} holds for every value of {label(fact)}: it only asks that it is known"
    return Finding(CODE, "warning", *place, said, fix="Mend the threshold, or take the condition out.")

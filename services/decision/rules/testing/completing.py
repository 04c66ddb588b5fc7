"""Cases for the slips that the borders do not show: an athlete found by the prover, made as usual as the difference allows."""

from collections.abc import Iterator
from dataclasses import replace

from services.decision.core.protocol import Protocol
from services.decision.rules.model import StoriesText
from services.decision.rules.testing.boundaries import AT_PLACE
from services.decision.rules.testing.cases import Case, Cases, made
from services.decision.rules.testing.killing import Hunt
from services.decision.rules.testing.mutants import Mutant, mutants
from services.decision.rules.testing.outcomes import Asked
from services.decision.rules.testing.sameness import telling
from services.decision.rules.testing.situations import Facts, Seen, Situation, of_place

_STANDING = {"self": "athlete"}
"""The prover's word for an assessor, where a situation has another."""


def complete(protocol: Protocol) -> Cases:
    """The cases at the borders, and one for each slip in a rule that they do not notice and somebody could."""
    cases = made(protocol)
    more = list(_more(protocol, cases))
    if not more:
        return cases
    ordered: dict[str, list[Case]] = {}
    for case in (*cases.cases, *more):
        ordered.setdefault(case.name, []).append(case)
    return replace(cases, cases=tuple(case for several in ordered.values() for case in several))


def _more(protocol: Protocol, cases: Cases) -> Iterator[Case]:
    asked = Asked(protocol)
    hunt = Hunt(protocol, cases, StoriesText(told=[]), lambda mutant: False)
    told: dict[Situation, None] = {}
    for mutant in mutants(protocol):
        if mutant.touches != "rule" or hunt.fate(mutant) != "survivor":
            continue
        situation = _situation(protocol, mutant, cases.usual)
        if situation is not None and situation not in told:
            told[situation] = None
            [step], [tissue] = situation.steps, situation.tissues
            facts = {**cases.usual, **of_place(protocol, step, tissue), **{name: seen for name, (seen,) in situation.facts}}
            yield Case(0, protocol.rules[mutant.rule].id, "", situation, asked.outcome(facts, step, tissue))


def _situation(protocol: Protocol, mutant: Mutant, usual: Facts) -> Situation | None:
    """The athlete found, brought back to what is usual fact by fact, and to the first tissue and step that still tell the difference."""
    found = telling(protocol, mutant)
    if found is None:
        return None
    before, after = Asked(protocol), Asked(mutant.protocol)

    def differs(tried: Facts, step: str, tissue: str) -> bool:
        return before.outcome(tried, step, tissue) != after.outcome(tried, step, tissue)

    facts = {known.fact.name: Seen(known.value, known.age_days, _STANDING.get(known.assessor, known.assessor)) for known in found.facts}
    places = [(found.step, tissue) for tissue in protocol.population.tissues] + [(found.step, found.tissue)]
    for step, tissue in places:
        normal = {**usual, **of_place(protocol, step, tissue)}
        here = {**normal, **facts, **{name: normal[name] for name in AT_PLACE if name in normal}}
        if differs(here, step, tissue):
            for name in sorted(here):
                here = {**here, name: normal[name]} if differs({**here, name: normal[name]}, step, tissue) else here
            said = tuple((name, (seen,)) for name, seen in sorted(here.items()) if seen != normal[name])
            return Situation((step,), (tissue,), said)
    return None

"""What the catalogue guarantees of its facts together, so that no proof fails on an athlete who cannot be.

Each is kept to what `core.facts` computes, by a test that compares the two over generated courses.
"""

from collections.abc import Mapping

from services.decision.core.protocol import ENTRY, Protocol
from services.decision.rules.prove.solver import Solver, Term
from services.decision.rules.prove.space import State


def require_axioms(solver: Solver, protocol: Protocol, steps: Mapping[str, Term], tissues: Mapping[str, Term], state: State) -> None:
    """Bind a copy of an athlete to its step, its tissue and the relations between its facts."""
    space = state.space
    if "injury.tissue" in space:
        solver.require(state.is_known["injury.tissue"])
        choices = space["injury.tissue"].fact.choices
        for tissue, here in tissues.items():
            _require_value(solver, state, "injury.tissue", choices.index(tissue), here)
    if "injury.bone_risk" in space:
        solver.require(state.is_known["injury.bone_risk"])
        if "bone" in tissues:
            solver.require(solver.same(state.up_to("injury.bone_risk", 0), solver.no(tissues["bone"])))
        else:
            solver.require(state.up_to("injury.bone_risk", 0))
    if "injury.suits_protocol" in space:
        suits = solver.no(state.up_to("injury.suits_protocol", 0))
        solver.require(state.is_known["injury.suits_protocol"])
        for tissue, here in tissues.items():
            if tissue not in protocol.population.tissues:
                solver.implies(here, solver.no(suits))
            elif not protocol.population.sites:
                solver.implies(here, suits)
    if "course.at_entry" in space:
        solver.require(state.is_known["course.at_entry"])
        solver.require(solver.same(solver.no(state.up_to("course.at_entry", 0)), steps[ENTRY]))
    if "session.rise_next_morning" in space and "session.pain_higher_next_morning" in space:
        rise, higher = "session.rise_next_morning", "session.pain_higher_next_morning"
        risen = solver.all((state.is_known[rise], solver.no(state.up_to(rise, 0))))
        solver.implies(risen, solver.all((state.is_known[higher], solver.no(state.up_to(higher, 0)))))


def _require_value(solver: Solver, state: State, fact: str, value: int, where: Term) -> None:
    for cut, term in zip(state.space[fact].cuts, state.at_most[fact], strict=True):
        solver.implies(where, term if value <= cut else solver.no(term))

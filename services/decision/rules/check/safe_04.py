"""SAFE-04: no advance takes effect before a recovery window has passed."""

from collections.abc import Iterator
from itertools import pairwise

from services.decision.core.protocol import COMPLETE, ENTRY
from services.decision.rules.check.finding import Case, Finding

CODE = "SAFE-04"

EVERY_OTHER_DAY = 3
"""Sessions a week up to which a step runs every other day at most: University of Delaware, Annals of Joint 2018;3:40, table 4 (no more than
every other day); the military programme, Trials 2023, table 1 (one rest day at least)."""


def check(case: Case) -> Iterator[Finding]:
    """`not_before` of an advance is the last run + the longer rest of both steps + 1 whole dates; this bounds that rest."""
    protocol = case.protocol
    steps = protocol.steps
    for step, after in pairwise(steps[1:]):
        rest = max(protocol.rest_days[one] for one in (step, after) if one not in (ENTRY, COMPLETE))
        if rest >= 1:
            continue
        at = f"ladder[{protocol.place[step]}]"
        per_week = [rung.dose.sessions_per_week_max for one in (step, after) if (rung := protocol.step(one)) is not None]
        if any(number is None or number <= EVERY_OTHER_DAY for number in per_week):
            yield Finding(
                CODE,
                "error",
                *case.at(at),
                f"the advance from {step} to {after} may take effect on the day after a run",
                f"An athlete who ran at {step} on Monday and advances could run {after} on Tuesday.",
                "Give the step `rest_days: 1` or more; only a step of four or more sessions a week may leave it at 0.",
            )
        elif step in _bone(case) and after != COMPLETE:
            yield Finding(
                CODE,
                "error",
                *case.at(at),
                f"a bone injury advances from {step} to {after} without a day of rest",
                f"An athlete at {step} with a bone injury who advances could run {after} on the day after.",
                "Hold bone injuries before the first step without rest, or give these steps `rest_days: 1`.",
            )


def _bone(case: Case) -> list[str]:
    """The steps from which somebody with a bone injury advances, and to which they come by rule from below."""
    found: list[str] = []
    if "bone" not in case.protocol.population.tissues:
        return found
    proof = case.proof
    for step in case.protocol.steps[1:-1]:
        if not proof.solver.possible(CODE, proof.verdict.advance, proof.place.step[step], proof.place.tissue["bone"]):
            break
        found.append(step)
    return found

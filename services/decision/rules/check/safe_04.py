"""SAFE-04: no advance takes effect before a recovery window has passed."""

from collections.abc import Iterator
from itertools import pairwise

from services.decision.core.protocol import COMPLETE, ENTRY, Protocol
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import listed

CODE = "SAFE-04"

EVERY_OTHER_DAY = 4
"""Sessions in seven dates that fit every other day: University of Delaware, Annals of Joint 2018;3:40, table 4 (at most four a week, and no
more often than every other day); the military programme, Trials 2023, table 1 (one rest day at least)."""
DAY_BETWEEN = ("ligament", "tendon", "postpartum")
"""Tissues whose published programmes leave a day between runs: table 4 as above and the Philadelphia phases (ligament), 24 to 48 h until a
tendon has answered, individual walk-run after a birth. Whoever leaves it out owns that."""


def check(case: Case) -> Iterator[Finding]:
    """`not_before` of an advance is the last run + the longer rest of both steps + 1 whole dates; this bounds that rest."""
    protocol = case.protocol
    steps = protocol.steps
    without = [step for step, after in pairwise(steps[1:]) if _rest(protocol, step, after) < 1]
    for step, after in pairwise(steps[1:]):
        if step not in without:
            continue
        at = case.at(f"ladder[{protocol.place[step]}]")
        per_week = [rung.dose.sessions_per_week_max for one in (step, after) if (rung := protocol.step(one)) is not None]
        if any(number is None or number <= EVERY_OTHER_DAY for number in per_week):
            yield Finding(
                CODE,
                "error",
                *at,
                f"the advance from {step} to {after} may take effect on the day after a run",
                f"An athlete who ran at {step} on Monday and advances could run {after} on Tuesday.",
                "Give the step `rest_days: 1` or more; only a step of five or more sessions a week may leave it at 0.",
            )
        elif not _every_other_day_before(protocol, step):
            yield Finding(
                CODE,
                "error",
                *at,
                f"{step} runs on consecutive days, and no step before it ran every other day four times a week",
                f"An athlete whose first runs are those of {step} runs on Monday, on Tuesday and on Wednesday.",
                "Put a step of four sessions a week and `rest_days: 1` before it.",
            )
        elif step in _bone(case) and after != COMPLETE:
            yield Finding(
                CODE,
                "error",
                *at,
                f"a bone injury advances from {step} to {after} without a day of rest",
                f"An athlete at {step} with a bone injury who advances could run {after} on the day after.",
                "Hold bone injuries before the first step without rest, or give these steps `rest_days: 1`.",
            )
        else:
            yield from _cited(case, step, first=step == without[0])


def _cited(case: Case, step: str, first: bool) -> Iterator[Finding]:
    """Whose word it is that this step's tissues need no day between runs; told once, at the first such step."""
    protocol = case.protocol
    if case.pack is None:
        return
    text = case.pack.source.text
    said = text.ladder[protocol.place[step]]
    cites = text.rest_days.cite if said.rest_days is None else said.cite
    at = case.at(f"ladder[{protocol.place[step]}]")
    if not cites:
        yield Finding(
            CODE,
            "error",
            *at,
            f"{step} has `rest_days: 0` of its own and no source of its own for it",
            f"An athlete at {step} runs on consecutive days, and nobody says who allows it.",
            "Add `cite` to the step, with the source that lets it run on consecutive days, or milepost-default.",
        )
        return
    spoken = {tissue for cite in cites for tissue in case.tissues_of(cite) if protocol.grades.get(cite) != "expert_default"}
    open_to = [tissue for tissue in DAY_BETWEEN if tissue in protocol.population.tissues and not spoken & {tissue, "any"}]
    if not open_to:
        return
    who = f"{listed(open_to)} injuries at {step} run on consecutive days"
    if not any(protocol.grades.get(cite) == "expert_default" for cite in cites):
        yield Finding(
            CODE,
            "error",
            *at,
            f"{who}, and {listed(list(cites))} does not speak for them",
            f"An athlete with a {open_to[0]} injury runs on Monday and on Tuesday by a source for other tissues.",
            "Give the step `rest_days: 1`, cite a source that speaks for them, or own it by citing milepost-default too.",
        )
    elif first:
        yield Finding(CODE, "info", *at, f"{who} as an expert default; their published programmes leave a day between")


def _rest(protocol: Protocol, step: str, after: str) -> int:
    return max(protocol.rest_days[one] for one in (step, after) if one not in (ENTRY, COMPLETE))


def _every_other_day_before(protocol: Protocol, step: str) -> bool:
    """Some earlier step ran as often as a day of rest between allows."""
    before = protocol.ladder[: protocol.place[step]]
    return any(protocol.rest_days[one.id] >= 1 and (one.dose.sessions_per_week_max or 0) >= EVERY_OTHER_DAY for one in before)


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

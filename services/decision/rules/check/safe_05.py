"""SAFE-05: a step raises one load variable at a time."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from services.decision.core.protocol import TERRAIN_ORDER, Axis, Dose, Step
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import listed

CODE = "SAFE-05"

MEASURES: Final[dict[Axis, tuple[str, ...]]] = {
    "duration": ("run_s", "distance_m", "run_m", "bout_s", "easy_run_s"),
    "intensity": ("rpe_max", "speed_pct_max"),
    "frequency": ("sessions_per_week_max",),
}


def check(case: Case) -> Iterator[Finding]:
    protocol = case.protocol
    for (n, step), (_, before) in ((b, a) for a, b in pairwise(enumerate(protocol.ladder))):
        found = raised(before.dose, step.dose)
        silent = [axis for axis in found if axis not in step.raises]
        place = case.at(f"ladder[{n}]")
        if silent:
            yield Finding(
                CODE,
                "error",
                *place,
                f"{step.id} raises {listed(silent)} over {before.id} and does not say so",
                f"An athlete who advances from {before.id} to {step.id} gets more {listed(silent)} than `raises` tells.",
                f"Write `raises: [{', '.join(dict.fromkeys((*step.raises, *silent)))}]`, or mend the dose.",
            )
        yield from _unraised(case, n, step, before)
        axes = tuple(dict.fromkeys((*step.raises, *found)))
        if len(axes) < 2:
            continue
        published = [cite for cite in step.cite if protocol.grades.get(cite, "") in ("primary", "secondary")]
        if published:
            said = f"{step.id} raises {listed(list(axes))} together, as the table of {listed(published)} does; both are shown"
            yield Finding(CODE, "info", *place, said)
        else:
            yield Finding(
                CODE,
                "error",
                *place,
                f"{step.id} raises {listed(list(axes))} together, and no published table does so",
                f"An athlete who advances from {before.id} to {step.id} gets more {listed(list(axes))} at once.",
                "Split the step in two, or cite the published table that raises both.",
            )
    if protocol.ladder and protocol.ladder[0].raises:
        yield Finding(CODE, "error", *case.at("ladder[0]"), "the first step raises something over nothing", fix="Write `raises: []`.")


def _unraised(case: Case, n: int, step: Step, before: Step) -> Iterator[Finding]:
    """What `raises` names although no known measure of it rises: an author or a reader takes it for a rise."""
    for axis in dict.fromkeys(step.raises):
        known = _known(axis, before.dose, step.dose)
        falls = any(was > now for was, now in known)
        if not known or any(was < now for was, now in known) or (not falls and axis == "duration" and _walks_less(before.dose, step.dose)):
            continue
        yield Finding(
            CODE,
            "error" if falls else "warning",
            *case.at(f"ladder[{n}]"),
            f"{step.id} says it raises {axis} over {before.id}, and {'lowers' if falls else 'keeps'} it",
            f"An athlete who advances from {before.id} to {step.id} is told of more {axis} and gets none.",
            f"Take {axis} out of `raises`, or mend the dose.",
        )


def _walks_less(before: Dose, after: Dose) -> bool:
    """The share of running rises over the same distance, which none of the measures tells."""
    return bool(before.walk_s) and (before.walk_s or 0) > (after.walk_s or 0)


def _known(axis: Axis, before: Dose, after: Dose) -> list[tuple[float, float]]:
    """Each measure of the axis that both doses give, as (before, after); terrain, by its order, where it changes."""
    pairs = [(getattr(before, name), getattr(after, name)) for name in MEASURES[axis]]
    known = [(was, now) for was, now in pairs if was is not None and now is not None]
    terrain = (TERRAIN_ORDER.index(before.terrain), TERRAIN_ORDER.index(after.terrain))
    return [*known, terrain] if axis == "intensity" and terrain[0] != terrain[1] else known


def raised(before: Dose, after: Dose) -> list[Axis]:
    """The axes on which a known measure of the dose is higher."""
    return [axis for axis in MEASURES if any(was < now for was, now in _known(axis, before, after))]

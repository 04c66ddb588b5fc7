"""SAFE-05: a step raises one load variable at a time."""

from collections.abc import Iterator
from itertools import pairwise

from services.decision.core.protocol import TERRAIN_ORDER, Axis, Dose
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import listed

CODE = "SAFE-05"


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


def raised(before: Dose, after: Dose) -> list[Axis]:
    """The axes on which a known measure of the dose is higher."""

    def higher(*names: str) -> bool:
        pairs = [(getattr(before, name), getattr(after, name)) for name in names]
        return any(a is not None and b is not None and b > a for a, b in pairs)

    axes: list[Axis] = []
    if higher("run_s", "distance_m", "run_m", "bout_s", "easy_run_s"):
        axes.append("duration")
    if higher("rpe_max", "speed_pct_max") or TERRAIN_ORDER.index(after.terrain) > TERRAIN_ORDER.index(before.terrain):
        axes.append("intensity")
    if higher("sessions_per_week_max"):
        axes.append("frequency")
    return axes

"""SAFE-09: never a step skipped, and no more steps gained in seven days than a source allows."""

from collections.abc import Iterator
from itertools import pairwise

from services.decision.core.protocol import COMPLETE, ENTRY, Protocol
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import listed

CODE = "SAFE-09"
MOST_IN_A_WEEK = 2
"""University of Delaware, Annals of Joint 2018;3:40, table 4: at most two levels in seven days."""


def check(case: Case) -> Iterator[Finding]:
    """An advance gains one step by construction; this bounds how many follow one another in seven dates."""
    protocol = case.protocol
    fast: dict[int, list[str]] = {}
    for step, after in pairwise(protocol.steps[1:-1]):
        gained = most_in_a_week(protocol, step, after)
        if gained > MOST_IN_A_WEEK:
            fast.setdefault(gained, []).append(after)
    for gained, steps in fast.items():
        first = protocol.ladder[protocol.place[steps[0]]]
        at = case.at(f"ladder[{protocol.place[steps[0]]}]")
        where = steps[0] if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
        cites = list(dict.fromkeys((*protocol.progress.cite, *first.cite)))
        published = [cite for cite in cites if protocol.grades.get(cite) in ("primary", "secondary")]
        if published:
            said = f"{gained} steps can be gained in seven days at {where}, as {listed(published)} publishes it"
            yield Finding(CODE, "info", *at, said)
            continue
        n = protocol.progress.clean_sessions
        yield Finding(
            CODE,
            "error",
            *at,
            f"{gained} steps can be gained in seven days at {where}; at most {MOST_IN_A_WEEK} may where no source says more",
            f"An athlete with {n} clean session{'s' * (n != 1)} a step, as often as the rest allows, gains {gained} steps in a week.",
            "Add a rate, as in `{max_steps: 2, in_days: 7, at: ladder}` with its source, or cite the published programme under `progress`.",
        )


def most_in_a_week(protocol: Protocol, step: str, after: str) -> int:
    """Steps that may be gained in seven consecutive dates around this one, by rest, weekly sessions, clean sessions and rate caps."""
    rest = max(protocol.rest_days[one] for one in (step, after) if one not in (ENTRY, COMPLETE))
    progress = protocol.progress
    sessions = min(progress.clean_sessions, progress.after_failure, progress.on_rebuild)
    apart = max(rest + 1, 2 if progress.non_consecutive and sessions > 1 else 1)
    rung = protocol.step(after)
    per_week = 7 if rung is None or rung.dose.sessions_per_week_max is None else rung.dose.sessions_per_week_max
    by_sessions = min(-(-7 // (sessions * apart)), -(-per_week // sessions))
    caps = [cap.max_steps * -(-7 // cap.in_days) for cap in protocol.rates if after in cap.steps and cap.axis is None]
    return min([by_sessions, *caps])

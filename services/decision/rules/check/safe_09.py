"""SAFE-09: never a step skipped, and at most two steps gained in seven days."""

from collections.abc import Iterator

from services.decision.core.protocol import COMPLETE, ENTRY, Protocol
from services.decision.rules.check.finding import Case, Finding

CODE = "SAFE-09"
MOST_IN_A_WEEK = 2
"""University of Delaware, Annals of Joint 2018;3:40, table 4: at most two levels in seven days."""


def check(case: Case) -> Iterator[Finding]:
    """An advance gains one step by construction; this bounds how many follow one another in seven dates."""
    protocol = case.protocol
    for step, after in zip(protocol.steps[1:-2], protocol.steps[2:-1], strict=True):
        gained = most_in_a_week(protocol, step, after)
        if gained > MOST_IN_A_WEEK:
            n = protocol.progress.clean_sessions
            yield Finding(
                CODE,
                "error",
                *case.at(f"ladder[{protocol.place[after]}]"),
                f"{gained} steps around {after} can be gained in seven days; at most {MOST_IN_A_WEEK} may",
                f"An athlete with {n} clean session{'s' * (n != 1)} a step, as often as the rest allows, gains {gained} steps in a week.",
                "Add a rate: `{max_steps: 2, in_days: 7, at: ladder}` with its source.",
            )


def most_in_a_week(protocol: Protocol, step: str, after: str) -> int:
    """Steps that may be gained in seven consecutive dates around this one, by rest and clean sessions and by the rate caps."""
    rest = max(protocol.rest_days[one] for one in (step, after) if one not in (ENTRY, COMPLETE))
    progress = protocol.progress
    sessions = min(progress.clean_sessions, progress.after_failure, progress.on_rebuild)
    apart = max(rest + 1, 2 if progress.non_consecutive and sessions > 1 else 1)
    by_sessions = -(-7 // (sessions * apart))
    caps = [cap.max_steps * -(-7 // cap.in_days) for cap in protocol.rates if after in cap.steps and cap.axis is None]
    return min([by_sessions, *caps])

"""DEAD: every rule can change a verdict."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.reach import dead_rules

CODE = "DEAD"


def check(case: Case) -> Iterator[Finding]:
    for name, stronger in dead_rules(case.proof):
        why = f"wherever it is met, {stronger} is met too and asks for as much" if stronger else "what it asks for cannot be at any step"
        yield Finding(
            CODE,
            # A pack may well be stricter than its floor: that silences a floor rule and is no fault of either.
            "info" if case.of_floor(name) else "warning",
            *case.at_rule(name),
            f"{name} can never change a verdict: {why}",
            fix="Take the rule out, or mend its scope or thresholds.",
        )

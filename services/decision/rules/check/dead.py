"""DEAD: every rule can change a verdict."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.check.lived import Lived
from services.decision.rules.prove.reach import dead_rules

CODE = "DEAD"


def check(case: Case) -> Iterator[Finding]:
    """By proof and by history; which of the two was looked at is told here for VACUOUS and LIVE as well."""
    yield Finding(CODE, "info", *case.at("rules"), looked_at(case.lived))
    yield from case.of_history(CODE)
    for name, stronger in dead_rules(case.proof):
        why = f"wherever it is met, {stronger} is met too and asks for as much" if stronger else "what it asks for cannot be at any step"
        yield Finding(
            CODE,
            # A pack may well be stricter than its floor: that silences a floor rule and is no fault of either.
            # A rule of its own that nobody can ever meet protects nobody, whatever its author believes.
            "info" if case.of_floor(name) else "warning" if stronger else "error",
            *case.at_rule(name),
            f"{name} can never change a verdict: {why}",
            fix="Take the rule out, or mend its scope or thresholds.",
        )


def looked_at(lived: Lived | None) -> str:
    """How far history stands behind what is said of rules, conditions and steps."""
    if lived is None:
        return "no stored decision was looked at: that rules speak, conditions fail and steps are left is said by proof alone"
    if not lived.decisions:
        return "there is no stored decision of a course under this pack: what is said here is said by proof alone"
    some = "" if lived.athletes >= lived.of_athletes else f", of {lived.of_athletes}"
    return f"{lived.decisions} stored decisions of {lived.athletes} athletes{some} were looked at"

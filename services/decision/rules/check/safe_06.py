"""SAFE-06: red flags dominate."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.laws import red_flag_stops

CODE = "SAFE-06"


def check(case: Case) -> Iterator[Finding]:
    for rule in case.protocol.rules:
        if rule.kind == "refer" and rule.excepted_by:
            said = f"{rule.id} refers and is set aside by {', '.join(rule.excepted_by)}"
            yield Finding(CODE, "error", *case.at_rule(rule.id, "unless"), said, fix="Take `unless` out: nothing overrides a red flag.")
    for breach in red_flag_stops(case.proof):
        yield Finding(
            CODE,
            "error",
            *case.at("rules"),
            "a red flag does not stop everything",
            breach.sentence,
            "Include the floor as it stands; `floor.red-flag` refers and withholds running, at every step and for every tissue.",
        )

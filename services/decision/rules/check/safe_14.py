"""SAFE-14: engine fault, time-out and disagreement hold."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.laws import engine_fault_holds

CODE = "SAFE-14"


def check(case: Case) -> Iterator[Finding]:
    for breach in engine_fault_holds(case.proof):
        yield Finding(
            CODE,
            "error",
            *case.at("rules"),
            "an athlete advances while the engines differ or one has failed",
            breach.sentence,
            "Include the floor as it stands; `floor.engine` holds until a clinician has reviewed it.",
        )

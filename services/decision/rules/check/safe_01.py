"""SAFE-01: missing, stale or refused data never advances."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.laws import missing_never_advances

CODE = "SAFE-01"


def check(case: Case) -> Iterator[Finding]:
    for rule in case.protocol.rules:
        if rule.unknown == "pass" and rule.kind in ("refer", "regress"):
            yield Finding(
                CODE,
                "error",
                *case.at_rule(rule.id, "unknown"),
                f"{rule.id} can {rule.kind}, and lets an athlete advance while it cannot be judged",
                fix="Take `unknown: pass` out: only a hold over optional monitoring may pass.",
            )
        elif rule.unknown == "pass" and rule.kind == "hold":
            said = f"{rule.id} is optional monitoring: where it cannot be judged it does not stand in the way"
            yield Finding(CODE, "info", *case.at_rule(rule.id, "unknown"), said)
    for breach in missing_never_advances(case.proof):
        yield Finding(
            CODE,
            "error",
            *case.at("rules"),
            "an athlete advances on what is not known",
            breach.sentence,
            "Make the gate that reads it part of an advance rule, or let the hold that reads it vote while unknown.",
        )

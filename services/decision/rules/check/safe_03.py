"""SAFE-03: pain is never the sole gatekeeper."""

from collections.abc import Iterator

from services.decision.core.question import applies
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.laws import pain_not_alone

CODE = "SAFE-03"


def check(case: Case) -> Iterator[Finding]:
    for breach in pain_not_alone(case.proof):
        step, tissue = breach.athlete.step, breach.athlete.tissue
        first = next((rule for rule in case.protocol.rules if rule.kind == "advance" and applies(rule, step, tissue)), None)
        place = case.at("rules") if first is None else case.at_rule(first.id, "when")
        yield Finding(
            CODE,
            "error",
            *place,
            "an advance rests on pain alone: function or technique, and load, must be read as well",
            breach.sentence,
            "Add a milestone or a technique fact, and on the ladder a fact of the load done, to what this advance asks for.",
        )

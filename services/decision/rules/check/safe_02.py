"""SAFE-02: worse is never more permissive."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, listed
from services.decision.rules.prove.clean import clean_is_monotone
from services.decision.rules.prove.laws import worse_never_freer

CODE = "SAFE-02"


def check(case: Case) -> Iterator[Finding]:
    for breach in worse_never_freer(case.proof):
        said = listed([label(case.protocol.facts[fact]) for fact in breach.facts])
        yield Finding(
            CODE,
            "error",
            *_place(case, breach.facts),
            f"a worse value is treated more freely: {said}",
            breach.sentence,
            "Turn the comparison round, or add the protective rule that the worse value calls for.",
        )
    for breach in clean_is_monotone(case.proof):
        yield Finding(
            CODE,
            "error",
            *case.at("clean"),
            "a worse session counts as clean where a better one does not",
            breach.sentence,
            "Turn the comparison in `clean` round.",
        )


def _place(case: Case, facts: tuple[str, ...]) -> tuple[str, int, int, str]:
    """The first condition, of the pack before its floors, that the worse value has to pass on its good side."""
    rules = sorted(case.protocol.rules, key=lambda rule: case.of_floor(rule.id))
    for rule in rules:
        for at, entry in enumerate(rule.when):
            for one in flat([entry]):
                kind = case.protocol.facts[case.protocol.slots[one.slot].fact]
                if kind.name in facts and (kind.worse, one.op, rule.kind == "advance") in _TURNED:
                    return case.at_rule(rule.id, f"when[{at}]")
    return case.at("rules")


_TURNED = {
    (worse, op, advancing)
    for advancing in (True, False)
    for worse, ops in (("higher", ("at_least", "above")), ("lower", ("at_most", "below")))
    for op in (ops if advancing else (("at_most", "below") if worse == "higher" else ("at_least", "above")))
}
"""Direction of worse, comparison, in an advance rule: a gate that asks for worse, or a protection that only reaches the better."""

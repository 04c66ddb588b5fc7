"""BOUND: a decision ends after a known number of comparisons."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import TISSUES
from services.decision.core.question import applies
from services.decision.rules.check.finding import Case, Finding

CODE = "BOUND"
MAX_COMPARISONS = 4_000
"""At one step for one tissue; every rule is judged once and none sets off another, so this is the whole work of a decision."""


def check(case: Case) -> Iterator[Finding]:
    protocol = case.protocol
    sizes = [len(flat(rule.when)) for rule in protocol.rules]
    most, step, tissue = max(
        (sum(size for rule, size in zip(protocol.rules, sizes, strict=True) if applies(rule, step, tissue)), step, tissue)
        for step in protocol.steps
        for tissue in TISSUES
    )
    if most > MAX_COMPARISONS:
        said = f"a decision at {step} for a {tissue} injury takes {most} comparisons; at most {MAX_COMPARISONS} keep it within its time"
        yield Finding(CODE, "error", *case.at("rules"), said, fix="Give rules the steps and tissues they are for, or split the pack.")

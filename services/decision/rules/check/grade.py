"""GRADE: no rule claims better evidence than the weakest source it rests on."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import Rule
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, listed

CODE = "GRADE"
ORDER = ("primary", "secondary", "expert_default")


def check(case: Case) -> Iterator[Finding]:
    """What a rule cites, itself or at one of its conditions, decides with it; what merely agrees is named in its text."""
    protocol = case.protocol
    for rule in protocol.rules:
        weakest = max(_cites(rule), key=lambda cite: ORDER.index(protocol.grades.get(cite, rule.grade)), default=None)
        grade = rule.grade if weakest is None else protocol.grades.get(weakest, rule.grade)
        if weakest is None or ORDER.index(grade) <= ORDER.index(rule.grade):
            continue
        read = [protocol.facts[protocol.slots[one.slot].fact] for one in flat(rule.when) if weakest in one.cite]
        decides = f" for {listed(sorted({label(fact) for fact in read}))}" if read else ""
        yield Finding(
            CODE,
            "error",
            *case.at_rule(rule.id, "grade"),
            f"{rule.id} is graded {_words(rule.grade)}, and rests on {weakest} ({_words(grade)}){decides}",
            f"Whoever reads that {rule.id} decided takes the whole of it for {_words(rule.grade)} evidence.",
            f"Write `grade: {grade}`, or give what {weakest} decides a rule of its own.",
        )


def _cites(rule: Rule) -> list[str]:
    return [*rule.cite, *(cite for one in flat(rule.when) for cite in one.cite)]


def _words(grade: str) -> str:
    return grade.replace("_", " ")

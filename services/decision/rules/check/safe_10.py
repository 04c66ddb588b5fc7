"""SAFE-10: every number has a source, its evidence, who checked it and when it is read again."""

import re
from collections import Counter
from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label

CODE = "SAFE-10"
ORDER = ("primary", "secondary", "expert_default")
WORDS = {"primary": "from a primary source", "secondary": "from a secondary source", "expert_default": "expert default"}
_RECALLED = re.compile(r"\brecalled\b|\bfrom memory\b", re.IGNORECASE)


def check(case: Case) -> Iterator[Finding]:
    protocol = case.protocol
    for name, text in protocol.sources.items():
        if _RECALLED.search(text) or _RECALLED.search(name):
            said = f"{name} was recalled and not read; what nobody has read supports no number"
            yield Finding(CODE, "error", *case.at(f"sources.{name}"), said, fix="Read the source, or cite milepost-default and say so.")
    grades: Counter[str] = Counter()
    for rule in protocol.rules:
        own: list[str] = []
        for at, entry in enumerate(rule.when):
            for one in flat([entry]):
                fact = protocol.facts[protocol.slots[one.slot].fact]
                if fact.kind != "number":
                    continue
                known = [protocol.grades[cite] for cite in one.cite if cite in protocol.grades]
                if not known:
                    said = f"the threshold on {label(fact)} in {rule.id} has no source"
                    yield Finding(CODE, "error", *case.at_rule(rule.id, f"when[{at}]"), said, fix="Add `cite`.")
                    continue
                own.append(min(known, key=ORDER.index))
        grades.update(own)
    told = ", ".join(f"{grades[grade]} {WORDS[grade]}" for grade in ORDER if grades[grade])
    yield Finding(CODE, "info", *case.at("rules"), f"of {grades.total()} thresholds in its rules and the floor's: {told or 'none'}")
    review_by = None if case.pack is None else case.pack.source.text.review_by
    if case.on is not None and review_by is not None and review_by < case.on:
        said = f"its sources were to be read again by {review_by}"
        yield Finding(CODE, "warning", *case.at("review_by"), said, fix="Read them again, then set `checked_on` and `review_by`.")

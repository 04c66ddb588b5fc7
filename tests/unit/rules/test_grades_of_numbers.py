"""No number of a shipped pack is shown as better evidence than its own source is."""

import re
from collections.abc import Iterator

import pytest

from services.decision.core.conditions import flat
from services.decision.core.protocol import Protocol, Rule
from services.decision.rules.library import SHIPPED, load

PACKS = [load(path) for path in sorted(SHIPPED.glob("*.yaml")) if path.stem != "floor"]
WORDS = {word: n for n, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 2)}


def said(rule: Rule) -> Iterator[float]:
    """The numbers in what has to be so before running is resumed; `5 of 10` is the 5."""
    for text in rule.then.resume_when:
        for number in re.findall(r"(?<!of )(?<!\+)\b\d+(?:\.\d+)?\b(?!\+)", text):
            yield float(number)
        yield from (float(WORDS[word]) for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS)


def given(rule: Rule) -> set[float]:
    """The numbers that the rule's own citations stand beside."""
    values = {float(one.value) for one in flat(rule.when) if isinstance(one.value, int | float) and not isinstance(one.value, bool)}
    return values | ({float(rule.then.rest_days)} if rule.then.rest_days is not None else set())


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.id)
def test_a_number_that_no_source_gives_makes_its_rule_an_expert_default(pack: Protocol) -> None:
    bare = [rule.id for rule in pack.rules if set(said(rule)) - given(rule) and rule.grade != "expert_default"]
    assert bare == []


def test_the_age_below_which_a_clinician_reviews_is_an_expert_default_beside_its_source() -> None:
    minor = next(rule for rule in PACKS[0].rules if rule.id == "floor.minor")
    assert (minor.cite, minor.grade) == (("afp-scfe", "milepost-default"), "expert_default")


@pytest.mark.parametrize("name", ["chop-acl-run", "udel-acl-run"])
def test_a_source_that_is_cited_for_a_limit_of_pain_says_that_limit(name: str) -> None:
    pack = next(pack for pack in PACKS if pack.id == name)
    assert any("rambaud-quoted" in one.cite and pack.slots[one.slot].fact == "pain.now" for rule in pack.rules for one in flat(rule.when))
    assert "pain below 2" in pack.sources["rambaud-quoted"]

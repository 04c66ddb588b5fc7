"""Which conditions the recorded cases have seen decide."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.decision.rules.library import FLOORS, SHIPPED, load
from services.decision.rules.testing.cases import place_of, read_cases
from services.decision.rules.testing.coverage import coverage

PACKS = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)
MIL = SHIPPED / "mil-knee-overuse.yaml"


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_nearly_every_condition_of_a_shipped_pack_was_seen_met_not_met_and_unknown_while_it_decides(path: Path) -> None:
    protocol = load(path)
    found = coverage(protocol, read_cases(protocol, place_of(path)))
    assert found.wanted > 100
    assert found.seen / found.wanted > 0.98, found.missing


def test_a_state_that_no_case_shows_is_named() -> None:
    protocol = load(MIL)
    cases = read_cases(protocol, place_of(MIL))
    fewer = replace(cases, cases=tuple(case for case in cases.cases if "illness.now unknown" not in case.words))
    missing = {"floor.fever: illness.now one of febrile unknown", "floor.mild-illness: illness.now one of mild unknown"}
    assert set(coverage(protocol, fewer).missing) == missing


def test_an_alternative_decides_only_while_the_others_are_known_to_fail() -> None:
    protocol = load(MIL)
    cases = read_cases(protocol, place_of(MIL))
    worse = replace(cases, usual={**cases.usual, "elsewhere.times": cases.usual["elsewhere.times"]._replace(value=None)})
    missing = coverage(protocol, worse).missing
    assert "floor.elsewhere: elsewhere.worst at least 3 nrs met" in missing

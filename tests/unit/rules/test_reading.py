"""What a person reads who wrote a pack in the wrong form: one fault for one slip, in words, at its line."""

import pytest

from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import SHIPPED, load_text
from services.decision.rules.model import PackText
from services.decision.rules.reading import parse


def faults_of(raw: bytes) -> list[tuple[int, int, str, str]]:
    with pytest.raises(FaultyPack) as caught:
        parse("pack.yaml", raw, PackText)
    return [(fault.line, fault.column, fault.path, fault.sentence) for fault in caught.value.faults]


def test_a_slip_in_a_condition_is_one_fault_and_asks_for_no_other_form() -> None:
    good = (SHIPPED / "udel-acl-run.yaml").read_text()
    place = "session.sore_in_warm_up, is: false"
    for word, sentence in (("no", "no is a word here, not a truth value; write true or false"), ("perhaps", "input should be 'at_most'")):
        [(line, _, path, said)] = faults_of(good.replace(place, f"session.sore_in_warm_up, is: {word}", 1).encode())
        assert good.splitlines()[line - 1].lstrip().startswith("- {fact: session.sore_in_warm_up")
        assert path == "clean[0].is"
        assert said.startswith(sentence)
    [(_, _, path, said)] = faults_of(good.replace("      - any:\n", "      - any: 3\n        or:\n", 1).encode())[:1]
    assert (path, said) == ("rules[1].when[1].any", "input should be a valid list; found '3'")


@pytest.mark.parametrize("raw", [b"", b"- a\n", b"pack\n"])
def test_a_file_that_is_no_pack_at_all_is_told_how_one_begins(raw: bytes) -> None:
    [(line, _, _, said)] = faults_of(raw)
    assert line == 1
    assert said == "is empty, a list or a word; a pack begins with format, pack, version and title, each with its value"


def test_a_character_outside_yaml_is_told_with_its_line() -> None:
    [(line, _, _, said)] = faults_of(b"format: 1\nti\0tle: x\n")
    assert (line, said) == (2, "is not YAML: a character stands here that YAML does not allow; take it out")


UDEL = (SHIPPED / "udel-acl-run.yaml").read_text()
TOO_MUCH = ("value: 2 nrs", "value: 40 nrs")
OUTSIDE = ("TYPE", "rules[1].when[2].value", "40 lies outside the range of pain.now")


def told(*changes: tuple[str, str]) -> list[tuple[str, str, str]]:
    """Code, path and sentence of every fault of the pack with these changes, each at the line where it stands."""
    text = UDEL
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    with pytest.raises(FaultyPack) as caught:
        load_text("pack.yaml", text.encode())
    faults = caught.value.faults
    assert [fault.line for fault in faults] == sorted(fault.line for fault in faults)
    assert len({(fault.line, fault.column, fault.sentence) for fault in faults}) == len(faults)
    for fault in faults:
        if fault.path == OUTSIDE[1] and "40 lies" in fault.sentence:
            assert "value: 40 nrs" in text.splitlines()[fault.line - 1]
    return [(fault.code, fault.path, fault.sentence) for fault in faults]


@pytest.mark.parametrize(
    ("old", "new", "path", "said"),
    [
        ("kind: advance", "kind: advence", "rules[0].kind", "input should be"),
        ("title: Univ", "titel: Univ", "titel", "did you mean title?"),
        ("  - {step: L3,", "  - {stp: L3,", "ladder[2].stp", "did you mean step?"),
        ("checked_on: 2026-11-22", "checked_on: 2026-02-30", "", "is not a date of the calendar"),
        ("rest_days: {days: 1,", "rest_days: {days: 1, days: 2,", "", "found a duplicate key, days"),
        ("    evidence: secondary\n", "    evidence: recalled\n", "sources.dc-clinic.evidence", "found 'recalled'"),
        ("includes: [floor]", "includes: []", "includes", "every pack includes the floor"),
        ("population:\n", "popullation:\n", "popullation", "did you mean population?"),
        ("ladder:\n", "laddder:\n", "laddder", "did you mean ladder?"),
        ("rest_days: {days: 1,", "rest_days: {days: yes,", "rest_days.days", "valid integer"),
        ("clean:\n", "clean: 3\nclaen:\n", "clean", "valid list"),
        ("stories:\n", "storis:\n", "storis", "did you mean stories?"),
    ],
)
def test_a_fault_of_form_hides_no_fault_of_meaning_elsewhere_and_makes_none_up(old: str, new: str, path: str, said: str) -> None:
    alone, both = told((old, new)), told((old, new), TOO_MUCH)
    assert any(one[1] == path and said in one[2] for one in alone), alone
    assert sorted(one[:2] for one in both) == sorted([*(one[:2] for one in alone), OUTSIDE[:2]])
    assert all(code in ("FORM", "SAFE-10") for code, _, _ in alone), alone


def test_within_one_condition_a_wrong_word_and_a_wrong_form_are_both_told() -> None:
    found = told(("pain.now, is: below, value: 2 nrs", "pain.nwo, is: below, value: 2"))
    assert [(code, path) for code, path, _ in found] == [("TYPE", "rules[1].when[2].fact"), ("FORM", "rules[1].when[2].value")]
    assert "nearest: pain.now" in found[0][2] and "2 has no unit" in found[1][2]


def test_a_file_that_is_no_yaml_is_told_its_one_fault() -> None:
    with pytest.raises(FaultyPack) as caught:
        load_text("pack.yaml", UDEL.replace("value: 2 nrs", "value:\t2 nrs", 1).encode())
    assert ["a tab stands here" in fault.sentence for fault in caught.value.faults] == [True]

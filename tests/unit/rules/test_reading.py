"""What a person reads who wrote a pack in the wrong form: one fault for one slip, in words, at its line."""

import pytest

from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import SHIPPED
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

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


@pytest.mark.parametrize(
    ("old", "new", "path", "said"),
    [
        ("    at: L1..L8\n", "    at: L8..L1\n", "rules[0].at", "write the lower step first, as in L1..L8"),
        ("    at: L1..L8\n", "    at: []\n", "rules[0].at", "names no step"),
        ("    at: L1..L8\n", "    at: L1..L8\n    tissues: [ligment]\n", "rules[0].tissues", "did you mean ligament?"),
        ("    at: L1..L8\n", "    at: L1..L8\n    tissues: []\n", "rules[0].tissues", "names no tissue"),
        ("    at: L1..L8\n", "    at: L1..L8\n    then: {rest_days: 2}\n", "rules[0].then", "no consequence but the next step"),
        ("    then: {rest_days: 1}\n", "    then: {rest_days: 1, steps_back: 1}\n", "then", "a hold keeps the step"),
        ("at: L1..L8,", "at: L8..L1,", "rates[0].at", "write the lower step first"),
        ("at: L1..L8,", "at: L9,", "rates[0].at", "L9 is not a step"),
        ("{step: L3,", "{step: complete,", "ladder[2].step", "give the step another id"),
        (
            "    session.completed: {",
            "    sesion.completed: {}\n    session.completed: {",
            "stories.usual",
            "did you mean session.completed?",
        ),
    ],
)
def test_what_would_be_read_aloud_and_never_happen_is_a_fault(old: str, new: str, path: str, said: str) -> None:
    assert any(path in one[1] and said in one[2] for one in told((old, new))), told((old, new))


def test_a_rule_that_refers_withholds_running_whatever_it_says() -> None:
    worst = """rules:
  - rule: udel.worst
    kind: refer
    text: Made up for this test
    when:
      - {fact: pain.now, is: above, value: 5 nrs, cite: [milepost-default]}
    then: {THEN}
    cite: [milepost-default]
    grade: expert_default
"""
    pack = load_text("pack.yaml", UDEL.replace("rules:\n", worst.replace("THEN", ""), 1).encode()).protocol
    [then] = [rule.then for rule in pack.rules if rule.id == "udel.worst"]
    assert (then.running, then.urgency) == ("withheld", "stop_and_refer")
    running = told(("rules:\n", worst.replace("THEN", "running: repeat")))
    assert ("FORM", "rules[0].then.running", "repeat cannot be where a rule refers: running is withheld; take `running` out") in running


def test_a_story_that_expects_the_silence_of_no_rule_is_a_fault() -> None:
    [one] = told(("expect: {action: advance,", "expect: {silent: [udel.advence], action: advance,"))
    assert one[1].endswith("expect.silent") and "did you mean udel.advance?" in one[2]


@pytest.mark.parametrize(
    ("raw", "at", "said"),
    [
        (b"title: Knee: walk-run\n", [(1, 12)], "put text that holds a colon and a space in quotes"),
        (b"title: [a\nb: 1\n", [(2, 2)], "look at the quotes, colons and indents"),
        (b'a: 1\ntitle: "Knee\nb: 1\n', [(2, 8)], "close the quote or bracket that was opened"),
        (b"a: 1\n---\nb: 2\n", [(2, 1)], "a file holds one pack"),
        (b"a: 1\ntitle: Kn\xe4\n", [(2, 10)], "save the file as UTF-8"),
        (b"a:\t1\nb: 2\nc:\t3\n", [(1, 3), (3, 3)], "a tab stands here"),
        (b"a: &x 1\nb: *x\n", [(1, 4), (2, 4)], "anchors, aliases and tags are not allowed"),
    ],
)
def test_what_is_no_yaml_is_told_at_every_place_with_what_to_do(raw: bytes, at: list[tuple[int, int]], said: str) -> None:
    found = faults_of(raw)
    assert [(line, column) for line, column, _, _ in found] == at
    assert all(said in sentence for _, _, _, sentence in found), found


def test_within_one_condition_a_wrong_word_and_a_wrong_form_are_both_told() -> None:
    found = told(("pain.now, is: below, value: 2 nrs", "pain.nwo, is: below, value: 2"))
    assert [(code, path) for code, path, _ in found] == [("TYPE", "rules[1].when[2].fact"), ("FORM", "rules[1].when[2].value")]
    assert "nearest: pain.now" in found[0][2] and "2 has no unit" in found[1][2]


def test_a_file_that_is_no_yaml_is_told_its_one_fault() -> None:
    with pytest.raises(FaultyPack) as caught:
        load_text("pack.yaml", UDEL.replace("value: 2 nrs", "value:\t2 nrs", 1).encode())
    assert ["a tab stands here" in fault.sentence for fault in caught.value.faults] == [True]

"""What changes between two packs is found for everybody it changes for, and told the right way round."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.protocol import app
from services.decision.rules.difference import Difference, difference
from services.decision.rules.library import load

GOOD = Path(__file__).parent / "packs" / "good.yaml"
TEXT = GOOD.read_text()
HOLD = "- {fact: session.pain_during, is: above, value: 2 nrs, cite: [table]}"


def changed(tmp_path: Path, *edits: tuple[str, str]) -> Path:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    file = tmp_path / "new.yaml"
    file.write_text(text)
    return file


def compared(tmp_path: Path, *edits: tuple[str, str]) -> Difference:
    return difference(load(GOOD), load(changed(tmp_path, *edits)))


def test_a_pack_and_itself_say_the_same(tmp_path: Path) -> None:
    assert not compared(tmp_path)
    assert not compared(tmp_path, ("title: A small", "title: Another small")).regions


def test_a_ceiling_that_is_raised_frees_those_between_the_old_and_the_new(tmp_path: Path) -> None:
    found = compared(tmp_path, (HOLD, HOLD.replace("2 nrs", "3 nrs")))
    assert found.text == ("small.hold-pain: pain during above 2 of 10 becomes pain during above 3 of 10",)
    [region] = found.regions
    assert region.more_permissive and found.complete
    assert region.words == "held becomes advanced at A1 to A4, with pain during above 2 of 10 and up to 3 of 10, all else well"


def test_the_same_change_the_other_way_round_is_more_conservative(tmp_path: Path) -> None:
    found = difference(load(changed(tmp_path, (HOLD, HOLD.replace("2 nrs", "3 nrs")))), load(GOOD))
    [region] = found.regions
    assert not region.more_permissive and region.change == "advanced becomes held"
    assert not found.more_permissive


def test_going_back_less_far_is_more_permissive(tmp_path: Path) -> None:
    harder = changed(tmp_path, ("steps_back: 1}", "steps_back: 2}"))
    [region] = difference(load(harder), load(GOOD)).regions
    assert region.more_permissive and region.change == "goes back less far"
    assert "with pain during of 5 of 10 or more" in region.words


def test_a_rule_that_lets_the_unknown_pass_frees_those_of_whom_nothing_is_known(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        ("text: Pain of 5 of 10", "unknown: pass\n    text: Pain of 5 of 10"),
        (HOLD, HOLD.replace("session.pain_during", "pain.now")),
    )
    assert any(region.more_permissive and "pain during unknown" in region.words for region in found.regions)


@pytest.mark.parametrize(
    ("old", "new", "words", "freer"),
    [
        ("clean_sessions: 2", "clean_sessions: 1", "clean sessions: 2 becomes 1", True),
        ("{days: 1,", "{days: 2,", "whole dates of rest after A1: 1 becomes 2", False),
        ("run_s: 600", "run_s: 660", "dose of A1: run 600 s becomes run 660 s", True),
        ("expires: 2027-12-31", "expires: 2027-06-30", "last date: 2027-12-31 becomes 2027-06-30", False),
        ("tissues: [joint, bone]}", "tissues: [joint]}", "whom it is for becomes", False),
    ],
)
def test_what_stands_beside_the_rules_is_told_with_its_direction(tmp_path: Path, old: str, new: str, words: str, freer: bool) -> None:
    found = compared(tmp_path, (old, new))
    first = found.settings[0]
    assert words in first.words and first.more_permissive is freer


def test_a_session_that_counts_as_clean_more_easily_is_more_permissive(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        (
            "at_most, value: 2 nrs, cite: [table]}\n  - {fact: session.tech",
            "at_most, value: 3 nrs, cite: [table]}\n  - {fact: session.tech",
        ),
    )
    assert any(one.more_permissive and "counts as clean" in one.words and "pain during" in one.words for one in found.regions)


def test_the_command_leaves_with_one_where_something_changes_and_zero_where_nothing_does(tmp_path: Path) -> None:
    new = str(changed(tmp_path, (HOLD, HOLD.replace("2 nrs", "3 nrs"))))
    told = CliRunner().invoke(app, ["diff", str(GOOD), new])
    assert told.exit_code == 1
    places = [told.output.index(words) for words in ("More permissive", "held becomes advanced", "More conservative: nothing")]
    assert places == sorted(places)
    as_json = CliRunner().invoke(app, ["diff", "--json", str(GOOD), new])
    assert [one["more_permissive"] for one in json.loads(as_json.output)["changes"]] == [True]
    assert CliRunner().invoke(app, ["diff", str(GOOD), str(GOOD)]).exit_code == 0
    assert CliRunner().invoke(app, ["diff", str(GOOD), "nothing"]).exit_code == 2

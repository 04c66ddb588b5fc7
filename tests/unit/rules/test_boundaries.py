"""The recorded cases at the borders of a pack: what they ask, how they are written, and what becomes visible in them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.protocol import app
from services.decision.core.protocol import Protocol
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import FLOORS, SHIPPED, load
from services.decision.rules.testing.cases import Cases, made, place_of, read_cases, replayed, written
from services.decision.rules.testing.outcomes import Asked
from services.decision.rules.testing.situations import Seen, seen_of, seen_words, situation_of, situation_words

PACKS = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)
MIL = SHIPPED / "mil-knee-overuse.yaml"


@pytest.fixture(scope="module")
def pack() -> Protocol:
    return load(MIL)


@pytest.fixture(scope="module")
def lines(pack: Protocol) -> list[str]:
    return [line.strip() for line in written(pack, made(pack)).splitlines()]


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_every_shipped_pack_answers_as_recorded(path: Path) -> None:
    protocol = load(path)
    assert [str(fault) for fault in replayed(protocol, read_cases(protocol, place_of(path)))] == []


def test_a_threshold_is_asked_one_resolution_step_below_at_and_above(lines: list[str]) -> None:
    assert "- P5 (joint), pain.now 3.9 nrs or 4 nrs: advance to P6 by mil.advance, rest 1" in lines
    assert "- P5, P1 (joint), pain.now 4.1 nrs: hold by mil.hold-pain-ceiling, rest 1" in lines


def test_a_limit_of_age_is_asked_on_its_last_day_and_the_day_after(lines: list[str]) -> None:
    assert "- entry (joint), clearance.physician_clearance yes 90 d old: advance to P1 by mil.entry, rest 1" in lines
    assert any(
        line.startswith("- entry (joint), clearance.physician_clearance unknown or yes 91 d old: hold by mil.entry") for line in lines
    )


def test_a_rule_is_asked_on_both_sides_of_its_scope(lines: list[str]) -> None:
    assert "- entry (joint), session.masked yes: advance to P1 by mil.entry, rest 1" in lines
    assert "- P5, P1 (joint), session.masked yes: hold by floor.masked, rest 1" in lines


def test_a_rest_and_a_way_back_are_part_of_the_answer() -> None:
    text = written(protocol := load(SHIPPED / "progressive-return.yaml"), made(protocol))
    assert "session.settled_within_60_min no: hold by pr.hold-not-settled, rest 2" in text
    assert "regress to entry by pr.regress-pain, pr.regress-pain-above-6, rest 2, withheld, review" in text
    assert "session (bone)" not in text and "(bone), session.pain_after 0.1 nrs: regress to W13 by pr.regress-bone, rest 5" in text


def test_what_was_written_is_read_again(pack: Protocol, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(written(pack, made(pack)))
    cases = read_cases(pack, file)
    assert written(pack, cases) == file.read_text()
    assert replayed(pack, cases) == []


def test_situations_and_values_read_back_as_written(pack: Protocol) -> None:
    words = "P3, P4 (joint, bone), milestone.walk_30_min.pain_nrs 1.9 nrs 15 d old by coach or unknown, swelling.now 2+"
    assert situation_words(pack, situation_of(pack, words)) == words
    kind = pack.facts["milestone.walk_30_min.pain_nrs"]
    for seen in (Seen(None), Seen(0), Seen(21, 3), Seen(21, 0, "athlete")):
        assert seen_of(kind, seen_words(kind, seen)) == seen


def altered(tmp_path: Path, old: str, new: str) -> tuple[Protocol, Cases]:
    """The pack with a change, and its recorded cases as they were."""
    file = tmp_path / MIL.name
    assert old in MIL.read_text()
    file.write_text(MIL.read_text().replace(old, new))
    protocol = load(file)
    return protocol, read_cases(protocol, place_of(MIL))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("value: 4 nrs", "value: 4.1 nrs", "recorded is “hold by mil.hold-pain-ceiling, rest 1”, now “advance to P6"),
        ("unknown: pass\n", "unknown: hold\n", "now “hold by mil.hold-next-morning unknown"),
        ("rest_days: {days: 1", "rest_days: {days: 2", "now “advance to P6 by mil.advance, rest 2”"),
        ("max_age: 90 d", "max_age: 91 d", "yes 91 d old (at entry, joint): recorded is “hold by mil.entry unknown"),
        (
            "{fact: session.masked, is: false, cite: [milepost-default]}",
            "{fact: session.masked, is: true, cite: [milepost-default]}",
            "now “clean”",
        ),
    ],
)
def test_a_changed_pack_answers_otherwise_than_recorded(tmp_path: Path, old: str, new: str, told: str) -> None:
    faults = [str(fault) for fault in replayed(*altered(tmp_path, old, new))]
    assert any(told in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("pain.now 6.1 nrs", "pain.now 6.1 rpe", "pain.now is measured in `nrs`"),
        ("pain.now 6.1 nrs", "pain.new 6.1 nrs", "pain.new is not a fact that a rule of this pack reads"),
        ("session.masked yes", "session.masked maybe", "session.masked is yes, no or unknown, not maybe"),
        ("P5 (joint), referral.open yes", "P9 (joint), referral.open yes", "P9 is not a step of this pack"),
        ("P5 (joint), referral.open yes", "P5 (knee), referral.open yes", "knee is not a tissue"),
        ("    - P5 (joint), referral.open yes", "   - P5 (joint), referral.open yes", "is not a line of a file of cases"),
    ],
)
def test_a_line_that_says_nothing_of_this_pack_is_told_with_its_place(
    pack: Protocol, tmp_path: Path, old: str, new: str, told: str
) -> None:
    text = place_of(MIL).read_text()
    line = next(n for n, one in enumerate(text.splitlines(), 1) if old in one)
    file = tmp_path / "cases.yaml"
    file.write_text(text.replace(old, new))
    with pytest.raises(FaultyPack) as caught:
        read_cases(pack, file)
    fault = caught.value.faults[0]
    assert (fault.line, told in fault.sentence) == (line, True), str(fault)


def test_the_outcome_is_what_the_same_pack_decides_live(pack: Protocol) -> None:
    """Through `Judge`: the ladder, the rest after a step and the way back are the core's, not rebuilt here."""
    asked = Asked(pack)
    nothing = asked.outcome({}, "P3", "joint")
    assert nothing.startswith("hold by ") and "floor.red-flag unknown" in nothing


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["test", "--no-mutants", *words])
    return done.exit_code, done.output


def test_a_draft_without_recorded_cases_is_told_how_to_make_them_and_then_passes(tmp_path: Path) -> None:
    file = tmp_path / MIL.name
    file.write_text(MIL.read_text())
    code, text = run(str(file))
    assert code == 1 and "milepost protocol test --accept" in text
    code, text = run(str(file), "--accept")
    assert code == 0 and "lines new, 0 gone" in text
    file.write_text(MIL.read_text().replace("value: 4 nrs", "value: 5 nrs"))
    code, text = run(str(file))
    assert code == 1 and "recorded is “hold by mil.hold-pain-ceiling, rest 1”" in text


def test_a_pack_that_is_not_there_is_told_with_those_that_are() -> None:
    code, text = run("nothing")
    assert code == 2 and "mil-knee-overuse" in text

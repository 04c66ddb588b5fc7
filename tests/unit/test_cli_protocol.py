"""`milepost protocol`: what a person reads of a pack, and how a faulty one is told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.protocol import app
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import SHIPPED, load

PACK = (SHIPPED / "mil-knee-overuse.yaml").read_text()


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


def test_both_packs_are_listed_with_their_hash() -> None:
    code, text = run("list")
    assert code == 0
    assert [line.split("\t")[0] for line in text.splitlines()] == ["id", "mil-knee-overuse", "progressive-return"]
    assert "sha256:" in text


def test_a_pack_reads_as_sentences_with_sources_and_grades() -> None:
    code, text = run("show", "mil-knee-overuse")
    assert code == 0
    assert "alternate 2 min walk and 3 min run over 1 mile" in text
    assert "Each phase at least twice" in text and "primary source; trials-2023" in text
    assert "expert default" in text
    assert text.index("the entry gate is not") < text.index("Ladder")
    assert "Not for bone stress injury" in text


def faults_of(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "pack.yaml"
    file.write_text(text)
    with pytest.raises(FaultyPack) as caught:
        load(file)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "session.gait_changed, is: false, cite",
            "session.gait_chnged, is: false, cite",
            "session.gait_chnged is not a fact; nearest: session.gait_changed",
        ),
        ("is: at_most, value: 0, cite", "is: at_most, value: soon, cite", "is a number"),
        ("cite: [trials-2023]\n    grade: primary", "cite: [nobody]\n    grade: primary", "nobody is not among the sources"),
        ("title: Walk-run", "titel: Walk-run", "titel"),
        ("at: [P1, P2", "at: [P9, P2", "P9 is not a step"),
        ("rest_days: 1", "rest_days: yes", "valid integer"),
        ("includes: [floor]", "includes: []", "every pack includes the floor"),
        ("rest_days: 1", "rest_days: 1\nrest_days: 2", "duplicate key"),
        ("rest_days: 1", "rest_days: &one 1", "anchors"),
        ("rest_days: 1", "rest_days:\t1\n\tx: 2", "is not YAML"),
    ],
)
def test_every_fault_of_a_pack_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in PACK
    [*faults] = faults_of(tmp_path, PACK.replace(old, new))
    assert any(told in fault for fault in faults), faults
    assert all(fault.startswith(str(tmp_path / "pack.yaml")) for fault in faults)


def test_check_leaves_with_one_for_a_faulty_pack_and_zero_for_a_good_one(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(PACK.replace("rest_days: 1", "rest_days: -1"))
    assert run("check", str(bad))[0] == 1
    assert run("check", str(SHIPPED / "progressive-return.yaml"))[0] == 0


def test_a_changed_byte_of_meaning_changes_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK.replace("rpe_max: 5", "rpe_max: 6"))
    assert load(file).hash != load(SHIPPED / "mil-knee-overuse.yaml").hash
    file.write_text("# a comment\n" + PACK)
    assert load(file).hash == load(SHIPPED / "mil-knee-overuse.yaml").hash

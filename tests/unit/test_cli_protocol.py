"""`milepost protocol`: what a person reads of a pack, and how a faulty one is told."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.protocol import app
from services.decision.core.protocol import AnyOf
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import SHIPPED, load

PACK = (SHIPPED / "mil-knee-overuse.yaml").read_text()


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


def test_every_shipped_pack_is_listed_with_its_hash() -> None:
    code, text = run("list")
    assert code == 0
    assert [line.split("\t")[0] for line in text.splitlines()] == [
        "id",
        *sorted(path.stem for path in SHIPPED.glob("*.yaml") if path.stem != "floor"),
    ]
    assert "sha256:" in text


def test_a_pack_reads_as_sentences_with_sources_and_grades() -> None:
    code, text = run("show", "mil-knee-overuse")
    assert code == 0
    assert "alternate 2 min walk and 3 min run over 1 mile" in text
    assert "Each phase at least twice" in text and "primary source; trials-2023" in text
    assert "expert default" in text
    assert text.index("the entry gate is not") < text.index("Ladder")
    assert "Not for bone stress injury" in text


def test_the_pace_of_a_pack_is_told_with_its_sources() -> None:
    _, text = run("show", "chop-acl-run")
    assert "On the way to P1…P9: at most 2 different steps trained at in any 7 days (chop-2023)" in text
    assert "A step takes one session that counts" in text
    _, text = run("show", "progressive-return")
    assert "On the way to W16…W17: at most 1 step gained that raises frequency in any 14 days (milepost-default)" in text
    assert "After 21 days 7 lighter ones with 80 % of the run time, 1 session a week fewer (milepost-default)" in text
    _, text = run("show", "timed-walkrun-15")
    assert "S14  3 min walk and 20 min run, at most 3 a week, flat; raises nothing; 1 whole day of rest" in text


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
        ("value: 4 nrs", "value: soon", "'soon' is not an amount with its unit"),
        ("value: 4 nrs", "value: 4", "4 has no unit; write it with one"),
        ("value: 4 nrs", "value: 4 rpe", "pain.now is measured in `nrs`"),
        ("value: 4 nrs", "value: 40 nrs", "outside the range of pain.now, 0 to 10 nrs"),
        ("value: 4 nrs", "value: 3.55 nrs", "known in steps of 0.1 nrs"),
        ("value: 4 nrs, cite: [milepost-default]", "value: 4 nrs", "this number has no citation"),
        ("max_age: 90 d", "max_age: 90", "90 has no unit"),
        ("max_age: 90 d", "max_age: 90 moons", "is not an age"),
        ("checked_on: 2026-11-22", 'checked_on: "2026-11-22"', "write the date without quotes"),
        ("evidence: primary\n    checked_on: 2026-11-22", "evidence: primary", "checked_on is missing"),
        ("unclean_restarts: false", "unclean_restarts: no", "write true or false"),
        (
            "kind: hold\n    text: Pain above 4",
            "kind: hold\n    unless: [mil.nothing]\n    text: Pain above 4",
            "mil.nothing is not another rule",
        ),
        ("cite: [trials-2023]\n    grade: primary", "cite: [nobody]\n    grade: primary", "nobody is not among the sources"),
        ("title: Walk-run", "titel: Walk-run", "titel"),
        ("at: [P1, P2", "at: [P9, P2", "P9 is not a step"),
        ("{days: 1", "{days: yes", "valid integer"),
        ("{days: 1", "{days: 010", "valid integer; found '010'"),
        ("includes: [floor]", "includes: []", "every pack includes the floor"),
        ("rest_days: {", "rest_days: 2\nrest_days: {", "duplicate key"),
        ("{days: 1", "{days: &one 1", "anchors"),
        ("version: 1.0.0", "version:\t1.0.0\n\tx: 2", "is not YAML"),
        ("title: Walk-run", "title: Walk\trun", "a tab stands here"),
        ("rest_days: {days: 1", "rest_days: {days: 1, days: 2", "duplicate key, days"),
        ("rest_days: {days: 1", "rest_days: {[days]: 1, days: 1", "a key is one word"),
        ("format: 1", "%YAML 1.1\n---\nformat: 1", "directives are not allowed"),
        ("format: 1", "---\nformat: 1\n---\n", "is not YAML"),
        ("review_by: 2027-11-22", "review_by: 2027-02-30", "is not a date of the calendar"),
        ("includes: [floor]", "includes: [*floor]", "anchors"),
        ("includes: [floor]", "includes: !!str [floor]", "tags"),
        ("unclean_restarts: false", "unclean_restarts: off", "write true or false"),
    ],
)
def test_every_fault_of_a_pack_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in PACK
    [*faults] = faults_of(tmp_path, PACK.replace(old, new))
    assert any(told in fault for fault in faults), faults
    assert all(fault.startswith(str(tmp_path / "pack.yaml")) for fault in faults)


def test_check_leaves_with_one_for_a_faulty_pack_and_zero_for_a_good_one(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(PACK.replace("{days: 1", "{days: -1"))
    assert run("check", str(bad))[0] == 1
    assert run("check", str(SHIPPED / "progressive-return.yaml"))[0] == 0


def test_check_without_a_name_looks_at_every_shipped_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def looking(file: Path, on: object, history: object) -> tuple[()]:
        looked.append(file.stem)
        return ()

    monkeypatch.setattr("services.cli.protocol_check.check_file", looking)
    code, text = run("check")
    assert code == 0 and looked == sorted(path.stem for path in SHIPPED.glob("*.yaml") if path.stem != "floor")
    assert text.count("no fault found") == len(looked) == text.count("no stored decision was looked at (--history)")
    assert "all shipped packs if none" in " ".join(run("check", "--help")[1].replace("│", " ").split())
    assert run("check", "mil-knee-overuse")[0] == 0 and looked[-1] == "mil-knee-overuse"
    code, text = run("check", "nowhere")
    assert code == 2 and "there is no pack nowhere; there are achilles-pmm" in text


def test_a_warning_fails_a_check_that_is_strict_and_no_other(tmp_path: Path) -> None:
    good, warned = tmp_path / "good.yaml", tmp_path / "warned.yaml"
    text = (Path(__file__).parent / "rules" / "packs" / "good.yaml").read_text()
    # On any day: a check looks whether these dates are past.
    good.write_text(text.replace("review_by: 2027-11-22", "review_by: 2999-11-22").replace("expires: 2027-12-31", "expires: 2999-12-31"))
    warned.write_text(
        good.read_text()
        .replace("is: above, value: 2 nrs", "is: above, value: 2 nrs, max_age: 9 d", 1)
        .replace(
            "      - {fact: session.pain_during, is: above",
            "      - {fact: session.pain_during, is: at_least, value: 0 nrs, cite: [table]}\n      - {fact: session.pain_during, is: above",
            1,
        )
    )
    code, text = run("check", str(warned))
    assert code == 0 and "warning VACUOUS" in text and "2 warnings" in text
    assert run("check", "--strict", str(warned))[0] == 1
    assert run("check", "--strict", str(good))[0] == 0


def test_a_changed_byte_of_meaning_changes_the_hash(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK.replace("rpe_max: 5", "rpe_max: 6"))
    assert load(file).hash != load(SHIPPED / "mil-knee-overuse.yaml").hash
    file.write_text("# a comment\n" + PACK)
    assert load(file).hash == load(SHIPPED / "mil-knee-overuse.yaml").hash


def test_a_bomb_of_a_pack_is_refused_before_it_is_read(tmp_path: Path) -> None:
    deep = tmp_path / "deep.yaml"
    deep.write_text("format: " + "[" * 3000 + "]" * 3000)
    wide = tmp_path / "wide.yaml"
    wide.write_bytes(b"format: 1\n" + b"# more\n" * 1_500_000)
    code, text = run("check", str(deep), str(wide))
    assert code == 1
    assert "nested more than" in text and "is larger than" in text


def test_faults_of_meaning_stand_at_their_line(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(PACK.replace("value: 4 nrs", "value: 40 nrs"))
    line = next(n for n, text in enumerate(PACK.splitlines(), 1) if "value: 4 nrs" in text)
    code, text = run("check", str(file))
    assert code == 1
    assert f"{file}:{line}:" in text


def test_where_an_exception_is_met_the_rule_it_excepts_is_set_aside(tmp_path: Path) -> None:
    excepting = """  - rule: mil.walks-well
    kind: hold
    text: Made up for this test
    at: ladder
    when:
      - {fact: pain.now, is: below, value: 5 nrs, cite: [milepost-default]}
      - {fact: session.gait_changed, is: false}
    cite: [milepost-default]
    grade: expert_default
"""
    file = tmp_path / "pack.yaml"
    file.write_text(
        PACK.replace("rules:\n", "rules:\n" + excepting, 1).replace(
            "text: Pain above 4", "unless: [mil.walks-well]\n    text: Pain above 4"
        )
    )
    rule = next(rule for rule in load(file).rules if rule.id == "mil.hold-pain-ceiling")
    assert rule.excepted_by == ("mil.walks-well",)
    turned = rule.when[-1]
    assert isinstance(turned, AnyOf)
    assert [(one.op, one.value) for one in turned.conditions] == [("at_least", 5), ("is", True)]


def test_a_rule_that_refers_has_no_exceptions(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(
        PACK.replace("kind: hold\n    text: Pain above 4", "kind: refer\n    unless: [mil.hold-on-symptoms]\n    text: Pain above 4")
    )
    with pytest.raises(FaultyPack, match="a red flag is never set aside"):
        load(file)

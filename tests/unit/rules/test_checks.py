"""Each check finds what it is for, shows an athlete and a fix, and leaves the good twin alone."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from services.decision.core.protocol import Then
from services.decision.rules.check import Finding, check_file, check_protocol
from services.decision.rules.check.finding import Case
from services.decision.rules.check.running import AT_READING, CHECKS, run
from services.decision.rules.library import FLOORS, SHIPPED, load
from services.decision.rules.prove.proof import Proof

GOOD = Path(__file__).parent / "packs" / "good.yaml"
TEXT = GOOD.read_text()
TODAY = date(2026, 11, 23)

Edits = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Twins:
    """A pack that breaks one law, by edits of the good one, and another that comes near it and does not."""

    code: str
    bad: Edits
    good: Edits
    told: str
    """Words that the finding says, in its sentence or of its athlete."""
    line_has: str = ""
    """What stands in the line it points at."""


RULES = "rules:\n"
HOLD = "      - {fact: session.pain_during, is: above, value: 2 nrs, cite: [table]}\n"
ADVANCE = "      - {fact: step.clean_sessions_short, is: at_most, value: 0 sessions, cite: [table]}\n"
TECHNIQUE = "      - {fact: session.technique_ok, is: true, cite: [table]}\n"
REGRESS = "      - {fact: session.pain_during, is: at_least, value: 5 nrs, cite: [table]}\n"


def rule(name: str, kind: str, *when: str, more: str = "", grade: str = "primary") -> str:
    conditions = "".join(f"      - {one}\n" for one in when)
    return f"  - rule: {name}\n    kind: {kind}\n    text: Made up\n{more}    when:\n{conditions}    cite: [table]\n    grade: {grade}\n"


def adding(*rules: str) -> tuple[str, str]:
    return (RULES, RULES + "".join(rules))


def ladder(*steps: str) -> Edits:
    """Edits that give the four steps, in order, other sessions a week, and what is said between step and dose: `5 rest_days: 0`."""
    found = []
    for name, told in zip(("A1", "A2", "A3", "A4"), steps, strict=True):
        [line] = [one for one in TEXT.splitlines() if f"step: {name}," in one]
        sessions, _, more = told.partition(" ")
        changed = line.replace("sessions_per_week_max: 3", f"sessions_per_week_max: {sessions}")
        found.append((line, changed.replace(" dose:", f" {more}, dose:" if more else " dose:")))
    return tuple(found)


LADDER = "    at: ladder\n"
LIGAMENT = ("tissues: [joint, bone]}\nrest", "tissues: [joint, ligament]}\nrest")
DAILY = "5 rest_days: 0, cite: [{}]".format
NO_REST = ("rest_days: {days: 1,", "rest_days: {days: 0,")
SURVEY = "{fact: session.pain_during, is: above, value: 3 nrs, cite: [survey]}"
UNLESS = "text: Pain above 2 of 10\n    unless: "
FATIGUE = "{fact: fatigue.now, is: at_least, value: 8 fatigue, cite: [table]}"

TWINS = [
    Twins("FORM", (("title: A small", "titel: A small"),), (), "titel is not a word of this language", "titel"),
    Twins(
        "TYPE",
        ((HOLD, HOLD.replace("2 nrs", "12 nrs")),),
        ((HOLD, HOLD.replace("2 nrs", "1.5 nrs")),),
        "outside the range of session.pain_during, 0 to 10 nrs",
        "12 nrs",
    ),
    Twins("UNIT", ((ADVANCE, ADVANCE.replace("0 sessions", "0 min")),), (), "is measured in `sessions`", "0 min"),
    Twins("INSTR", ((HOLD, HOLD.replace("2 nrs", "2 rpe")),), (), "of different instruments", "2 rpe"),
    Twins(
        "CYCLE",
        (
            ("text: Pain above 2 of 10\n", UNLESS + "[small.regress-pain]\n"),
            ("text: Pain of 5 of 10 or more\n", "text: Pain of 5 of 10 or more\n    unless: [small.hold-pain]\n"),
        ),
        (adding(rule("small.seen", "hold", FATIGUE)), ("text: Pain above 2 of 10\n", UNLESS + "[small.seen]\n")),
        "without exceptions of its own",
        "unless",
    ),
    Twins(
        "DEAD",
        (adding(rule("small.dead", "hold", "{fact: session.pain_during, is: at_least, value: 3 nrs, cite: [table]}", more=LADDER)),),
        (
            adding(
                rule(
                    "small.alive",
                    "hold",
                    "{fact: session.pain_during, is: above, value: 3 nrs, cite: [table]}",
                    more=LADDER + "    then: {rest_days: 3}\n",
                )
            ),
        ),
        "small.dead can never change a verdict: wherever it is met, small.hold-pain is met too",
        "small.dead",
    ),
    Twins(
        "VACUOUS",
        ((TECHNIQUE + "    cite", TECHNIQUE + "      - {fact: session.pain_during, is: at_most, value: 10 nrs, cite: [table]}\n    cite"),),
        ((TECHNIQUE + "    cite", TECHNIQUE + "      - {fact: session.pain_during, is: at_most, value: 4 nrs, cite: [table]}\n    cite"),),
        "holds for every value of pain during",
        "10 nrs",
    ),
    Twins(
        "SUBSUMED",
        ((HOLD, HOLD + "      - {fact: session.pain_during, is: at_least, value: 1 nrs, cite: [table]}\n"),),
        ((HOLD, HOLD + "      - {fact: session.pain_during, is: at_most, value: 6 nrs, cite: [table]}\n"),),
        "follows from the others of the rule",
        "1 nrs",
    ),
    Twins(
        "LIVE",
        (("at: A1..A4", "at: A1..A3"),),
        (("at: A1..A4", "at: [A1, A2, A3, A4]"),),
        "can ever leave A4: no advance rule applies there",
        "step: A4",
    ),
    Twins(
        "LIVE",
        ((ADVANCE, ADVANCE + "      - {fact: session.pain_during, is: above, value: 2 nrs, cite: [table]}\n"),),
        ((ADVANCE, ADVANCE + "      - {fact: session.pain_during, is: at_most, value: 2 nrs, cite: [table]}\n"),),
        "can ever leave A1: its rules exclude one another",
        "step: A1",
    ),
    Twins(
        "SAFE-01",
        (("    then: {steps_back: 1}\n", "    then: {steps_back: 1}\n    unknown: pass\n"),),
        (adding(rule("small.tired", "hold", FATIGUE, more="    unknown: pass\n")),),
        "lets an athlete advance while it cannot be judged",
        "unknown: pass",
    ),
    Twins(
        "SAFE-02",
        ((HOLD, HOLD.replace("above, value: 2 nrs", "below, value: 2 nrs")),),
        ((HOLD, HOLD.replace("2 nrs", "1 nrs")),),
        "with pain during worse",
        "below",
    ),
    Twins(
        "SAFE-02",
        (("- {fact: session.pain_during, is: at_most, value: 2 nrs", "- {fact: session.pain_during, is: at_least, value: 2 nrs"),),
        (("- {fact: session.pain_during, is: at_most, value: 2 nrs", "- {fact: session.pain_during, is: below, value: 2 nrs"),),
        "a worse session counts as clean",
        "clean",
    ),
    Twins(
        "SAFE-02",
        (
            adding(rule("small.worse", "refer", "{fact: session.pain_during, is: at_least, value: 8 nrs, cite: [table]}")),
            (REGRESS, REGRESS + "      - {fact: session.pain_during, is: below, value: 8 nrs, cite: [table]}\n"),
        ),
        (adding(rule("small.worse", "refer", "{fact: session.pain_during, is: at_least, value: 8 nrs, cite: [table]}")),),
        "would be referred to a step that asks for more",
    ),
    Twins(
        "SAFE-03",
        (
            (ADVANCE + TECHNIQUE, "      - {fact: session.pain_during, is: at_most, value: 2 nrs, cite: [table]}\n"),
            ("  - {fact: session.technique_ok, is: true, cite: [table]}\nstop_if", "stop_if"),
        ),
        ((TECHNIQUE + "    cite", "      - {fact: session.gait_changed, is: false, cite: [table]}\n    cite"),),
        "with nothing known of function or technique",
        "when",
    ),
    Twins(
        "SAFE-04",
        (("rest_days: {days: 1,", "rest_days: {days: 0,"),),
        (("rest_days: {days: 1,", "rest_days: {days: 2,"),),
        "An athlete who ran at A1 on Monday and advances could run A2 on Tuesday",
        "step: A1",
    ),
    Twins(
        "SAFE-04",
        (LIGAMENT, NO_REST, *ladder("4", "4", "4", "4")),
        (LIGAMENT, *ladder("3", "4", DAILY("milepost-default"), DAILY("milepost-default"))),
        "the advance from A1 to A2 may take effect on the day after a run",
        "step: A1",
    ),
    Twins(
        "SAFE-04",
        (LIGAMENT, NO_REST, *ladder("5", "5", "5", "5")),
        (LIGAMENT, *ladder("4", DAILY("table"), DAILY("table"), DAILY("table"))),
        "no step before it ran every other day four times a week",
        "step: A1",
    ),
    Twins(
        "SAFE-04",
        (LIGAMENT, *ladder("3", "4", "5 rest_days: 0", "5 rest_days: 0")),
        (LIGAMENT, *ladder("3", "4", DAILY("table"), DAILY("table"))),
        "A3 has `rest_days: 0` of its own and no source of its own for it",
        "step: A3",
    ),
    Twins(
        "SAFE-04",
        (LIGAMENT, *ladder("3", "4", DAILY("bone-study"), DAILY("bone-study"))),
        (LIGAMENT, *ladder("3", "4", DAILY("bone-study, milepost-default"), DAILY("bone-study, milepost-default"))),
        "ligament injuries at A3 run on consecutive days, and bone-study does not speak for them",
        "step: A3",
    ),
    Twins(
        "SAFE-04",
        ladder("3", "4", DAILY("table"), DAILY("table")),
        (*ladder("3", "4", DAILY("table"), DAILY("table")), ("[joint, bone]}\nrest", "[joint]}\nrest")),
        "a bone injury advances from A3 to A4 without a day of rest",
        "step: A3",
    ),
    Twins(
        "SAFE-05",
        (("raises: [duration], dose: {run_s: 900", "raises: [duration], dose: {run_s: 500"),),
        (("raises: [duration], dose: {run_s: 900", "raises: [], dose: {run_s: 500"),),
        "A2 says it raises duration over A1, and lowers it",
        "step: A2",
    ),
    Twins(
        "SAFE-05",
        (
            (
                "raises: [intensity], dose: {run_s: 1200, bout_s: 60, sessions_per_week_max: 3, rpe_max: 5",
                "raises: [intensity], dose: {run_s: 1200, bout_s: 60, sessions_per_week_max: 3, rpe_max: 4",
            ),
        ),
        (
            (
                "raises: [intensity], dose: {run_s: 1200, bout_s: 60, sessions_per_week_max: 3, rpe_max: 5",
                "raises: [intensity], dose: {run_s: 1200, bout_s: 60, sessions_per_week_max: 3, terrain: hills, rpe_max: 4",
            ),
        ),
        "A4 says it raises intensity over A3, and keeps it",
        "step: A4",
    ),
    Twins(
        "SAFE-05",
        (("raises: [intensity], dose: {run_s: 1200", "raises: [intensity], dose: {run_s: 1500"),),
        (("raises: [intensity], dose: {run_s: 1200", "raises: [intensity, duration], cite: [table], dose: {run_s: 1500"),),
        "A4 raises duration over A3 and does not say so",
        "step: A4",
    ),
    Twins(
        "SAFE-05",
        (("raises: [intensity], dose: {run_s: 1200", "raises: [intensity, duration], dose: {run_s: 1500"),),
        (("raises: [intensity], dose: {run_s: 1200", "raises: [intensity], dose: {run_s: 1100"),),
        "raises intensity and duration together, and no published table does so",
        "step: A4",
    ),
    Twins(
        "SAFE-06",
        (adding(rule("small.flag", "refer", "{fact: referral.open, is: true}", more="    unless: [small.hold-pain]\n")),),
        (adding(rule("small.flag", "refer", "{fact: referral.open, is: true}")),),
        "a red flag is never set aside",
        "unless",
    ),
    Twins(
        "SAFE-11",
        (("review_by:", "effective_from: 2026-11-24\nreview_by:"),),
        (("review_by:", "effective_from: 2026-11-23\nreview_by:"),),
        "is in force from the moment it is published",
        "effective_from",
    ),
    Twins(
        "SAFE-07",
        ((REGRESS, REGRESS.replace("at_least, value: 5", "above, value: 2")),),
        ((REGRESS, REGRESS.replace("5 nrs", "3 nrs")),),
        "with pain during 2 of 10, all else well, would be advanced; with 2.1 of 10 sent back",
        "above, value: 2 nrs",
    ),
    Twins(
        "SAFE-08",
        ((HOLD, HOLD.replace("cite: [table]", "cite: [bone-study]")),),
        ((HOLD, HOLD.replace("cite: [table]", "cite: [bone-study, milepost-default]")),),
        "cited for bone injuries and used for joint",
        "bone-study",
    ),
    Twins(
        "SAFE-08",
        ((", tissues: [any]}", "}"),),
        ((", tissues: [any]}", ", tissues: [joint, bone]}"),),
        "table does not say for which tissues it speaks, and gives the threshold on",
        "table: {",
    ),
    Twins(
        "SAFE-08",
        (adding(rule("small.swelling", "hold", "{fact: swelling.now, is: at_least, value: 2+, cite: [bone-study]}")),),
        (adding(rule("small.swelling", "hold", "{fact: swelling.now, is: at_least, value: 2+, cite: [survey]}")),),
        "swelling now 2+ is cited for bone injuries and used for joint",
        "2+",
    ),
    Twins(
        "SAFE-08",
        (
            (HOLD, HOLD.replace("cite: [table]", "cite: [bone-study]")),
            ("text: Pain above 2 of 10\n", "text: Pain above 2 of 10\n    tissues: [joint]\n"),
        ),
        (
            (HOLD, HOLD.replace("cite: [table]", "cite: [bone-study]")),
            ("text: Pain above 2 of 10\n", "text: Pain above 2 of 10\n    tissues: [bone]\n"),
        ),
        "cited for bone injuries and used for joint",
        "bone-study",
    ),
    Twins("FORM", ((", tissues: [any]}", ", tissues: [knee]}"),), (), "knee is not a tissue", "knee"),
    Twins(
        "GRADE",
        ((HOLD + "    cite: [table]", HOLD + "    cite: [table, milepost-default]"),),
        ((HOLD + "    cite: [table]\n    grade: primary", HOLD + "    cite: [table, milepost-default]\n    grade: expert_default"),),
        "small.hold-pain is graded primary, and rests on milepost-default (expert default)",
        "grade: primary",
    ),
    Twins(
        "GRADE",
        ((TECHNIQUE + "    cite", TECHNIQUE.replace("[table]", "[table, survey]") + "    cite"),),
        (
            (
                TECHNIQUE + "    cite: [table]\n    grade: primary",
                TECHNIQUE.replace("[table]", "[survey]") + "    cite: [table]\n    grade: secondary",
            ),
        ),
        "small.advance is graded primary, and rests on survey (secondary) for technique ok",
        "grade: primary",
    ),
    Twins(
        "SAFE-09",
        (("clean_sessions: 2, after_failure: 2, on_rebuild: 2", "clean_sessions: 1, after_failure: 1, on_rebuild: 1"),),
        (
            ("clean_sessions: 2, after_failure: 2, on_rebuild: 2", "clean_sessions: 1, after_failure: 1, on_rebuild: 1"),
            ("clean:\n", "rates:\n  - {max_steps: 2, in_days: 7, at: A1..A4, cite: [table]}\nclean:\n"),
        ),
        "3 steps can be gained in seven days at A2 to A4",
        "step: A2",
    ),
    Twins("SAFE-10", ((HOLD, HOLD.replace(", cite: [table]", "")),), (), "this number has no citation", "2 nrs"),
    Twins(
        "SAFE-10",
        (("A published survey", "A survey that was recalled"),),
        (("A published survey", "A survey read in full"),),
        "survey was recalled and not read",
        "survey",
    ),
    Twins("SAFE-10", (("evidence: secondary", "evidence: recalled"),), (), "found 'recalled'", "evidence: recalled"),
    Twins(
        "SAFE-11",
        (("expires: 2027-12-31", "expires: 2026-11-22"),),
        (("expires: 2027-12-31", "expires: 2026-11-23"),),
        "expired on",
        "expires",
    ),
    Twins(
        "SAFE-12",
        (("stories:", "waivers:\n  - {check: SAFE-05, reason: We know, owner: the lead, until: 2026-11-01}\nstories:"),),
        (("stories:", "waivers:\n  - {check: SAFE-05, reason: We know, owner: the lead, until: 2026-12-01}\nstories:"),),
        "the waiver of SAFE-05 ended on 2026-11-01",
        "check: SAFE-05",
    ),
    Twins(
        "SAFE-12",
        (("stories:", "waivers:\n  - {check: SAFE-06, reason: We know, owner: the lead, until: 2026-12-01}\nstories:"),),
        (),
        "SAFE-06 cannot be waived",
        "check: SAFE-06",
    ),
    Twins(
        "SAFE-12",
        (("stories:", "waivers:\n  - {check: SAFE-05, until: 2026-12-01}\nstories:"),),
        (),
        "owner is required here",
        "SAFE-05",
    ),
    Twins(
        "SAFE-13",
        (adding(rule("small.other", "hold", SURVEY, more=LADDER, grade="secondary")),),
        (
            adding(rule("small.other", "hold", SURVEY, more=LADDER, grade="secondary")),
            ("clean:\n", "disagreement: [The survey holds from 3 and the table from 2.]\nclean:\n"),
        ),
        "from different sources",
        "small.hold-pain",
    ),
]


def edited(tmp_path: Path, edits: Edits) -> tuple[Finding, ...]:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    file = tmp_path / "pack.yaml"
    file.write_text(text)
    return check_file(file, TODAY)


@pytest.mark.law("pain-not-alone")
@pytest.mark.law("recovery-window")
@pytest.mark.law("one-axis")
@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: f"{twins.code} {twins.told[:40]}")
def test_a_check_finds_the_bad_pack_at_its_place_and_leaves_its_good_twin_alone(tmp_path: Path, twins: Twins) -> None:
    found = [one for one in edited(tmp_path, twins.bad) if one.code == twins.code and one.severity != "info"]
    assert found, edited(tmp_path, twins.bad)
    assert any(twins.told in f"{one.sentence} {one.athlete}" for one in found), found
    lines = (tmp_path / "pack.yaml").read_text().splitlines()
    assert any(twins.line_has in lines[one.line - 1] for one in found), [lines[one.line - 1] for one in found]
    left = [one for one in edited(tmp_path, twins.good) if one.severity != "info" and one.code == twins.code]
    assert left == []


def test_the_good_pack_has_nothing_but_notes() -> None:
    assert [one for one in check_file(GOOD, TODAY) if one.severity != "info"] == []


def test_overlaps_and_gaps_are_told_and_are_no_fault() -> None:
    found = check_file(GOOD, TODAY)
    overlap = next(one for one in found if one.code == "OVERLAP")
    assert overlap.severity == "info"
    assert "small.regress-pain (regress) and small.hold-pain (hold) both speak where pain during 5 to 10 of 10" in overlap.sentence
    gap = next(one for one in found if one.code == "GAP")
    assert gap.severity == "info" and "all else well, is held" in gap.athlete


def test_a_rule_that_nobody_can_ever_meet_is_an_error_and_one_that_another_silences_a_warning(tmp_path: Path) -> None:
    pain = "{fact: session.pain_during, is: %s, value: %s nrs, cite: [table]}"
    never = rule("small.never", "refer", pain % ("above", 8), pain % ("below", 3))
    silenced = rule("small.dead", "hold", pain % ("at_least", 3), more=LADDER)
    found = {one.path: one for one in edited(tmp_path, (adding(never, silenced),)) if one.code == "DEAD" and one.severity != "info"}
    assert sorted(one.severity for one in found.values()) == ["error", "warning"]
    [error] = [one for one in found.values() if one.severity == "error"]
    assert error.sentence == "small.never can never change a verdict: what it asks for cannot be at any step"


@pytest.mark.law("unknown-never-advances")
def test_a_pack_that_needs_to_know_nothing_of_pain_is_refused() -> None:
    pack = load(GOOD)
    assert not [one for one in check_protocol(pack) if one.code == "SAFE-01" and one.severity == "error"]
    blind = tuple(replace(rule, unknown="pass") for rule in pack.rules if rule.id not in ("floor.pain-above-6", "small.regress-pain"))
    found = check_protocol(replace(pack, rules=blind, clean=pack.clean[1:]))
    found = tuple(one for one in found if one.code == "SAFE-01" and "no fact of pain" in one.athlete)
    assert [one.severity for one in found] == ["error"]


@pytest.mark.law("red-flag-stops")
def test_a_pack_without_the_rule_for_red_flags_is_refused_with_an_athlete_who_runs_on() -> None:
    pack = load(GOOD)
    without = replace(pack, rules=tuple(rule for rule in pack.rules if rule.id != "floor.red-flag"))
    [found] = [one for one in check_protocol(without) if one.code == "SAFE-06"]
    assert "would be advanced" in found.athlete or "would be held" in found.athlete
    mild = tuple(replace(rule, then=Then(running="walk_only")) if rule.id == "floor.red-flag" else rule for rule in pack.rules)
    [found] = [one for one in check_protocol(replace(pack, rules=mild)) if one.code == "SAFE-06"]
    assert "referral open: yes" in found.athlete and "no rule that is met withholds running" in found.athlete
    assert not [one for one in check_protocol(pack) if one.code == "SAFE-06"]


@pytest.mark.parametrize(("code", "rule"), [("SAFE-11", "floor.expired"), ("SAFE-14", "floor.engine")])
def test_a_pack_without_the_rule_of_the_floor_advances_where_the_law_holds(code: str, rule: str) -> None:
    pack = load(GOOD)
    assert not [one for one in check_protocol(pack) if one.code == code]
    [found] = [one for one in check_protocol(replace(pack, rules=tuple(one for one in pack.rules if one.id != rule))) if one.code == code]
    assert "would be advanced" in found.athlete


def test_a_pack_that_no_engine_can_hold_is_refused_when_it_is_checked() -> None:
    pack = load(GOOD)
    many = tuple(replace(pack.rules[-1], id=f"copy-{n}") for n in range(401))
    found = check_protocol(replace(pack, rules=pack.rules + many))
    assert {one.code for one in found} == {"COST"} and found[0].severity == "error"
    long = replace(pack.rules[-1], id="long", when=pack.rules[-1].when * 4_100, steps=None)
    found = check_protocol(replace(pack, rules=(*pack.rules, long)))
    assert [(one.code, one.severity) for one in found] == [("BOUND", "error")]


def test_a_waived_finding_is_told_and_no_longer_an_error(tmp_path: Path) -> None:
    twins = next(one for one in TWINS if one.code == "SAFE-05" and "together" in one.told)
    waiver = ("stories:", "waivers:\n  - {check: SAFE-05, reason: Seen, owner: the lead, until: 2026-12-01}\nstories:")
    found = edited(tmp_path, (*twins.bad, waiver))
    assert not [one for one in found if one.severity == "error"]
    assert any("waived by the lead until 2026-12-01: Seen" in one.waived for one in found)


def test_what_is_neither_proved_nor_refuted_within_its_bound_is_an_error() -> None:
    case = Case(load(SHIPPED / "progressive-return.yaml"))
    case.proof = Proof(case.protocol, steps=1)
    found = run(case, ("SAFE-01", "SAFE-02"))
    refused = [one for one in found if one.severity == "error"]
    assert [one.code for one in refused] == ["SAFE-01", "SAFE-02"]
    assert all("neither proved nor refuted" in one.sentence for one in refused)


@pytest.mark.law("pain-not-alone")
@pytest.mark.law("recovery-window")
@pytest.mark.law("one-axis")
@pytest.mark.law("worse-never-freer")
@pytest.mark.parametrize("file", sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS), ids=lambda path: path.stem)
def test_every_shipped_pack_stands_every_check(file: Path) -> None:
    assert [str(one) for one in check_file(file, TODAY) if one.severity == "error"] == []


def test_every_check_has_its_page_with_what_to_avoid_what_to_prefer_and_why() -> None:
    pages = Path(__file__).parents[3] / "docs" / "checks"
    for code in (*CHECKS, *AT_READING, "DIFF"):
        text = (pages / f"{code}.md").read_text()
        assert text.startswith(f"# {code}")
        assert all(part in text for part in ("## Avoid", "## Prefer", "## Why")), code

"""Small faults put into a pack: which there are, which its tests notice, and what is said of those that nothing notices."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.protocol import app
from services.decision.core.protocol import Protocol
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import FLOORS, SHIPPED, load, load_pack
from services.decision.rules.model import StoriesText
from services.decision.rules.testing.cases import Cases, place_of, read_cases
from services.decision.rules.testing.killing import Fate, Hunt, Score
from services.decision.rules.testing.mutants import Mutant, mutants
from services.decision.rules.testing.sameness import same
from services.decision.rules.testing.stories import stories_of, tell
from services.decision.rules.testing.verdicts import judged, part, share_of_stories, stories_part

PACKS = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)
MIL = SHIPPED / "mil-knee-overuse.yaml"
NO_STORIES = StoriesText(told=[])


@pytest.fixture(scope="module")
def pack() -> Protocol:
    return load(MIL)


@pytest.fixture(scope="module")
def by_id(pack: Protocol) -> dict[str, Mutant]:
    return {mutant.id: mutant for mutant in mutants(pack)}


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_the_tests_of_a_shipped_pack_notice_its_mutants_and_it_explains_those_they_do_not(path: Path) -> None:
    score, faults = judged(load_pack(path), part(path, 0, 1))
    assert [str(fault) for fault in faults] == []
    assert score.share >= 0.95


def test_every_mutant_differs_from_the_pack_and_has_an_id_of_its_own(pack: Protocol, by_id: dict[str, Mutant]) -> None:
    made = list(mutants(pack))
    assert len(by_id) == len(made) > 300
    assert all(replace(mutant.protocol, hash=pack.hash) != pack for mutant in made)
    assert len({mutant.protocol.hash for mutant in made}) == len(made)


@pytest.mark.parametrize(
    "told",
    [
        "mil.hold-pain-ceiling: pain.now above 4 nrs becomes above 3.9 nrs",
        "mil.hold-pain-ceiling: pain.now above 4 nrs becomes above 4.1 nrs",
        "mil.hold-pain-ceiling: pain.now above 4 nrs becomes at most 4 nrs",
        "mil.hold-pain-ceiling: the whole rule dropped",
        "mil.hold-pain-ceiling: unknown becomes pass",
        "mil.hold-pain-ceiling: not at P1",
        "mil.hold-pain-ceiling: also at entry",
        "mil.hold-on-symptoms: without the alternative session.pain_higher_during yes",
        "mil.entry: without milestone.walk_30_min.passed yes within 14 d",
        "mil.entry: milestone.walk_30_min.passed yes within 14 d may be 15 d old instead of 14 d",
        "mil.entry: swelling.now one of none, trace within 7 d becomes one of none, trace, 1+",
        "floor.break-10: 2 steps back becomes 3",
        "floor.break-28: to entry becomes no",
        "floor.fever: withheld becomes walk_only",
        "floor.fever: review becomes routine",
        "clean: session.masked no becomes yes",
        "progress: clean_sessions 2 becomes 1",
        "rest_days: 1 after P3 becomes 2",
        "population: without tendon",
    ],
)
def test_a_slip_of_the_pen_is_among_the_mutants(by_id: dict[str, Mutant], told: str) -> None:
    assert told in by_id


def hunted(protocol: Protocol, cases: Cases, mutant: Mutant) -> str:
    return Hunt(protocol, cases, NO_STORIES, partial(same, protocol)).fate(mutant)


@pytest.fixture(scope="module")
def cases(pack: Protocol) -> Cases:
    return read_cases(pack, place_of(MIL))


def test_a_mutant_is_noticed_by_the_case_at_its_border_and_survives_without_it(
    pack: Protocol, cases: Cases, by_id: dict[str, Mutant]
) -> None:
    mutant = by_id["mil.hold-pain-ceiling: pain.now above 4 nrs becomes above 4.1 nrs"]
    assert hunted(pack, cases, mutant) == "case"
    fewer = replace(cases, cases=tuple(case for case in cases.cases if "pain.now 4.1 nrs" not in case.words))
    assert hunted(pack, fewer, mutant) == "survivor"


def test_a_mutant_that_no_athlete_can_tell_is_proved_to_change_nothing_and_any_other_is_not(
    pack: Protocol, cases: Cases, by_id: dict[str, Mutant]
) -> None:
    none = replace(cases, cases=())
    assert hunted(pack, none, by_id["floor.red-flag: stop_and_refer becomes review"]) == "equivalent"
    assert hunted(pack, none, by_id["floor.bone-risk: unknown becomes pass"]) == "equivalent"
    assert hunted(pack, none, by_id["clean: session.masked no becomes yes"]) == "survivor"
    assert hunted(pack, none, by_id["floor.fever: review becomes routine"]) == "survivor"


def test_what_no_case_sees_a_story_may_notice(pack: Protocol, cases: Cases, by_id: dict[str, Mutant]) -> None:
    stories = load_pack(MIL).source.text.stories
    hunt = Hunt(pack, replace(cases, cases=()), stories, lambda mutant: False)
    assert hunt.fate(by_id["progress: clean_sessions 2 becomes 1"]) == "story"
    assert hunt.fate(by_id["floor.fever: the whole rule dropped"]) == "survivor"


def test_what_the_stories_alone_notice_can_be_asked(tmp_path: Path) -> None:
    file = tmp_path / MIL.name
    text = MIL.read_text()
    file.write_text(text[: text.index("stories:\n")] + "stories: {told: []}\n")
    assert {fate.by for fate in stories_part(file, 0, 40)} == {"survivor"}


def test_the_two_scores_are_told_apart_and_of_the_same_mutants() -> None:
    score = Score([Fate("a", "case"), Fate("b", "case"), Fate("c", "equivalent"), Fate("d", "survivor")])
    told = [Fate("a", "story"), Fate("b", "survivor"), Fate("c", "survivor"), Fate("d", "survivor")]
    assert score.share == 2 / 3 and share_of_stories(score, told) == 1 / 3
    assert share_of_stories(score, told[:2]) == 1 / 2 and share_of_stories(score, []) == 1.0


def test_a_story_that_is_not_told_again_for_a_mutant_would_have_ended_the_same(pack: Protocol, by_id: dict[str, Mutant]) -> None:
    text = stories_of(load_pack(MIL))
    hunt = Hunt(pack, Cases("", {}, ()), text, lambda mutant: False)
    for mutant in list(by_id.values())[::61]:
        every = [tell(mutant.protocol, ReferenceEngine(), text, story).differs for story in text.told]
        assert (hunt.fate(mutant) == "story") == any(every), mutant.id


def test_the_parts_of_several_processes_are_all_the_mutants_once(by_id: dict[str, Mutant]) -> None:
    fates = [fate for number in range(3) for fate in part(MIL, number, 3)]
    assert sorted(fate.id for fate in fates) == sorted(by_id)


def test_a_survivor_needs_an_explanation_that_is_true_and_the_score_has_a_floor(tmp_path: Path) -> None:
    file = tmp_path / MIL.name
    noticed = [Fate(str(n), "case") for n in range(96)]
    survivors = "survivors: [{mutant: 'a: b becomes c', why: nobody is hurt by it}]\n"
    file.write_text(MIL.read_text().replace("stories:\n", f"{survivors}stories:\n", 1))
    told = load_pack(file)
    assert judged(told, [*noticed, Fate("a: b becomes c", "survivor")])[1] == []
    [stale] = judged(told, noticed)[1]
    assert "take it out" in stale.sentence and stale.line == file.read_text().splitlines().index(survivors.strip()) + 1
    [unexplained] = judged(told, [*noticed, Fate("a: b becomes c", "survivor"), Fate("other", "survivor")])[1]
    assert "no test notices “other”" in unexplained.sentence
    [*_, low] = judged(told, [*noticed[:10], Fate("a: b becomes c", "survivor")])[1]
    assert "90.9% of the mutants, expected 95% or more" in low.sentence


def test_what_is_proved_to_change_nothing_is_counted_apart() -> None:
    score, _ = judged(load_pack(MIL), [Fate("a", "case"), Fate("b", "equivalent"), Fate("c", "survivor"), Fate("d", "story")])
    assert (score.share, score.survivors) == (2 / 3, ["c"])


def test_the_command_prints_the_score_and_lists_what_survives(tmp_path: Path) -> None:
    file = tmp_path / MIL.name
    file.write_text(MIL.read_text())
    cases = tmp_path / "cases" / MIL.name
    cases.parent.mkdir()
    lines = place_of(MIL).read_text().splitlines(True)
    cases.write_text("".join(line for line in lines if not line.lstrip().startswith("- ") or "rpe" not in line))
    done = CliRunner().invoke(app, ["test", str(file), "--jobs", "1"])
    assert done.exit_code == 1
    assert "survives: mil.advance: session.rpe_over_step at most 0 rpe becomes at most 0.1 rpe" in done.output
    assert "say under `survivors` why it may be so" in done.output
    assert "noticed with the recorded borders" in done.output and "noticed by the stories alone (of every 7th" in done.output

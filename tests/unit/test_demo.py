"""The demonstration's pure parts: the story ends as it says whatever the date, and its table can be read at any width."""

import doctest
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from services.cli.demo import dose, explain, own_file, play, table
from services.cli.demo.dose import bouts, recorded
from services.cli.demo.own_file import what_follows, what_was_read
from services.cli.demo.story import Athlete as Played, Batch, Run, Scene, athletes
from services.cli.demo.table import LEAST_WIDTH, MOST_WIDTH, Row, heading, lines
from services.cli.demo.told import Expectation
from services.decision.core.athlete import Athlete
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import PackLibrary
from services.ingest.formats.fit import Naming, recording
from shared.events import content_digest, parse

PACKS = PackLibrary(ReferenceEngine())
TODAYS = [date(2026, 11, 10), date(2027, 4, 2), date(2028, 3, 15), date(2026, 1, 10)]
"""Among them stories over both changes of the clocks, a leap day and a new year."""
BY = {"id": "key:1", "role": "clinician"}


@cache
def played(place: int, today: date = TODAYS[0]) -> list[tuple[Scene, list[dict[str, Any]]]]:
    """Each scene of one athlete with the decisions it brings, judged by the core alone."""
    return list(_played(athletes(today)[place]))


def _played(athlete: Played) -> Iterator[tuple[Scene, list[dict[str, Any]]]]:
    judged = Athlete(PACKS)
    standing: dict[str, Any] = {}
    for scene in athlete.scenes:
        made: list[dict[str, Any]] = []
        for send in scene.sends:
            for raw in events_of(send, athlete, standing):
                receipt = judged.receive(parse(raw), content_digest(raw))
                assert receipt.status == "accepted", (raw, receipt)
                made += [decision.body for decision in receipt.decisions]
                standing = made[-1]
        yield scene, made


def events_of(send: Any, athlete: Played, standing: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(send, Run):
        said: dict[str, Any] = {name: {"true": True, "false": False}.get(word, word) for name, word in send.said.items()}
        said["rpe"] = float(send.said["rpe"])
        naming = Naming(athlete.subject, athlete.course, send.session, standing["to_step"], said=said)
        return recording(recorded(standing["dose"], send.start), naming, 200_000).events
    cleared = {"milepost.clearance.recorded": {"by": BY}}
    return [event | {"data": event["data"] | cleared.get(event["type"], {})} for event in send.events]


@pytest.mark.parametrize("today", TODAYS)
@pytest.mark.parametrize("place", [0, 1])
def test_every_scene_ends_in_the_decision_it_shows_whatever_the_date(place, today):
    superseding = []
    for scene, made in played(place, today):
        last = made[-1]
        assert (last["action"], last["from_step"], last["to_step"]) == scene.expects, scene.words
        superseding += [(scene.words, one["superseded_because"]["kind"]) for one in made if one["supersedes"]]
        assert scene.supersedes == (last["supersedes"] is not None)
    corrected = [("CORRECTION: that morning's pain was 4, not 0", "correction")]
    assert superseding == (corrected if place == 0 else [])


@pytest.mark.parametrize("today", TODAYS)
def test_nothing_in_the_story_lies_in_the_future(today):
    for athlete in athletes(today):
        sends = [send for scene in athlete.scenes for send in scene.sends]
        runs = [send.start for send in sends if isinstance(send, Run)]
        events = [datetime.fromisoformat(event["time"]) for send in sends if isinstance(send, Batch) for event in send.events]
        assert max(moment.date() for moment in runs + events) == today - timedelta(days=1)
        assert [scene.when for scene in athlete.scenes] == sorted(scene.when for scene in athlete.scenes)


def test_the_same_day_tells_the_same_story():
    assert athletes(TODAYS[0]) == athletes(TODAYS[0])


def test_a_recommended_dose_is_recorded_as_recommended():
    for protocol in PACKS.protocols.values():
        for step in protocol.ladder:
            asked = {
                name: value
                for name in ("run_s", "walk_s", "bout_s", "reps", "distance_m")
                if (value := getattr(step.dose, name)) is not None
            }
            if not asked.keys() & {"run_s", "distance_m"}:
                continue
            made = recording(recorded(asked, datetime(2026, 3, 3, 17, tzinfo=UTC)), Naming("a"), 200_000).events[0]["data"]
            for name in asked.keys() & {"run_s", "reps", "distance_m"}:
                assert made[name] == pytest.approx(asked[name], rel=0.09), (step.id, name)


@pytest.mark.parametrize("width", [LEAST_WIDTH, 80, 100, MOST_WIDTH, 20, 300])
def test_no_line_of_the_table_is_longer_than_the_width(width):
    fits = max(LEAST_WIDTH, min(MOST_WIDTH, width))
    assert all(len(line.plain) <= fits for line in heading(width))
    for scene, made in played(0):
        row = list(lines(Row(scene.when, scene.words, made[-1], "told as superseded, signature valid"), width))
        assert all(len(line.plain) <= fits and line.plain == line.plain.rstrip() for line in row)
        told = " ".join(word for line in row for word in line.plain.split())
        assert made[-1]["action"].upper() in told, "the action stands in words, not in a colour alone"


def test_a_decision_in_full_shows_sources_and_that_a_number_is_an_expert_default():
    decision = next(made[-1] for scene, made in played(0) if scene.explained)
    sources = PACKS.protocols["progressive-return"].sources
    told = list(explain.explained(decision, sources, {"session.pain_during": "highest pain"}, 80))
    text = " ".join(" ".join(told).split())
    assert all(len(line) <= 80 for line in told)
    assert text.index("pr.regress-pain (says regress)") < text.index("pr.advance (not met)")
    assert "highest pain: 5, asked >= 5: met" in text
    assert "EXPERT DEFAULT: no source supports the number" in text
    assert "Trek Education" in text


def test_what_has_to_be_told_is_each_change_of_advice_once():
    def decision(number: str, action: str, supersedes: str | None = None) -> dict[str, Any]:
        advice = {"action": action, "to_step": "W1", "running": "as_dosed", "urgency": "routine", "not_before": None}
        return {"id": number, "supersedes": supersedes, **advice}

    expectation = Expectation()
    assert expectation.of([decision("1", "hold"), decision("2", "hold")]) == [("1", "recommendation.changed")]
    assert expectation.of([decision("3", "hold")]) == []
    assert expectation.of([decision("4", "advance"), decision("5", "hold", "4")]) == [
        ("4", "recommendation.changed"),
        ("5", "recommendation.superseded"),
    ]


def test_what_could_not_be_read_of_a_recording_is_said_beside_what_could():
    session = {"session": "s", "kind": "run", "duration_s": 12}
    event = {"type": "milepost.session.completed", "time": "2026-03-03T17:00:00Z", "data": session}
    text = "\n".join(what_was_read("run.fit", {"decoder": "fitdecode", "events": [event], "warnings": ["the file breaks off"]}, 80))
    assert "Tue  3 Mar 2026 17:00 UTC, 0.2 min" in text
    assert "not known: what was run and what was walked" in text
    assert "WARNING   the file breaks off" in text


def test_the_decision_about_a_recording_names_what_is_missing():
    decision = played(0)[0][1][-1]
    text = "\n".join(what_follows(decision, "W1", "told, signature valid", 80))
    assert "HOLD at entry" in text
    assert all(ask.partition(": ")[0] in " ".join(text.split()) for ask in decision["missing"])


def test_a_dose_by_distance_ends_with_the_distance():
    made = bouts({"distance_m": 1609, "bout_s": 180, "walk_s": 120})
    assert sum(run_s * dose.RUN_M_PER_S + walk_s * dose.WALK_M_PER_S for run_s, walk_s in made) == pytest.approx(1609, abs=3)
    assert all(run_s <= 180 and walk_s <= 120 for run_s, walk_s in made)


@pytest.mark.parametrize("module", [dose, own_file, play, table])
def test_the_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed

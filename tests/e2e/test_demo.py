"""`milepost demo`, run as a person runs it: the story holds, its table can be read, one's own file is taken or refused in a sentence."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.demo.story import athletes
from services.ingest.formats.fit_write import write_run_walk

pytestmark = pytest.mark.timeout(900)
MILEPOST = str(Path(sys.executable).with_name("milepost"))


def demo(data_dir: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"MILEPOST_DATA_DIR": str(data_dir)} | variables
    return subprocess.run([MILEPOST, "demo", *words], env=environment, capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    # Somebody's own servers in the environment: the demonstration does not touch them.
    foreign = "postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none"
    return demo(tmp_path_factory.mktemp("demo"), "--once", MILEPOST_DATABASE_URL=foreign)


def test_the_story_holds(story):
    assert story.returncode == 0, story.stderr
    assert "Traceback" not in story.stderr


def test_a_pipe_gets_plain_text_that_fits(story):
    assert "\x1b" not in story.stdout
    assert max(map(len, story.stdout.splitlines())) <= 100
    assert not any(sign in story.stdout for sign in "│┃━─┏")


def test_every_scene_has_its_row_with_decision_and_webhook(story):
    heads = [line for line in story.stdout.splitlines() if re.match(r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [ \d]\d \w{3}  ", line)]
    scenes = [scene for athlete in athletes(datetime.now(UTC).date()) for scene in athlete.scenes]
    assert len(heads) == len(scenes)
    for line, scene in zip(heads, scenes, strict=True):
        action, came_from, to = scene.expects
        assert (f"HOLD at {came_from}" if action == "hold" else f"{action.upper()} {came_from} -> {to}") in line
        assert re.search(r"  (told, signature|told as|nothing new to)$", line)


def test_the_end_counts_what_was_accepted_decided_delivered_and_superseded(story):
    counts = dict(re.findall(r"^(events|decisions|webhooks|superseded) +(\d+) ", story.stdout, re.MULTILINE))
    assert counts["events"] == counts["decisions"] and int(counts["events"]) > 100
    assert int(counts["webhooks"]) > 20
    assert counts["superseded"] == "1"
    assert "EXPERT DEFAULT" in story.stdout


def test_a_recording_of_ones_own_is_read_and_decided(tmp_path):
    file = tmp_path / "run.fit"
    file.write_bytes(write_run_walk(datetime(2026, 3, 3, 17, tzinfo=UTC), [(60, 240)] * 6))
    done = demo(tmp_path / "data", "--once", str(file))
    assert done.returncode == 0, done.stderr
    assert "6 min run in 6 bouts, 24 min walked" in done.stdout
    assert "cadence 166 steps/min" in done.stdout and "run-walk recorder" in done.stdout
    assert "HOLD at W1" in done.stdout and "(RPE)" in done.stdout
    assert "told, signature valid" in done.stdout


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (None, (), "cannot be read (No such file or directory)"),
        (b"# Milepost", (), "this is not a FIT file"),
        (b"", (), "run.fit: "),
        (write_run_walk(datetime(2099, 3, 3, 17, tzinfo=UTC), [(60, 240)]), (), "begins in the future"),
        (b"", ("--step", "P1"), "--step P1: expected one of W1 to W20"),
    ],
    ids=["absent", "no FIT", "empty", "future", "step"],
)
def test_what_cannot_be_used_is_refused_in_one_sentence_before_anything_starts(tmp_path, content, words, said):
    file = tmp_path / "run.fit"
    if content is not None:
        file.write_bytes(content)
    refused = demo(tmp_path / "data", "--once", str(file), *words)
    assert refused.returncode == 2
    assert said in refused.stderr and refused.stderr.count("\n") == 1
    assert refused.stdout == "" and not (tmp_path / "data").exists()

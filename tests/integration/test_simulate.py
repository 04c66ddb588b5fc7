"""`milepost simulate`: the published answers, the same bytes under any clock, zone, locale and hash seed, and faults as sentences."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.decision.core.decision import ARRIVAL_FIELDS
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import PackLibrary
from tests.property.histories import event, started, two_clean_sessions

ROOT = Path(__file__).parents[2]
STORIES = ROOT.parent / "shared" / "acceptance"
PAUSED = event(99, "course.paused", datetime(2026, 3, 9, tzinfo=UTC), {"course": "c1"})
OURS = PackLibrary(ReferenceEngine()).names()


def simulate(text: str, *, file: str = "-", **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "TZ", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "simulate", file],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env=clean | environment,
        timeout=120,
        check=False,
    )


def written(raws: list[dict[str, object]]) -> str:
    return "".join(json.dumps(raw) + "\n" for raw in raws)


def stories() -> dict[str, dict[str, object]]:
    """The stories of the shipped packs; none where the folder of stories does not exist."""
    if not STORIES.exists():
        return {}
    expected = json.loads((STORIES / "expected.json").read_text())
    return {
        name: story["expect_last_decision"]
        for name, story in sorted(expected.items())
        if any(f'"protocol": "{pack}"' in (STORIES / f"{name}.jsonl").read_text() for pack in OURS)
    }


def content(line: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(line).items() if name not in ARRIVAL_FIELDS}


@pytest.mark.law("any-order")
@pytest.mark.timeout(900)
def test_the_published_answers_are_given_in_any_arrival_order() -> None:
    for name, wanted in stories().items():
        lines = (STORIES / f"{name}.jsonl").read_text().splitlines(keepends=True)
        ends = []
        for seed in range(4):
            shuffled = list(lines)
            random.Random(seed).shuffle(shuffled)
            done = simulate("".join(lines if seed == 0 else shuffled))
            assert done.returncode == 0, done.stderr
            ends.append(content(done.stdout.splitlines()[-1]))
        assert all(end == ends[0] for end in ends)
        mentions = str(wanted.pop("mentions", ""))
        assert {key: ends[0][key] for key in wanted} == wanted, name
        assert mentions in json.dumps(ends[0])


@pytest.mark.law("same-bytes")
def test_neither_hash_seed_nor_zone_nor_locale_changes_a_byte() -> None:
    text = written([*two_clean_sessions(), PAUSED])
    plain = simulate(text)
    assert plain.returncode == 0 and plain.stdout
    for environment in (
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4242", "TZ": "Pacific/Kiritimati"},
        {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONTZPATH": "/nonexistent"},
    ):
        assert simulate(text, **environment).stdout == plain.stdout, environment


def test_a_faulty_line_stops_with_its_place_and_what_was_expected_and_keeps_the_decisions_before_it() -> None:
    raws = two_clean_sessions()
    raws[3]["data"]["pain_nrs"] = 11
    done = simulate(written(raws))
    assert done.returncode == 2
    assert done.stderr.startswith("-:4: data.pain_nrs: ") and done.stderr.count("\n") == 1
    assert len(done.stdout.splitlines()) == 3


def test_every_faulty_line_behind_the_first_is_named_with_its_place_and_beyond_twenty_counted() -> None:
    raws = [json.dumps(raw) for raw in two_clean_sessions()]
    short, long = json.loads(raws[3]), json.loads(raws[4])
    short["data"] |= {"pain_nrs": 11, "swelling": "much"}
    del long["time"]
    lines = [*raws[:3], json.dumps(short), raws[4], '{"specversion": "1.0", ', "", json.dumps(long), *["[1]"] * 30]
    done = simulate("".join(line + "\n" for line in lines))
    said = done.stderr.splitlines()
    assert done.returncode == 2 and len(done.stdout.splitlines()) == 3
    assert said[0].startswith("-:4: data.pain_nrs: expected ") and said[0].endswith("(also at fault: data.swelling)")
    assert said[1].startswith("-:6: : expected one JSON object in UTF-8 on the line, found something else from column 23 (")
    assert said[2].startswith("-:8: time: expected ") and said[3].startswith("-:9: : expected ")
    assert all("; " in one for one in said[:20]) and said[20:] == ["-: 13 more faulty lines"]


def test_a_fault_is_named_at_once_while_the_input_still_comes() -> None:
    command = [sys.executable, "-m", "services.cli", "simulate", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write("[1]\n")
        process.stdin.flush()
        assert process.stderr.readline().startswith("-:1: : expected ")
        process.stdin.close()
        assert process.wait(60) == 2


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("not json", ""),
        ("[1]", ""),
        ('{"a": 1, "a": 2}', ""),
        ('{"specversion": "1.0"}', "id"),
        (json.dumps(started("no-such-pack")), "data.protocol"),
        (json.dumps(started(start_step="L3")), "data.start_step"),
    ],
)
def test_every_kind_of_fault_names_file_line_and_path(line: str, path: str, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(line + "\n")
    done = simulate("", file=str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{file}:1: {path}: ")


def test_the_same_key_with_other_content_is_refused_at_id() -> None:
    raws = two_clean_sessions()
    other = json.loads(json.dumps(raws[-1]))
    other["data"]["pain_nrs"] = 3
    done = simulate(written([*raws, raws[-1], other]))
    assert done.returncode == 2 and done.stderr.startswith(f"-:{len(raws) + 2}: id: ")


def test_events_still_parked_at_the_end_are_named() -> None:
    done = simulate(written(two_clean_sessions()[1:3]))
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["-:1", "-:2"]
    assert not done.stdout


def test_a_file_that_is_not_there_is_a_sentence() -> None:
    done = simulate("", file="nowhere.jsonl")
    assert done.returncode == 2 and done.stderr.startswith("nowhere.jsonl: cannot be read") and "Traceback" not in done.stderr


def test_a_missing_second_engine_is_exit_three(tmp_path: Path) -> None:
    (tmp_path / "durable_rules_engine.py").write_text("raise ImportError('not built')\n")
    (tmp_path / "durable").mkdir()
    (tmp_path / "durable" / "__init__.py").write_text("raise ImportError('not built')\n")
    done = simulate(written(two_clean_sessions()), PYTHONPATH=str(tmp_path))
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr

"""`milepost up` as a person runs it: it says where it is, survives the death of its parts, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

# The whole product is started again and again, and most of a start is reading its modules.
pytestmark = pytest.mark.timeout(900)
MILEPOST = str(Path(sys.executable).with_name("milepost"))
PARTS = (
    *("services.ingest", "services.decision", "services.decision.worker", "services.decision.eraser", "services.notify"),
    *("nats-server", "postgres"),
)


def environment(data_dir: Path) -> dict[str, str]:
    ports = {f"MILEPOST_{name}_PORT": "0" for name in ("INGEST", "DECISION", "NOTIFY")}
    return os.environ | ports | {"MILEPOST_DATA_DIR": str(data_dir)}


def milepost(data_dir: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([MILEPOST, *words], env=environment(data_dir), capture_output=True, text=True, timeout=240, check=False)


class Up:
    """A running `milepost up`."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.said = data_dir.with_name("said")
        with open(self.said, "w") as said:
            self.process = subprocess.Popen([MILEPOST, "up"], env=environment(data_dir), stdout=said, stderr=said)
        until(lambda: "Ctrl-C stops everything" in self.said.read_text() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said.read_text()
        self.urls: dict[str, str] = dict(re.findall(r"^(\w+)\t(http://\S+)$", self.said.read_text(), re.MULTILINE))

    def parts(self) -> dict[str, psutil.Process]:
        """Its own processes, by what they run."""
        found = {}
        for child in filter(lives, psutil.Process(self.process.pid).children()):
            try:
                words = child.cmdline()
            except psutil.Error:
                continue
            name = words[2] if words[1:2] == ["-m"] else Path(words[0]).name if words else ""
            found[name] = child
        return found

    def ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.urls[name]}/readyz", timeout=3) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except (OSError, ValueError):
            return False


def until(holds: Callable[[], bool], within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    stack = Up(tmp_path_factory.mktemp("up") / "data")
    yield stack
    stack.process.terminate()
    stack.process.wait(240)


def test_it_prints_where_each_service_answers(up):
    assert set(up.urls) == {"ingest", "decision", "notify"}
    until(lambda: all(up.ready(name) for name in up.urls))


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_started_again(up, part):
    before = up.parts()[part]
    before.kill()

    def another() -> bool:
        now = up.parts().get(part)
        return now is not None and now.pid != before.pid

    until(another)
    until(lambda: all(up.ready(name) for name in up.urls))


def test_keys_are_created_shown_once_listed_and_revoked(up):
    made = milepost(up.data_dir, "keys", "create", "--tenant", "clinic", "--role", "coach", "--name", "track side", "--expires", "90d")
    key = made.stdout.strip()
    assert re.fullmatch(r"mp_live_\S+", key), made.stderr
    key_id = re.search(r"Key (\S+) of clinic", made.stderr)
    assert key_id is not None
    listed = milepost(up.data_dir, "keys", "list", "--tenant", "clinic").stdout
    assert key_id[1] in listed and "track side" in listed and "recommendations:read" in listed
    assert key not in listed
    assert milepost(up.data_dir, "keys", "list", "--tenant", "another").stdout.count("\n") == 1
    assert "is revoked" in milepost(up.data_dir, "keys", "revoke", key_id[1]).stdout
    assert "revoked" in milepost(up.data_dir, "keys", "list").stdout
    again = milepost(up.data_dir, "keys", "revoke", key_id[1])
    assert again.returncode == 1 and "no key" in again.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--role", "surgeon", "--tenant", "t", "--name", "n"), "surgeon"),
        (("--role", "coach", "--tenant", "t", "--name", "n", "--scopes", "events:write"), "a coach reads"),
        (("--role", "coach", "--tenant", "t", "--name", "n", "--expires", "soon"), "--expires 'soon'"),
        (("--role", "coach", "--tenant", "t", "--name", "n", "--expires", "2031-01-01"), "offset"),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_a_sentence(up, words, expected):
    refused = milepost(up.data_dir, "keys", "create", *words)
    assert refused.returncode == 2
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr and refused.stdout == ""


def test_a_second_up_on_the_same_directory_is_one_sentence(up):
    second = milepost(up.data_dir, "up")
    assert second.returncode == 2
    assert f"already in use by another milepost (process {up.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr


def test_keys_without_a_running_stack_say_what_to_do(tmp_path):
    alone = milepost(tmp_path / "data", "keys", "list")
    assert alone.returncode == 2
    assert "start `milepost up`, or set MILEPOST_DATABASE_URL" in alone.stderr


def test_a_signal_ends_everything_and_a_kill_leaves_nothing_in_the_way(tmp_path):
    first = Up(tmp_path / "data")
    parts = list(first.parts().values())
    first.process.kill()
    first.process.wait(60)
    second = Up(tmp_path / "data")
    assert second.urls == first.urls
    assert not any(map(lives, parts))
    parts = list(second.parts().values())
    second.process.send_signal(signal.SIGINT)
    assert second.process.wait(240) == 0
    assert not any(map(lives, parts))

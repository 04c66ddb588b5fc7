"""A piece of a replay in a process of its own, by any interpreter that loads this one's libraries; `python -m tests.bench.replaying`."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from time import process_time
from typing import Final, NamedTuple

from services.decision.audit.replay import Piece, work
from services.decision.lifecycle.pool import collect_rarely

ROOT: Final = Path(__file__).parents[2]
CLEARLY: Final = 0.92
"""An interpreter is called quicker when the plain loop takes it less than so much of this one's time."""
_LOOP: Final = """
import sys, sysconfig
from time import perf_counter
least = 1.0
for _ in range(30):
    begin = perf_counter()
    found = {}
    for number in range(20_000):
        key = f"k{number % 97}"
        found[key] = found.get(key, 0) + number
    least = min(least, perf_counter() - begin)
print(least, sysconfig.get_config_var("SOABI"), sys.version.split()[0])
"""


class Interpreter(NamedTuple):
    """`loop` is the time of a plain loop, in seconds."""

    path: str
    version: str
    loop: float


class Spent(NamedTuple):
    """`seconds` are the process's own, of reading, opening, parsing, deciding again and comparing; the database's are apart."""

    decisions: int
    seconds: float
    interpreter: Interpreter


def interpreters() -> list[Interpreter]:
    """This interpreter, and the quickest other one that is clearly quicker and loads the same compiled libraries.

    What Python costs depends on how it was built: distributions and container images optimize it by profile and when linking, a build from
    source does not unless it is told to, and a replay takes it a seventh longer.
    """
    own = _timed(sys.executable)
    assert own is not None, "this interpreter runs itself"
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = (shutil.which(name, path=place) for place in (*os.get_exec_path(), "/usr/bin", "/usr/local/bin"))
    paths = {str(Path(path).resolve()) for path in found if path is not None} - {str(Path(sys.executable).resolve())}
    others = [one for path in sorted(paths) if (one := _timed(path)) is not None]
    quickest = min(others, key=lambda one: one.loop, default=own)
    return [own, quickest] if quickest.loop < CLEARLY * own.loop else [own]


def _timed(path: str) -> Interpreter | None:
    """None when it does not start, or would not load the libraries."""
    ran = subprocess.run([path, "-I", "-S", "-c", _LOOP], capture_output=True, text=True, check=False)
    if ran.returncode:
        return None
    loop, abi, version = ran.stdout.split()
    return Interpreter(path, version, float(loop)) if abi == sysconfig.get_config_var("SOABI") else None


def replay(piece: Piece, interpreter: Interpreter) -> Spent:
    """Raises `CalledProcessError` when the process fails, and `AssertionError` when it found a difference."""
    # Without `site` nothing but the libraries of this environment is on the path, whatever else the interpreter has.
    libraries = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(libraries), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [interpreter.path, "-S", "-m", __name__]
    ran = subprocess.run(command, input=pickle.dumps(piece), stdout=subprocess.PIPE, env=env, check=True)
    told = json.loads(ran.stdout)
    assert told["different"] == 0, told
    return Spent(told["decisions"], told["seconds"], interpreter)


def main() -> None:
    piece: Piece = pickle.load(sys.stdin.buffer)
    work(piece._replace(athletes=piece.athletes[:2]))  # Packs are compiled once per process.
    collect_rarely()
    begin = process_time()
    outcome = work(piece)
    spent = process_time() - begin
    json.dump({"decisions": outcome.decisions, "seconds": spent, "different": len(outcome.found)}, sys.stdout)


if __name__ == "__main__":
    main()

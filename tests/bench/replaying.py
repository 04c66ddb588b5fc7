"""A piece of a replay in a process of its own, by any interpreter that loads this one's libraries; `python -m tests.bench.replaying`."""

import asyncio
import json
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from statistics import median
from time import process_time
from typing import Final, NamedTuple

from services.decision.audit.replay import AT_ONCE, Piece, work
from services.decision.lifecycle.pool import collect_rarely
from services.decision.store import replays
from services.decision.store.connection import snapshot

ROOT: Final = Path(__file__).parents[2]
PASSES: Final = 8
"""How often all is replayed. The work is the same each time, to the byte: how far the passes lie apart is the machine's doing."""
_LOOP: Final = """
import sys, sysconfig
from time import perf_counter
least = 1.0
for _ in range(100):
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
    """`seconds` of each pass are the process's own, of reading, opening, parsing, deciding again and comparing; the database's are apart.
    `opened` of reading and opening alone.
    """

    decisions: int
    seconds: list[float]
    opened: float
    interpreter: Interpreter

    @property
    def rates(self) -> list[float]:
        """Decisions per second, the least first."""
        return sorted(self.decisions / seconds for seconds in self.seconds)

    @property
    def rate(self) -> float:
        """Of the middle pass."""
        return median(self.rates)


def interpreters() -> list[Interpreter]:
    """This interpreter, and the quickest other one that is quicker and loads the same compiled libraries.

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
    return [own, quickest] if quickest.loop < own.loop else [own]


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
    return Spent(told["decisions"], told["seconds"], told["opened"], interpreter)


def main() -> None:
    whole: Piece = pickle.load(sys.stdin.buffer)
    athletes = whole.athletes
    pieces = [whole._replace(athletes=athletes[at : at + AT_ONCE]) for at in range(0, len(athletes), AT_ONCE)]
    work(pieces[0])  # Packs are compiled once per process.
    collect_rarely()
    seconds = []
    for _ in range(PASSES):
        begin = process_time()
        outcomes = [work(piece) for piece in pieces]
        seconds.append(process_time() - begin)
    begin = process_time()
    opened = sum(asyncio.run(_opened(piece)) for piece in pieces)
    told = {
        "decisions": sum(one.decisions for one in outcomes),
        "seconds": seconds,
        "opened": process_time() - begin,
        "different": sum(len(one.found) for one in outcomes),
    }
    assert opened == told["decisions"], (opened, told)
    json.dump(told, sys.stdout)


async def _opened(piece: Piece) -> int:
    """The floor: what a piece reads, opened and put down again; its decisions."""
    connection = await piece.database.connect()
    try:
        async with snapshot(connection):
            return sum(len(past.decisions) for past in await replays.pasts(connection, piece.athletes))
    finally:
        await connection.close(timeout=5)


if __name__ == "__main__":
    main()

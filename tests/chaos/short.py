"""The short rounds: what `make test` does to the product, again and again, each round with a seed that was never used.

The parts of a round run side by side, so that each is also under the others' load.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, STDOUT
from time import monotonic
from typing import Final, NamedTuple

from services.embedded.process import leash
from tests.chaos.rows import row

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 3600
"""Of one round: far more than it takes, so that only what hangs is ended."""
PASSED: Final = re.compile(r"^(\d+) passed[^,]* in ", re.MULTILINE)
"""What pytest says at its end when every test passed and none was left out."""
SIDE_BY_SIDE: Final = (
    (
        "integration/decision/test_crash_points.py",
        "integration/notify/test_crash_points.py",
        "integration/test_bus_full_disk.py",
        "integration/decision/test_model.py",
    ),
    ("e2e/test_kill.py", "e2e/test_kill_notify.py"),
    ("e2e/test_full_disk.py", "e2e/test_erasure.py", "integration/decision/test_verify.py"),
)


class Ended(NamedTuple):
    """One run of pytest. `code`: its exit code, or that it had none."""

    code: int | str
    said: str

    @property
    def is_green(self) -> bool:
        # A run without tests, or with some left out, is not a green one.
        return self.code == 0 and PASSED.search(self.said) is not None


def rounds(count: int, first: int | None) -> int:
    """So many rounds, up to the first red. Prints a row for each part; 0 when all are green."""
    first = secrets.randbelow(10**9) if first is None else first
    print(row("round", "seed", "what", "s", "verdict"), flush=True)
    for number in range(1, count + 1):
        begin, seed = monotonic(), first + number - 1
        with ThreadPoolExecutor(len(SIDE_BY_SIDE)) as pool:
            ended = list(pool.map(lambda files, number=number, seed=seed: _run(number, seed, files), SIDE_BY_SIDE))
        red = [one for one in ended if not one.is_green]
        verdict = f"RED, {number - 1} in a row were green" if red else f"green, {number} in a row"
        print(row(number, seed, "the whole round", monotonic() - begin, verdict), flush=True)
        if red:
            return 1
    return 0


def _run(number: int, seed: int, files: tuple[str, ...]) -> Ended:
    """One of those that run side by side. It ends when this process does, and so does what it started."""
    words = f"-x --hypothesis-seed={seed} {' '.join(f'tests/{file}' for file in files)}"
    # Compiled once: a round starts some fifty processes of the product.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    home = tempfile.mkdtemp(prefix="milepost-chaos-")
    into = os.dup(1)
    environment |= {"SEED": str(seed), "MILEPOST_HYPOTHESIS": "random", "CHAOS_ROUND": str(number), "CHAOS_ROWS": str(into)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.chaos.rows", "--basetemp", f"{home}/tmp", *words.split()]
    try:
        done = subprocess.run(
            leash("run", command, None),
            cwd=ROOT,
            env=environment,
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
            pass_fds=(into,),
            timeout=LIMIT_S,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout)
    except subprocess.TimeoutExpired as fault:
        ended = Ended(f"none within {LIMIT_S} s", (fault.output or b"").decode(errors="replace"))
    finally:
        os.close(into)
    if ended.is_green:
        shutil.rmtree(home)
    else:
        again = f"SEED={seed} MILEPOST_HYPOTHESIS=random python -m pytest {words}"
        print(f"{ended.said}\nexit {ended.code}; again: {again}; kept: {home}", file=sys.stderr, flush=True)
    return ended

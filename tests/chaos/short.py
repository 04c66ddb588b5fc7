"""The short rounds: what `make test` does to the product, again and again, each round with a seed that was never used."""

import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from tests.chaos.rows import PARTS, row

ROOT: Final = Path(__file__).parents[2]
LIMIT_S: Final = 3600
"""Of one round: far more than it takes, so that only what hangs is ended."""
PASSED: Final = re.compile(r"^(\d+) passed[^,]* in ", re.MULTILINE)
"""What pytest says at its end when every test passed and none was left out."""


def rounds(count: int, first: int | None) -> int:
    """So many rounds, up to the first red. Prints a row for each part; 0 when all are green."""
    first = secrets.randbelow(10**9) if first is None else first
    print(row("round", "seed", "what", "s", "verdict"), flush=True)
    for number in range(1, count + 1):
        begin, seed = monotonic(), first + number - 1
        code, said = _round(number, seed)
        # A run without tests, or with some left out, is not a green one.
        if code != 0 or not PASSED.search(said):
            print(row(number, seed, "the whole round", monotonic() - begin, f"RED, exit {code}; {number - 1} green before"), flush=True)
            print(f"{said}\nagain: SEED={seed} MILEPOST_HYPOTHESIS=random python -m pytest {_words(seed)}", file=sys.stderr)
            return 1
        print(row(number, seed, "the whole round", monotonic() - begin, f"green, {number} in a row"), flush=True)
    return 0


def _words(seed: int) -> str:
    files = (next((ROOT / "tests").rglob(end)).relative_to(ROOT) for end in PARTS)
    return f"-x --hypothesis-seed={seed} {' '.join(map(str, files))}"


def _round(number: int, seed: int) -> tuple[int | str, str]:
    """Exit code and what was said. All that it started is ended with it."""
    # Compiled once: a round starts some fifty processes of the product.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    into = os.dup(1)
    environment |= {"SEED": str(seed), "MILEPOST_HYPOTHESIS": "random", "CHAOS_ROUND": str(number), "CHAOS_ROWS": str(into)}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.chaos.rows", *_words(seed).split()]
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0, pass_fds=(into,)
    )
    try:
        said = process.communicate(timeout=LIMIT_S)[0]
        return process.returncode, said
    except subprocess.TimeoutExpired as fault:
        return f"none within {LIMIT_S} s", (fault.output or b"").decode(errors="replace")
    finally:
        os.close(into)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

"""The seed of a run: what a test draws by chance, it draws from this, so that a red run can be told and run again.

Without the environment variable `SEED` it is 1, and every run does the same; `make chaos` gives each round another.
"""

import os
import random
from typing import Final

SEED: Final = int(os.environ.get("SEED", "1"))


def chance(of: str) -> random.Random:
    """A source of random numbers for what is named."""
    return random.Random(f"{SEED} {of}")

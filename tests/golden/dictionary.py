"""`python -m tests.golden.dictionary FILE`: trains a dictionary for `shared/proof/packing.py` on the decisions and events of every shipped
pack's stories, which are about nobody. Never over one that was used: what it packed opens with no other.
"""

import random
import sys
from pathlib import Path
from typing import Final

import orjson
import zstandard

from services.decision.core.athlete import Athlete
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import SHIPPED, load_pack
from services.decision.rules.testing.stories import OnePack, stories_of, written_out
from shared.events import Event
from shared.proof.packing import LEVEL

SIZE: Final = 65_536
DECISIONS: Final = 400
EVENTS: Final = 100
"""Samples of each pack, taken by chance, so that no pack has more to say than another."""


def samples(path: Path) -> list[bytes]:
    """Bodies as they are stored, of one pack."""
    pack = load_pack(path)
    library, stories = OnePack(pack.protocol, ReferenceEngine()), stories_of(pack)
    decisions: list[bytes] = []
    events: list[bytes] = []
    for story in stories.told:
        athlete = Athlete(library)
        for _, step, digest in written_out(pack.protocol, stories, story).steps:
            if isinstance(step, Event):
                events.append(orjson.dumps(step.wire(), option=orjson.OPT_SORT_KEYS))
                decisions += [decision.encoded for decision in athlete.receive(step, digest).decisions]
    chance = random.Random(1)
    return chance.sample(decisions, DECISIONS) + chance.sample(events, EVENTS)


def main(file: Path) -> None:
    if file.exists():
        sys.exit(f"{file} exists; a dictionary is never replaced: choose a new name, and give it a new mark in shared/proof/envelope.py")
    found: list[bytes | bytearray | memoryview] = [
        body for path in sorted(SHIPPED.glob("*.yaml")) if path.stem != "floor" for body in samples(path)
    ]
    file.write_bytes(zstandard.train_dictionary(SIZE, found, level=LEVEL).as_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

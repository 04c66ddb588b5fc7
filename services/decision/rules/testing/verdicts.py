"""All tests of one pack together: its stories, its recorded cases, what they cover, and what of its mutants they notice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.faults import PackFault
from services.decision.rules.library import Pack, load_pack
from services.decision.rules.testing.cases import Cases, place_of, read_cases, replayed
from services.decision.rules.testing.coverage import Coverage, coverage
from services.decision.rules.testing.killing import Fate, Hunt, Score
from services.decision.rules.testing.mutants import mutants
from services.decision.rules.testing.sameness import same
from services.decision.rules.testing.stories import stories_of, tell_all

LEAST_SHARE: Final = 0.95
"""A pack whose tests notice fewer of its mutants is not published."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What stories and cases said."""

    stories: int
    cases: int
    faults: tuple[PackFault, ...]
    coverage: Coverage


def tested(pack: Pack, file: Path) -> Tested:
    """Raises `FaultyPack` where the cases cannot be read."""
    return held_against(pack, read_cases(pack.protocol, place_of(file)))


def held_against(pack: Pack, cases: Cases) -> Tested:
    """The pack's stories told, and these cases replayed."""
    told, wrong = tell_all(pack, ReferenceEngine())
    return Tested(len(told), len(cases.cases), (*wrong, *replayed(pack.protocol, cases)), coverage(pack.protocol, cases))


def hunt_of(pack: Pack, cases: Cases) -> Hunt:
    """The pack's tests, ready for its mutants."""
    return Hunt(pack.protocol, cases, stories_of(pack), partial(same, pack.protocol))


def part(file: Path, number: int, of: int) -> list[Fate]:
    """The fates of every `of`-th mutant of a pack file, from `number` on: what one process does."""
    pack, hunt = _hunt(file)
    return list(hunt.fates(mutant for n, mutant in enumerate(mutants(pack.protocol)) if n % of == number))


@lru_cache(maxsize=4)
def _hunt(file: Path) -> tuple[Pack, Hunt]:
    pack = load_pack(file)
    return pack, hunt_of(pack, read_cases(pack.protocol, place_of(file)))


def stories_part(file: Path, number: int, of: int) -> list[Fate]:
    """The same without the recorded cases: what the stories alone notice. What changes nothing counts as unnoticed here."""
    pack, hunt = _stories(file)
    return list(hunt.fates(mutant for n, mutant in enumerate(mutants(pack.protocol)) if n % of == number))


@lru_cache(maxsize=4)
def _stories(file: Path) -> tuple[Pack, Hunt]:
    pack = load_pack(file)
    return pack, alone(pack)


def alone(pack: Pack) -> Hunt:
    """The pack's stories without any case. Stories were written from sources, by somebody who knew what had to come of them; cases are what
    the pack itself answered when they were recorded. So what stories notice may be wrong, what cases notice is another than before.
    """
    return Hunt(pack.protocol, Cases("", {}, ()), stories_of(pack), lambda mutant: False)


def share_of_stories(score: Score, fates: Sequence[Fate]) -> float:
    """Of the mutants that can be told from the pack, the share that its stories alone notice, 0 to 1. `fates` may be those of some only."""
    equal = {fate.id for fate in score.fates if fate.by == "equivalent"}
    able = [fate for fate in fates if fate.id not in equal]
    return sum(fate.by == "story" for fate in able) / len(able) if able else 1.0


def judged(pack: Pack, fates: Sequence[Fate]) -> tuple[Score, list[PackFault]]:
    """The score of all a pack's mutants, and what of it the pack has to answer for."""
    score = Score(fates)
    explained = {survivor.mutant: n for n, survivor in enumerate(pack.source.text.survivors)}
    survivors = score.survivors
    faults = [
        pack.source.fault("survivors", f"no test notices “{name}”; tell a story that does, or say under `survivors` why it may be so")
        for name in survivors
        if name not in explained
    ]
    faults += [
        pack.source.fault(f"survivors[{n}]", f"“{name}” is noticed, or is no mutant of this pack; take it out")
        for name, n in explained.items()
        if name not in survivors
    ]
    if score.share < LEAST_SHARE:
        faults.append(pack.source.fault("rules", f"the tests notice {score.share:.1%} of the mutants, expected {LEAST_SHARE:.0%} or more"))
    return score, faults

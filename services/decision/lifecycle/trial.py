"""What the tests of a draft say: its stories, its recorded cases or the borders made of it, and which slips they notice.

Every function takes and gives plain data, so that it can run in another process, a piece at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from services.decision.lifecycle.review import told
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import Pack, load_text
from services.decision.rules.testing.cases import Cases, cases_of
from services.decision.rules.testing.completing import complete
from services.decision.rules.testing.killing import Fate, Hunt
from services.decision.rules.testing.mutants import Mutant, mutants
from services.decision.rules.testing.verdicts import alone, held_against, hunt_of, judged, share_of_stories

AT_ONCE: Final = 30
"""Mutants in one piece of work."""
SAMPLED: Final = 30
"""Mutants by which the stories alone are scored; `milepost protocol test --stories-alone` tries all."""

Told = list[tuple[str, str]]
"""Fates of mutants: id and by what it was noticed."""


@dataclass(frozen=True, slots=True)
class _Ready:
    pack: Pack
    cases: Cases
    mutants: tuple[Mutant, ...]
    hunt: Hunt
    alone: Hunt


@lru_cache(maxsize=2)
def _ready(name: str, raw: bytes, cases: str | None) -> _Ready:
    pack = load_text(name, raw)
    held = complete(pack.protocol) if cases is None else cases_of(pack.protocol, "cases", cases)
    return _Ready(pack, held, tuple(mutants(pack.protocol)), hunt_of(pack, held), alone(pack))


def begun(name: str, raw: bytes, cases: str | None) -> dict[str, Any]:
    """`{ok, stories, cases, borders, faults}` of stories and cases, with `tries`, the number of mutants to try; 0 where something is wrong
    already. Without cases the borders are made of the pack itself.
    """
    borders = "made" if cases is None else "recorded"
    try:
        ready = _ready(name, raw, cases)
    except FaultyPack as faulty:
        return {"ok": False, "stories": 0, "cases": 0, "borders": borders, "faults": told(faulty.faults), "tries": 0}
    found = held_against(ready.pack, ready.cases)
    return {
        "ok": not found.faults,
        "stories": found.stories,
        "cases": found.cases,
        "borders": borders,
        "faults": told(found.faults),
        "tries": 0 if found.faults else len(ready.mutants),
    }


def tried(name: str, raw: bytes, cases: str | None, first: int) -> tuple[Told, Told]:
    """The fates of the mutants from `first` on, and of every n-th of them by the stories alone."""
    ready = _ready(name, raw, cases)
    every = max(1, len(ready.mutants) // SAMPLED)
    some = list(enumerate(ready.mutants))[first : first + AT_ONCE]
    by_all: Told = [(mutant.id, ready.hunt.fate(mutant)) for _, mutant in some]
    return by_all, [(mutant.id, ready.alone.fate(mutant)) for n, mutant in some if n % every == 0]


def scored(
    name: str, raw: bytes, cases: str | None, report: dict[str, Any], by_all: Sequence[Any], by_stories: Sequence[Any]
) -> dict[str, Any]:
    """The whole report: `ok` only where every survivor is explained and enough of the mutants are noticed."""
    report = {name: one for name, one in report.items() if name != "tries"}
    if not report["ok"]:
        return {**report, "mutants": None}
    score, faults = judged(_ready(name, raw, cases).pack, [Fate(*one) for one in by_all])
    stories = share_of_stories(score, [Fate(*one) for one in by_stories])
    found = {
        "tried": len(by_all),
        "noticed_pct": round(100 * score.share, 1),
        "stories_alone_pct": round(100 * stories, 1),
        "stories_alone_of": len(by_stories),
        "equivalent": score.count("equivalent"),
        "survivors": score.survivors,
    }
    return {**report, "ok": not faults, "faults": told(faults), "mutants": found}

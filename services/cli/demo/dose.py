"""From a recommended dose to what a watch would record of it. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.ingest.formats.fit_write import write_run_walk

RUN_M_PER_S: Final = 2.6
WALK_M_PER_S: Final = 1.4


def bouts(dose: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Repetitions of (seconds run, seconds walked) that make up the dose, by its time or else by its distance.

    >>> bouts({"run_s": 360, "walk_s": 1440, "reps": 6, "bout_s": 60})[:2]
    [(60, 240), (60, 240)]
    >>> bouts({"run_s": 864, "walk_s": 576, "bout_s": 180})
    [(180, 115), (180, 115), (180, 115), (180, 115), (144, 115)]
    """
    return _by_time(dose) if "run_s" in dose else _by_distance(dose)


def recorded(dose: Mapping[str, Any], start: datetime, rpe: float | None = None) -> bytes:
    """The FIT file of a run of this dose."""
    return write_run_walk(start, bouts(dose), run_speed=RUN_M_PER_S, walk_speed=WALK_M_PER_S, rpe=rpe)


def _by_time(dose: Mapping[str, Any]) -> list[tuple[int, int]]:
    run_s = int(dose["run_s"])
    bout_s = int(dose.get("bout_s") or run_s)
    runs = [bout_s] * (run_s // bout_s) + ([run_s % bout_s] if run_s % bout_s else [])
    walk_s = int(dose.get("walk_s", 0)) // len(runs)
    return [(one, walk_s) for one in runs]


def _by_distance(dose: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Runs and walks in turn until the distance is done; the last run or walk ends with it."""
    left = float(dose["distance_m"])
    bout_s = int(dose.get("bout_s") or left / RUN_M_PER_S)
    made: list[tuple[int, int]] = []
    while left > 0:
        run_s = min(bout_s, round(left / RUN_M_PER_S))
        left -= max(run_s, 1) * RUN_M_PER_S
        walk_s = min(int(dose.get("walk_s", 0)), max(round(left / WALK_M_PER_S), 0))
        left -= walk_s * WALK_M_PER_S
        made.append((run_s, walk_s))
    return [(run_s, walk_s) for run_s, walk_s in made if run_s]

"""When somebody ran and when they walked, from the records of a recording.

Thresholds (expert default; no source gives them for recorded data): steps tell first, 140 steps/min and more is running, 40 and more
walking; without steps, 2.0 m/s and more is running (the usual walk-run transition), 0.5 m/s and more walking. Bouts shorter than 10 s
belong to their neighbours; an interruption shorter than 30 s (a traffic light) ends no repetition. Time between two records counts up to
15 s; beyond, the recording was paused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

Gait = Literal["run", "walk", "still", "unknown"]

RUN_SPM: Final = 140.0
WALK_SPM: Final = 40.0
RUN_M_PER_S: Final = 2.0
WALK_M_PER_S: Final = 0.5
SHORTEST_BOUT_S: Final = 10.0
SHORTEST_BREAK_S: Final = 30.0
LONGEST_GAP_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One record: seconds since the epoch, speed in m/s, steps per minute, metres since the start; None where the device was silent."""

    time: float
    speed: float | None
    cadence_spm: float | None
    distance: float | None


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds and metres by gait; `running` and `seconds` have one entry for each sample. `known_s` is how long the gait is known;
    `walked` the share of walking in the time on the move, 0 to 1."""

    run_s: float
    walk_s: float
    known_s: float
    reps: int
    run_distance_m: float | None
    running: list[bool]
    seconds: list[float]

    @property
    def walked(self) -> float:
        moved = self.run_s + self.walk_s
        return self.walk_s / moved if moved else 0.0


@dataclass(slots=True)
class _Bout:
    gait: Gait
    begin: int
    end: int
    seconds: float


def split(samples: Sequence[Sample]) -> Split:
    """The split of samples in the order of their times."""
    seconds = list(_seconds(samples))
    bouts = _joined(_bouts([gait(sample.speed, sample.cadence_spm) for sample in samples], seconds))
    running = [False] * len(samples)
    run_distance: float | None = 0.0
    for bout in bouts:
        if bout.gait == "run":
            running[bout.begin : bout.end] = [True] * (bout.end - bout.begin)
            run_distance = _plus(run_distance, _metres(samples, bout))
    by_gait = {name: sum(bout.seconds for bout in bouts if bout.gait == name) for name in ("run", "walk", "still")}
    return Split(by_gait["run"], by_gait["walk"], sum(by_gait.values()), _repetitions(bouts), run_distance, running, seconds)


def gait(speed: float | None, cadence_spm: float | None) -> Gait:
    """How somebody moves at this speed and step rate.

    >>> gait(1.7, 152), gait(2.4, 118), gait(2.4, None), gait(0.0, 0.0), gait(None, None)
    ('run', 'walk', 'run', 'still', 'unknown')
    """
    if cadence_spm is not None and cadence_spm >= WALK_SPM:
        return "run" if cadence_spm >= RUN_SPM else "walk"
    if speed is not None:
        return "run" if speed >= RUN_M_PER_S else "walk" if speed >= WALK_M_PER_S else "still"
    return "still" if cadence_spm is not None else "unknown"


def _seconds(samples: Sequence[Sample]) -> Iterator[float]:
    gaps = [after.time - before.time for before, after in pairwise(samples)]
    known = sorted(gap for gap in gaps if 0 < gap <= LONGEST_GAP_S)
    usual = known[len(known) // 2] if known else 1.0
    for gap in gaps:
        # Before a pause the sample stands for the usual interval.
        yield gap if 0 <= gap <= LONGEST_GAP_S else usual
    if samples:
        yield usual


def _bouts(gaits: Sequence[Gait], seconds: Sequence[float]) -> list[_Bout]:
    bouts: list[_Bout] = []
    for index, (name, lasted) in enumerate(zip(gaits, seconds, strict=True)):
        if bouts and bouts[-1].gait == name:
            bouts[-1].end = index + 1
            bouts[-1].seconds += lasted
        else:
            bouts.append(_Bout(name, index, index + 1, lasted))
    return bouts


def _joined(bouts: list[_Bout]) -> list[_Bout]:
    """Without short bouts: each goes to the bout before it, the first to the one after it."""
    joined: list[_Bout] = []
    carried: _Bout | None = None
    for bout in bouts:
        if carried is not None:
            bout = _Bout(bout.gait, carried.begin, bout.end, carried.seconds + bout.seconds)
            carried = None
        if joined and (bout.gait == joined[-1].gait or bout.seconds < SHORTEST_BOUT_S):
            joined[-1].end = bout.end
            joined[-1].seconds += bout.seconds
        elif not joined and bout.seconds < SHORTEST_BOUT_S:
            carried = bout
        else:
            joined.append(bout)
    return joined if carried is None else [*joined, carried]


def _repetitions(bouts: Sequence[_Bout]) -> int:
    count, pause = 0, SHORTEST_BREAK_S
    for bout in bouts:
        if bout.gait == "run":
            count += pause >= SHORTEST_BREAK_S
            pause = 0.0
        else:
            pause += bout.seconds
    return count


def _metres(samples: Sequence[Sample], bout: _Bout) -> float | None:
    end = min(bout.end, len(samples) - 1)
    begun, ended = samples[bout.begin].distance, samples[end].distance
    return max(0.0, ended - begun) if begun is not None and ended is not None else None


def _plus(total: float | None, part: float | None) -> float | None:
    return None if total is None or part is None else total + part

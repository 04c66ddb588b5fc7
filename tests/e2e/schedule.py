"""What is done to the product in a round, and when: settled by a seed alone, so that a round can be told and run again."""

import random
from dataclasses import dataclass
from typing import Final, Literal

PARTS: Final = ("ingest", "worker", "decision", "notify", "eraser", "nats", "postgres")
PAUSED: Final = (*PARTS, "engine", "backend")
"""Besides the parts: the second engine's process, and one backend of PostgreSQL (alone, the postmaster's pause stops no query)."""

Kind = Literal["kill", "pause", "leader"]


@dataclass(frozen=True)
class Step:
    """After `flow` further acknowledged events, `kind` is done to `parts` together. `leader` kills the leader of the bus' cluster."""

    flow: int
    kind: Kind
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {' and '.join(self.parts)} after {self.flow} events"


def schedule(seed: int, further: int = 0, cluster: bool = False) -> list[Step]:
    """Every part killed once and every one that can be paused paused once, some together, in an order of the seed; then `further` steps.

    In a cluster the bus is killed by its leader, which is somebody else each time.

    >>> len({step for step in map(str, schedule(1))} & {step for step in map(str, schedule(2))})
    0
    """
    chance = random.Random(seed)
    kills, pauses = chance.sample(PARTS, len(PARTS)), chance.sample(PAUSED, len(PAUSED))
    steps = [_step(chance, "kill", together) for together in _grouped(chance, kills, (1, 1, 1, 2))]
    steps += [_step(chance, "pause", together) for together in _grouped(chance, pauses, (2, 3))]
    chance.shuffle(steps)
    for _ in range(further):
        kind: Kind = chance.choice(("kill", "pause"))
        of = PARTS if kind == "kill" else PAUSED
        steps.append(_step(chance, kind, tuple(chance.sample(of, chance.choice((1, 1, 2, 3))))))
    return [_of_cluster(step) for step in steps] if cluster else steps


def _step(chance: random.Random, kind: Kind, together: tuple[str, ...]) -> Step:
    return Step(chance.randint(10, 80), kind, together)


def _grouped(chance: random.Random, parts: list[str], sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    waiting, found = list(parts), []
    while waiting:
        found.append(tuple(waiting.pop(0) for _ in range(min(len(waiting), chance.choice(sizes)))))
    return found


def _of_cluster(step: Step) -> Step:
    if "nats" not in step.parts:
        return step
    return Step(step.flow, "leader" if step.kind == "kill" else step.kind, step.parts)

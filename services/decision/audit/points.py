"""Signed checkpoints, ours and those a witness kept: each must be the root of the tree at its size."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import orjson

from services.decision.notary import signed_at
from services.decision.store.connection import Connection
from shared.proof import Checkpoint, NoteFault, Verifier

_TABLES: Final = {"events": "events", "conflicts": "event_conflicts"}
Tell: TypeAlias = Callable[[str], None]


class Points:
    def __init__(self) -> None:
        self.roots: dict[tuple[str, int, int], list[tuple[Checkpoint, str]]] = {}
        """(tree, partition, size) to what was signed and by whom it was kept."""
        self.ended: set[int] = set()
        """Partitions whose events were read to the end."""
        self._held = 0
        self._same: dict[tuple[str, int], int] = {}
        """(tree, partition) to the greatest size at which it is what was signed."""

    @classmethod
    async def load(
        cls, connection: Connection, verifier: Verifier, mine: Callable[[str, int], bool], witness: Iterable[str], tell: Tell
    ) -> "Points":
        """The checkpoints of the trees that are `mine`; those that are not what their key signed are told at once."""
        found = cls()
        for row in await connection.fetch("SELECT tree, partition, size, note, created_at FROM checkpoints ORDER BY 1, 2, 3"):
            name = f"checkpoints, tree {row['tree']}/{row['partition']}, size {row['size']}"
            try:
                point = verifier.open(row["note"])
            except NoteFault as fault:
                if mine(row["tree"], row["partition"]):
                    tell(f"{name}: {fault}")
                continue
            if mine(point.tree, point.partition):
                if (point.tree, point.partition, point.size) != (row["tree"], row["partition"], row["size"]):
                    tell(f"{name}: the note is of {point.tree}/{point.partition} at {point.size}")
                if point.at != signed_at(row["created_at"]):
                    tell(f"{name}: the note was signed at {point.at}")
                found._add(point, name)
        for number, note in enumerate(witness, 1):
            try:
                point = verifier.open(note)
            except NoteFault as fault:
                tell(f"witness, checkpoint {number}: {fault}")
                continue
            if mine(point.tree, point.partition):
                found._add(point, f"witness, checkpoint {number} (tree {point.tree}/{point.partition}, size {point.size})")
        return found

    def _add(self, point: Checkpoint, name: str) -> None:
        self.roots.setdefault((point.tree, point.partition, point.size), []).append((point, name))

    def reached(self, tree: str, partition: int, size: int, root: bytes, tell: Tell) -> None:
        """The tree has this root at this size; told in the order of sizes. A tree that differs is told with the rows it began to differ in:
        where a key was destroyed, nothing but the tree stands for a commitment.
        """
        first = self._same.get((tree, partition), 0) + 1
        for point, name in self.roots.pop((tree, partition, size), ()):
            self._held += 1
            if point.root != root:
                table = _TABLES.get(tree, f"{tree} or its seals")
                tell(f"{name}: history up to there is not what was signed; one of {table}, {partition}/{first} to {size}, was changed")
            else:
                self._same[tree, partition] = size

    def end(self, tell: Tell) -> int:
        """What was signed of trees that are shorter by now is told; how many checkpoints were held against their trees."""
        for points in self.roots.values():
            for _, name in points:
                tell(f"{name}: history is shorter than what was signed")
        return self._held


def read_witness(lines: Iterable[bytes]) -> list[str]:
    """Notes out of what `milepost checkpoints` or GET /v1/audit/checkpoints wrote: one JSON object per line with `note`. Raises ValueError,
    naming the line.
    """
    notes = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                notes.append(str(orjson.loads(line)["note"]))
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise ValueError(f"line {number}: expected a JSON object with `note`, as `milepost checkpoints` writes it") from None
    return notes

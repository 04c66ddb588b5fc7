"""Signed checkpoints, ours and those a witness kept: each must be the root of the tree at its size."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

import orjson

from services.decision.notary import signed_at
from services.decision.store.connection import Connection
from services.decision.store.scan import Row
from shared.proof import Checkpoint, NoteFault, Verifier

_TABLES: Final = {"events": "events", "conflicts": "event_conflicts"}
_POINTS: Final = "SELECT tree, partition, size, note, created_at FROM checkpoints AS c"
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
AT_ONCE: Final = 32
"""Signatures that are checked without a pause."""
Tell: TypeAlias = Callable[[str], None]


class _Kept(NamedTuple):
    """A row of checkpoints."""

    tree: str
    partition: int
    size: int
    note: str
    created_at: datetime


class Points:
    """Those of the trees that are `mine`; a checkpoint that is not what its key signed is told at once."""

    def __init__(self, verifier: Verifier, mine: Callable[[str, int], bool], tell: Tell) -> None:
        self._verifier = verifier
        self._mine = mine
        self._tell = tell
        self.roots: dict[tuple[str, int, int], list[tuple[Checkpoint, str]]] = {}
        """(tree, partition, size) to what was signed and by whom it was kept."""
        self.ended: set[int] = set()
        """Partitions whose events were read to the end."""
        self._held = 0
        self._same: dict[tuple[str, int], int] = {}
        """(tree, partition) to the greatest size at which it is what was signed."""

    def witnessed(self, witness: Iterable[str]) -> dict[tuple[str, int], int]:
        """Takes in checkpoints that were kept elsewhere; the greatest size of each tree among them."""
        sizes: dict[tuple[str, int], int] = {}
        for number, note in enumerate(witness, 1):
            try:
                point = self._verifier.open(note)
            except NoteFault as fault:
                self._tell(f"witness, checkpoint {number}: {fault}")
                continue
            if self._mine(point.tree, point.partition):
                self._add(point, f"witness, checkpoint {number} (tree {point.tree}/{point.partition}, size {point.size})")
                sizes[point.tree, point.partition] = max(point.size, sizes.get((point.tree, point.partition), 0))
        return sizes

    async def load(self, connection: Connection, share: int, of: int, but: Collection[tuple[int, int]], leaves: int) -> None:
        """Takes in what the database holds of one share, without those in stretches of events whose (partition, number) is in `but`."""
        query = (
            f"{_POINTS} WHERE CASE tree WHEN 'events' THEN ((partition % {of}) + {of}) % {of} ELSE 0 END = {share}"
            " AND NOT (tree = 'events' AND EXISTS (SELECT 1 FROM unnest($1::int[], $2::bigint[]) AS q(partition, number)"
            " WHERE q.partition = c.partition AND q.number = (c.size - 1) / $3)) ORDER BY 1, 2, 3"
        )
        found = await connection.fetch(query, [one[0] for one in but], [one[1] for one in but], leaves)
        await self._take(_Kept(*row) for row in found)

    async def take(self, batches: AsyncIterator[list[Row]]) -> None:
        """Takes in those that a scan brings."""
        async for batch in batches:
            await self._take([_Kept(row.text(0), row.number(1), row.number(2), row.text(3), _moment(row.number(4))) for row in batch])

    async def _take(self, rows: Iterable["_Kept"]) -> None:
        for count, row in enumerate(rows):
            if count % AT_ONCE == 0:
                # Each signature takes a tenth of a millisecond, and a worker has other things to do.
                await asyncio.sleep(0)
            name = f"checkpoints, tree {row.tree}/{row.partition}, size {row.size}"
            try:
                point = self._verifier.open(row.note)
            except NoteFault as fault:
                self._tell(f"{name}: {fault}")
                continue
            if (point.tree, point.partition, point.size) != (row.tree, row.partition, row.size):
                self._tell(f"{name}: the note is of {point.tree}/{point.partition} at {point.size}")
            if point.at != signed_at(row.created_at):
                self._tell(f"{name}: the note was signed at {point.at}")
            if self._mine(point.tree, point.partition):
                self._add(point, name)

    def passed(self, tree: str, partition: int, size: int, held: int) -> None:
        """The tree is what was signed up to this size, `held` checkpoints among them: known without looking at any."""
        self._held += held
        self._same[tree, partition] = size

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


def _moment(microseconds: int) -> datetime:
    """An instant as the database sends it; one that no calendar has is the last there is."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


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

"""One partition's events walked from the first leaf to the last, with what stands under each, range by range.

The scans of a range (events, outcomes, decisions) run side by side in the order of the leaves and are merged, so memory stays small
whatever the length of history.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from services.decision.audit.found import Found
from services.decision.audit.leaves import Leaves
from services.decision.audit.points import Points
from services.decision.store.committing import EVENTS
from services.decision.store.connection import Connection
from services.decision.store.scan import Row, scan
from services.decision.store.stretches import Streams, hashed, queries
from shared.placing import PARTITIONS
from shared.proof import Frontier

_SEQ, _OUTCOME_SEQ, _DECISION_SEQ = 1, 3, 6

Seen = Callable[[bytes], object] | None
_UNSEEN: Final = (None, None, None)


class Head(Protocol):
    """A partition's head, as far as a verification needs it."""

    def __getitem__(self, name: str) -> int: ...


class Source:
    """Where rows are read: three connections in one snapshot, or one, of which what stands under events is read into memory."""

    def __init__(self, main: Connection, beside: Sequence[Connection] = (), seen: Sequence[Seen] = _UNSEEN) -> None:
        """`seen` is given the bytes of events, of outcomes and of decisions as they come."""
        self.main = main
        self._beside = beside
        self._seen = seen

    def events(self, query: str) -> AsyncIterator[list[Row]]:
        return scan(self.main, query, seen=self._seen[0])

    async def under(self, number: int, query: str) -> AsyncIterator[list[Row]]:
        """The rows of outcomes (0) or decisions (1), read while events are."""
        if self._beside:
            return scan(self._beside[number], query, seen=self._seen[number + 1])
        return _again([batch async for batch in scan(self.main, query, seen=self._seen[number + 1])])

    async def hashed(self, asked: Streams[str]) -> tuple[list[bytes], list[int]]:
        """The digest and the number of rows of each stream of a stretch."""
        found = [await hashed(self.main, query) for query in asked]
        return [digest for digest, _ in found], [count for _, count in found]


class Walk:
    """`tree` is the tree up to the last leaf that was walked over, `last` that leaf's sequence."""

    def __init__(self, partition: int, head: Head | None, leaves: Leaves, points: Points, found: Found) -> None:
        self._partition = partition
        self._head = head
        self._leaves = leaves
        self._points = points
        self._found = found
        self._unproven = 0 if head is None else head["unproven"]
        self.tree = Frontier()
        self.last = 0
        self._any = False
        self._before = found.faulted

    @property
    def sound(self) -> bool:
        """Whether there was no fault up to here, so that the tree is the one that was signed."""
        return self._found.faulted == self._before

    def passed(self, end: int, leaves: int, root: bytes) -> None:
        """Goes over a whole stretch with this root without looking at its rows."""
        self.tree.extend_block(root, leaves)
        self.last = end
        self._any = True

    async def over(self, source: Source, begin: int | None, end: int | None, keep: Callable[[bytes], None] | None = None) -> int:
        """Walks row by row over the leaves `begin` + 1 to `end` (None: all before, all behind); how many there are.

        `keep` is given each leaf.
        """
        asked, partition, found = queries(self._partition, begin, end), self._partition, self._found
        outcomes = Under("event_outcomes", await source.under(0, asked.outcomes), partition, _OUTCOME_SEQ, found)
        decisions = Under("decisions", await source.under(1, asked.decisions), partition, _DECISION_SEQ, found)
        roots, count = self._points.roots, 0
        async for batch in source.events(asked.events):
            for row in batch:
                seq = row.number(_SEQ)
                if seq != self.last + 1:
                    found.fault(f"events, partition {partition}: rows {self.last + 1} to {seq - 1} are missing")
                self.last = seq
                told, made = outcomes.at_hand(seq), decisions.at_hand(seq)
                if told is None:
                    told = await outcomes.read(seq)
                if made is None:
                    made = await decisions.read(seq)
                leaf = self._leaves.event(row, (partition, seq), told, made, seq <= self._unproven)
                self.tree.append(leaf)
                if keep is not None:
                    keep(leaf)
                if (EVENTS, partition, self.tree.size) in roots:
                    self._points.reached(EVENTS, partition, self.tree.size, self.tree.root(), found.fault)
            count += len(batch)
        found.events += count
        self._any = self._any or count > 0
        if end is None:
            self._end()
        await outcomes.rest()
        await decisions.rest()
        return count

    def _end(self) -> None:
        """There is nothing behind: is that what the partition's head says?"""
        if not self._any:
            return
        self._points.ended.add(self._partition)
        name = f"events, partition {self._partition}"
        if not 0 <= self._partition < PARTITIONS or self._head is None:
            self._found.fault(f"{name}: there is no such partition")
        elif self._head["seq"] > self.last:
            self._found.fault(f"{name}: rows {self.last + 1} to {self._head['seq']} are missing")
        elif self._head["seq"] < self.last:
            self._found.fault(f"{name}: rows from {self._head['seq'] + 1} on are more than the partition's head says")


class Under:
    """Rows that stand under the leaves of one partition's events, read alongside them. Those under no event at all are named."""

    def __init__(self, table: str, rows: AsyncIterator[list[Row]], partition: int, seq: int, found: Found) -> None:
        self._table = table
        self._rows = rows
        self._partition = partition
        self._seq = seq
        self._found = found
        self._batch: list[Row] = []
        self._at = 0
        self._ended = False

    def at_hand(self, seq: int) -> list[Row] | None:
        """The rows under this leaf; None while it is not known whether more of them come."""
        batch, at, column = self._batch, self._at, self._seq
        first = at
        for at in range(first, len(batch)):
            own = batch[at].number(column)
            if own > seq:
                self._at = at
                return batch[first:at]
            if own < seq:
                self._stray(own)
                first = self._at = at + 1
        if self._ended:
            self._at = len(batch)
            return batch[first:]
        return None

    async def read(self, seq: int) -> list[Row]:
        """As `at_hand`, reading what it takes."""
        while (under := self.at_hand(seq)) is None:
            await self._more()
        return under

    async def rest(self) -> None:
        """What is left stands under no event."""
        while True:
            for row in self._batch[self._at :]:
                self._stray(row.number(self._seq))
            self._at = len(self._batch)
            if self._ended:
                return
            await self._more()

    def _stray(self, seq: int) -> None:
        self._found.fault(f"{self._table}, partition {self._partition}, seq {seq}: the row belongs to no event")

    async def _more(self) -> None:
        async for batch in self._rows:
            self._batch, self._at = self._batch[self._at :] + batch, 0
            return
        self._ended = True


async def _again(batches: list[list[Row]]) -> AsyncIterator[list[Row]]:
    for batch in batches:
        yield batch

"""The whole database held against its commitments, trees and checkpoints: finds every changed, missing or added row, and names it.

Every process takes its share of the partitions, all in one snapshot. Three scans (events, outcomes, decisions) run side by side in the
order of the leaves and are merged, so memory stays small whatever the history's length.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from struct import pack
from typing import Final

import asyncpg

from services.decision.audit.keys import Keys, NoKey
from services.decision.audit.points import Points
from services.decision.notary import sealed_columns, sealed_commitment
from services.decision.store.committing import (
    CONFLICT,
    CONFLICT_COLUMNS,
    CONFLICT_KINDS,
    CONFLICTS,
    DECISION,
    DECISION_COLUMNS,
    DECISION_KINDS,
    EVENT,
    EVENT_COLUMNS,
    EVENT_KINDS,
    EVENTS,
    OUTCOME,
    OUTCOME_COLUMNS,
    OUTCOME_KINDS,
    conflict_leaf,
)
from services.decision.store.connection import Connection
from services.decision.store.remains import ERASED, GONE, Remains
from services.decision.store.scan import Row, scan
from services.decision.store.sealed import SEALED, Sealed
from shared.placing import PARTITIONS
from shared.proof import Envelope, Frontier, KeyFault, Keyring, Signer, commitment, event_salt, leaf_of, row_salt
from shared.proof.commitments import columns
from shared.proof.envelope import MARKS, TEXT_MARK

NAMED: Final = 100
"""Faults that one process names; more are counted."""
SEAL_WITHIN: Final = "10 minutes"
"""A row of a table without partitions is sealed with the next checkpoint; one that is older and has no seal was added behind our back."""


@dataclass
class Found:
    """What a verification saw. `faults` is empty when history is what was written."""

    events: int = 0
    rows: int = 0
    erased: int = 0
    """Rows of athletes whose keys were destroyed: proven by their commitments, no longer readable."""
    unproven: int = 0
    """Events from before there were commitments."""
    checkpoints: int = 0
    gone: set[tuple[str, str]] = field(default_factory=set)
    """(tenant, athlete or pseudonym) of rows whose key is destroyed."""
    asked: set[tuple[str, str]] = field(default_factory=set)
    """(tenant, pseudonym) of erasures that history itself records."""
    faults: list[str] = field(default_factory=list)
    more: int = 0

    def fault(self, sentence: str) -> None:
        if len(self.faults) < NAMED:
            self.faults.append(sentence)
        else:
            self.more += 1

    def add(self, other: "Found") -> None:
        for name in ("events", "rows", "erased", "unproven", "checkpoints", "more"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults
        self.gone |= other.gone
        self.asked |= other.asked

    def settle(self) -> None:
        """Once every share is in: nobody's rows are gone unless an event of history asked for it."""
        for tenant, name in sorted(self.gone - self.asked):
            self.fault(f"keys.athlete_keys, tenant {tenant}, {name}: rows were erased, and no event of history asked for it")


_EVENTS: Final = f"""SELECT {", ".join(EVENT_COLUMNS)}, commitment, leaf FROM events
WHERE ((partition % {{of}}) + {{of}}) % {{of}} = {{share}} ORDER BY partition, seq"""
_OUTCOMES: Final = f"""SELECT {", ".join(OUTCOME_COLUMNS)}, commitment FROM event_outcomes
WHERE ((partition % {{of}}) + {{of}}) % {{of}} = {{share}} ORDER BY partition, seq, n, source, id"""
_DECISIONS: Final = f"""SELECT {", ".join(DECISION_COLUMNS)}, commitment FROM decisions
WHERE ((partition % {{of}}) + {{of}}) % {{of}} = {{share}} ORDER BY partition, event_seq, course COLLATE "C", seq"""
_CONFLICTS: Final = f"""SELECT {", ".join(CONFLICT_COLUMNS)}, commitment FROM event_conflicts
WHERE n IS NOT NULL ORDER BY partition, n"""

_PARTITION, _SEQ, _ATHLETE, _COMMITMENT, _LEAF = 0, 1, 2, len(EVENT_COLUMNS), len(EVENT_COLUMNS) + 1
_TYPE, _ERASED = EVENT_COLUMNS.index("type"), ERASED.encode()
_BODY, _REASON, _MADE = EVENT_COLUMNS.index("body"), OUTCOME_COLUMNS.index("reason"), DECISION_COLUMNS.index("body")
Place = tuple[int, int]
Opening = tuple[bytes, Envelope]
"""A salt, or the key it comes from, and what opens the bodies beside it."""
Named = Callable[[], str]
"""How a row is named, made only when it has to be: there may be a hundred million."""


class Share:
    """One process's part of a verification: share number `share` of `of`, in the snapshot of the given name."""

    def __init__(
        self,
        url: "str | Connection",
        ring: Keyring,
        share: int,
        of: int,
        snapshot: str | None = None,
        witness: Sequence[str] = (),
    ) -> None:
        """`url`: the database; or one open connection, inside whose transaction a small history is read into memory."""
        self._url = url
        self._ring = ring
        self._share = share
        self._of = of
        self._snapshot = snapshot
        self._witness = witness
        self.found = Found()
        self._keys: Keys
        self._points: Points
        self._stack = AsyncExitStack()
        self._remains = Remains(ring.remains)
        self._by_pseudonym: dict[str, tuple[str, str]] = {}

    async def verify(self) -> Found:
        async with self._stack:
            main = await self._connect()
            self._keys = await Keys.load(main, self._ring)
            self._by_pseudonym = {whose[1]: whose for whose in self._keys.gone.values()}
            self._points = await Points.load(main, Signer(self._ring.signing_seed).verifier, self._mine, self._witness, self.found.fault)
            await self._histories(main)
            if self._share == 0:
                await self._conflicts(main)
                known = [one.table for one in SEALED]
                for row in await main.fetch("SELECT DISTINCT tree FROM seals WHERE tree <> ALL($1::text[]) ORDER BY 1", known):
                    self.found.fault(f"seals of {row['tree']}: there is no such tree")
                for table in SEALED:
                    await self._sealed(main, table)
            self.found.checkpoints = self._points.end(self.found.fault)
        if self._of == 1:
            self.found.settle()
        return self.found

    def _mine(self, tree: str, partition: int) -> bool:
        return partition % self._of == self._share if tree == EVENTS else self._share == 0

    async def _connect(self) -> Connection:
        if not isinstance(self._url, str):
            return self._url
        connection: Connection = await asyncpg.connect(self._url, timeout=10)
        self._stack.push_async_callback(connection.close, timeout=5)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if self._snapshot is None:
            self._snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        else:
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{self._snapshot}'")
        await connection.execute("SET LOCAL work_mem = '64MB'")
        return connection

    async def _histories(self, main: Connection) -> None:
        heads = {row["partition"]: row for row in await main.fetch("SELECT partition, seq, unproven FROM partition_heads")}
        placed = {"of": self._of, "share": self._share}
        outcomes = Under("event_outcomes", await self._beside(_OUTCOMES.format(**placed)), 8, 3, self.found)
        decisions = Under("decisions", await self._beside(_DECISIONS.format(**placed)), 5, 6, self.found)
        tree, partition, last = Frontier(), -1, 0
        async for batch in scan(await self._connect(), _EVENTS.format(**placed)):
            for row in batch:
                at, seq = row.number(_PARTITION), row.number(_SEQ)
                if at != partition:
                    self._end(heads, partition, last, tree)
                    tree, partition, last = Frontier(), at, 0
                if seq != last + 1:
                    self.found.fault(f"events, partition {at}: rows {last + 1} to {seq - 1} are missing")
                last = seq
                self.found.events += 1
                told, made = await outcomes.of((at, seq)), await decisions.of((at, seq))
                unproven = at in heads and seq <= heads[at]["unproven"]
                leaf = self._event(row, (at, seq), told, made, unproven)
                tree.append(leaf)
                if (EVENTS, partition, tree.size) in self._points.roots:
                    self._points.reached(EVENTS, partition, tree.size, tree.root(), self.found.fault)
        self._end(heads, partition, last, tree)
        await outcomes.rest()
        await decisions.rest()
        mine = {number for number in heads if number % self._of == self._share}
        for number in sorted({number for number in mine if heads[number]["seq"]} - self._points.ended):
            self.found.fault(f"events, partition {number}: rows 1 to {heads[number]['seq']} are missing")

    async def _beside(self, query: str) -> AsyncIterator[list[Row]]:
        """A scan that goes on while others do."""
        batches = scan(await self._connect(), query)
        return batches if isinstance(self._url, str) else _again([batch async for batch in batches])

    def _end(self, heads: dict[int, asyncpg.Record], partition: int, last: int, tree: Frontier) -> None:
        if partition == -1 and not last:
            return
        self._points.ended.add(partition)
        if not 0 <= partition < PARTITIONS or partition not in heads:
            self.found.fault(f"events, partition {partition}: there is no such partition")
        elif heads[partition]["seq"] > last:
            self.found.fault(f"events, partition {partition}: rows {last + 1} to {heads[partition]['seq']} are missing")
        elif heads[partition]["seq"] < last:
            self.found.fault(
                f"events, partition {partition}: rows from {heads[partition]['seq'] + 1} on are more than the partition's head says"
            )

    def _event(self, row: Row, place: Place, told: list[Row], made: list[Row], unproven: bool) -> bytes:
        """The leaf as the rows' commitments make it; every row that is not what it is committed to is named."""
        self.found.rows += 1 + len(told) + len(made)
        if unproven:
            self.found.unproven += 1
            if row.value(_COMMITMENT) is not None or row.value(_LEAF) is not None:
                self.found.fault(f"{_event_name(place)}: it has a commitment although it is older than those")
            return leaf_of(EVENTS, *place)
        gone = self._keys.gone.get(row.raw(_ATHLETE, _ATHLETE + 2))
        if gone is not None:
            return self._gone(row, place, told, made, gone)
        before = len(self.found.faults) + self.found.more
        salt = self._salt(row.raw(_ATHLETE, _ATHLETE + 2), EVENTS, place, partial(_event_name, place), 1 + len(told) + len(made))
        own = self._held(row, _COMMITMENT, salt, (EVENT, 0, _BODY), partial(_event_name, place))
        told_as = [self._held(one, 9, salt, (OUTCOME, n, _REASON), partial(_outcome_name, place, one)) for n, one in enumerate(told)]
        made_as = [self._held(one, 12, salt, (DECISION, n, _MADE), partial(_decision_name, one)) for n, one in enumerate(made)]
        leaf = leaf_of(EVENTS, *place, [own], told_as, made_as)
        if row.value(_LEAF) != leaf:
            self.found.fault(f"{_event_name(place)}: its leaf is not that of its rows; one was changed, added or removed")
        # Only a row that a living key proves: of one whose key is destroyed, anything could be written into the columns.
        if row.value(_TYPE) == _ERASED and salt is not None and len(self.found.faults) + self.found.more == before:
            self.found.asked.add((row.text(_ATHLETE), row.text(_ATHLETE + 1)))
        return leaf

    def _gone(self, row: Row, place: Place, told: list[Row], made: list[Row], whose: tuple[str, str]) -> bytes:
        """The leaf of an erased event: its commitments stand as they were, and beside them nothing but what an erasure leaves."""
        self.found.gone.add(whose)
        self.found.erased += 1 + len(told) + len(made)
        own = self._left(row, _COMMITMENT, columns(self._remains.event(*place, *whose), EVENT_KINDS), partial(_event_name, place))
        told_as = [
            self._left(one, 9, columns(self._remains.outcome(*place, n, *whose), OUTCOME_KINDS), partial(_outcome_name, place, one))
            for n, one in enumerate(told)
        ]
        made_as = [
            self._left(one, 12, columns(self._remains.decision(*place, n, *whose), DECISION_KINDS), partial(_decision_name, one))
            for n, one in enumerate(made)
        ]
        leaf = leaf_of(EVENTS, *place, [own], told_as, made_as)
        if row.value(_LEAF) != leaf:
            self.found.fault(f"{_event_name(place)}: its leaf is not that of its rows; one was changed, added or removed")
        return leaf

    def _left(self, row: Row, at: int, expected: bytes, name: Named) -> bytes:
        if row.raw(0, at) != expected:
            self.found.fault(f"{name()}: the row is not what an erasure leaves")
        return row.value(at) or b""

    def _salt(self, athlete: bytes, tree: str, place: Place, name: Named, rows: int) -> Opening | None:
        try:
            opening = self._keys.opening(athlete)
        except NoKey as fault:
            self.found.fault(f"{name()}: {fault}")
            return None
        except KeyFault as fault:
            self.found.fault(f"keys.athlete_keys, the row that {name()} needs: {fault}")
            return None
        if opening is None:
            self.found.erased += rows
            self.found.gone.add(_parts(athlete))
            return None
        return event_salt(opening[0], tree, *place), opening[1]

    def _held(self, row: Row, at: int, salt: Opening | None, form: tuple[bytes, int, int], name: Named) -> bytes:
        """The commitment that stands in column `at`, behind the columns it stands for. `form`: the table's letter, the row's place among
        those of its table, and the column that is sealed.
        """
        stored = row.value(at)
        if stored is None:
            self.found.fault(f"{name()}: it has no commitment; it was not written by a worker")
            return b""
        if salt is not None:
            table, place, sealed = form
            written = _written(row, at, sealed, salt[1], text=table == OUTCOME)
            if written is None or commitment(row_salt(salt[0], table, place), written) != stored:
                self.found.fault(f"{name()}: the row is not what was written")
        return stored

    async def _conflicts(self, connection: Connection) -> None:
        heads = {row["partition"]: row["conflicts"] for row in await connection.fetch("SELECT partition, conflicts FROM partition_heads")}
        tree, partition, ended = Frontier(), -1, set()
        async for batch in scan(connection, _CONFLICTS):
            for row in batch:
                at, n = row.number(7), row.number(8)
                if at != partition:
                    tree, partition = Frontier(), at
                    ended.add(at)
                name = f"event_conflicts, partition {at}, n {n}"
                self.found.rows += 1
                if n != tree.size + 1:
                    self.found.fault(f"event_conflicts, partition {at}: the rows before n {n} are missing")
                tenant_athlete = row.raw(0, 1) + row.raw(6, 7)
                whose = self._keys.gone.get(tenant_athlete)
                if whose is not None:
                    self.found.gone.add(whose)
                    self.found.erased += 1
                    expected = columns(self._remains.conflict(at, n, *whose), CONFLICT_KINDS)
                    tree.append(conflict_leaf(at, n, self._left(row, len(CONFLICT_COLUMNS), expected, partial(str, name))))
                    if tree.size == heads.get(at):
                        heads.pop(at)
                    self._points.reached(CONFLICTS, at, tree.size, tree.root(), self.found.fault)
                    continue
                salt = self._salt(tenant_athlete, CONFLICTS, (at, n), partial(str, name), 1)
                held = self._held(row, len(CONFLICT_COLUMNS), salt, (CONFLICT, 0, CONFLICT_COLUMNS.index("body")), partial(str, name))
                leaf = conflict_leaf(at, n, held)
                tree.append(leaf)
                if tree.size == heads.get(at):
                    heads.pop(at)
                self._points.reached(CONFLICTS, at, tree.size, tree.root(), self.found.fault)
        for at, count in heads.items():
            if count:
                self.found.fault(f"event_conflicts, partition {at}: it does not have the {count} rows that the partition's head says")

    async def _sealed(self, connection: Connection, table: Sealed) -> None:
        query = (
            f"SELECT s.n, s.row, s.commitment, q.* FROM seals AS s"
            f" LEFT JOIN ({sealed_columns(table)} FROM {table.table} AS t)"
            f" AS q(named, tenant_of, athlete_of, {', '.join(f'c{n}' for n in range(len(table.columns)))}) ON q.named = s.row"
            f" WHERE s.tree = '{table.table}' ORDER BY s.n"
        )
        tree = Frontier()
        async for batch in scan(connection, query):
            for row in batch:
                n, stored = row.number(0), row.value(2) or b""
                name = f"{table.table}, row {row.text(1)}"
                self.found.rows += 1
                if n != tree.size + 1:
                    self.found.fault(f"seals of {table.table}: number {tree.size + 1} is missing")
                if row.value(3) is None and self._removed(table, row.text(1), n):
                    self.found.erased += 1
                elif row.value(3) is None:
                    self.found.fault(f"{name}: it was sealed as number {n} and is not there")
                else:
                    self._seal(table, row, n, stored, name)
                tree.append(leaf_of(table.table, 0, n, [stored]))
                self._points.reached(table.table, 0, tree.size, tree.root(), self.found.fault)
        late = "" if table.since is None else f" AND {table.since} < now() - interval '{SEAL_WITHIN}'"
        if table.since is not None:
            query = f"SELECT {table.row} AS row FROM {table.table} AS t WHERE NOT EXISTS (SELECT 1 FROM seals AS s WHERE s.tree = $1"
            for one in await connection.fetch(f"{query} AND s.row = {table.row}){late} ORDER BY 1 LIMIT {NAMED}", table.table):
                self.found.fault(f"{table.table}, row {one['row']}: it was never sealed; it was changed, added, or no worker serves lane 0")

    def _removed(self, table: Sealed, name: str, n: int) -> bool:
        """Whether a seal says that its row was removed by an erasure."""
        whose = self._by_pseudonym.get(name.removeprefix(GONE).partition("-")[0])
        if whose is None or name != self._remains.seal(table.table, n, *whose):
            return False
        self.found.gone.add(whose)
        return True

    def _seal(self, table: Sealed, row: Row, n: int, stored: bytes, name: str) -> None:
        try:
            key = self._keys.of(row.raw(4, 6), default=self._ring.own)
        except KeyFault as fault:
            self.found.fault(f"keys.athlete_keys, the row that {name} needs: {fault}")
            return
        if key is None:
            self.found.erased += 1
            self.found.gone.add(_parts(row.raw(4, 6)))
        elif sealed_commitment(table, key, n, row, 6) != stored:
            self.found.fault(f"{name}: the row is not what was written")


class Under:
    """Rows that stand under the leaves of events, read alongside them."""

    def __init__(self, table: str, rows: AsyncIterator[list[Row]], partition: int, seq: int, found: Found) -> None:
        self._table = table
        self._rows = rows
        self._partition = partition
        self._seq = seq
        self._found = found
        self._batch: list[Row] = []
        self._at = 0
        self._ended = False

    async def of(self, place: Place) -> list[Row]:
        """The rows under this leaf. Those before it stand under no leaf at all, and are named."""
        under: list[Row] = []
        while True:
            while self._at < len(self._batch):
                row = self._batch[self._at]
                own = (row.number(self._partition), row.number(self._seq))
                if own > place:
                    return under
                self._at += 1
                if own == place:
                    under.append(row)
                else:
                    self._stray(own)
            if self._ended or not await self._more():
                return under

    async def rest(self) -> None:
        """What is left stands under no event."""
        while True:
            for row in self._batch[self._at :]:
                self._stray((row.number(self._partition), row.number(self._seq)))
            if self._ended or not await self._more():
                return

    def _stray(self, place: Place) -> None:
        self._found.fault(f"{self._table}, partition {place[0]}, seq {place[1]}: the row belongs to no event")

    async def _more(self) -> bool:
        self._batch, self._at = [], 0
        async for batch in self._rows:
            self._batch = batch
            return True
        self._ended = True
        return False


def _parts(athlete: bytes) -> tuple[str, str]:
    """Tenant and athlete out of the two columns, each with its length in front."""
    end = 4 + int.from_bytes(athlete[:4], "big")
    return athlete[4:end].decode(), athlete[end + 4 :].decode()


def _written(row: Row, end: int, sealed: int, envelope: Envelope, text: bool) -> bytes | None:
    """The columns up to `end` as they were written, with column `sealed` opened; None where it does not open."""
    stored = row.value(sealed)
    if stored is None or stored[:1] not in ((TEXT_MARK.encode(),) if text else MARKS):
        return row.raw(0, end)
    try:
        plain = envelope.open_text(stored.decode("ascii")).encode() if text else envelope.open(stored)
    except (KeyFault, UnicodeDecodeError):
        return None
    return b"".join((row.raw(0, sealed), pack(">i", len(plain)), plain, row.raw(sealed + 1, end)))


def _event_name(place: Place) -> str:
    return f"events, partition {place[0]}, seq {place[1]}"


def _outcome_name(place: Place, row: Row) -> str:
    return f"event_outcomes, partition {place[0]}, seq {place[1]}, n {row.number(4)}"


def _decision_name(row: Row) -> str:
    return f"decisions, course {row.text(1)}, seq {row.number(2)}, tenant {row.text(0)}"


async def _again(batches: list[list[Row]]) -> AsyncIterator[list[Row]]:
    for batch in batches:
        yield batch


def told(found: Found) -> Iterable[str]:
    """The faults, the first first."""
    yield from found.faults
    if found.more:
        yield f"… and {found.more} more"

"""Signs the trees of history as they grow, so that what was once signed can never be told otherwise.

Not part of the transaction that writes events: leaves are, and a tree is a function of its leaves. A checkpoint signed twice says the
same twice, so nothing here needs a lease.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.store import keys, trees
from services.decision.store.connection import Connection, borrowed
from services.decision.store.scan import Row, scan
from services.decision.store.sealed import SEALED, Sealed
from services.decision.store.trees import Grown
from shared.crash import point
from shared.locks import SEALS
from shared.proof import Checkpoint, Frontier, Keyring, ProofFault, Signer, commitment, event_salt, row_salt
from shared.stopping import told_to_stop

AT_ONCE: Final = 2_000
"""Rows of one table sealed in one transaction."""
OVERLAP: Final = timedelta(minutes=2)
"""No statement lasts longer than a minute, so a row that becomes visible late was written at most that long before."""

_log = structlog.get_logger("milepost.decision")


class Notary:
    """Checkpoints of some partitions; with `seals`, also the commitments and checkpoints of the tables that have no partition."""

    def __init__(self, engine: AsyncEngine, ring: Keyring, partitions: Sequence[int], every_s: float, seals: bool) -> None:
        self._engine = engine
        self._ring = ring
        self._signer = Signer(ring.signing_seed)
        self._partitions = partitions
        self._every_s = every_s
        self._sealed = SEALED if seals else ()
        self._edges: dict[tuple[str, int], Frontier] = {}
        self._since: dict[str, datetime] = {}

    async def run(self) -> None:
        """Until cancelled. While the database does not answer, history only grows less provable, and is signed later."""
        while not told_to_stop():
            try:
                await self.sign()
            except Exception as fault:
                _log.warning("history could not be signed", exc_info=fault)
                self._edges.clear()
            await asyncio.sleep(self._every_s)

    async def sign(self) -> int:
        """Seals what is new, and signs what has grown; the number of checkpoints signed. Raises `ProofFault` for a tree that is not the one
        that was signed before: such a tree is never signed again.
        """
        async with borrowed(self._engine) as connection:
            for table in self._sealed:
                while await self._seal(connection, table) == AT_ONCE:
                    pass
            grown = await trees.grown(connection, self._partitions, [one.table for one in self._sealed])
            for one in grown:
                await self._checkpoint(connection, one)
        return len(grown)

    async def _checkpoint(self, connection: Connection, tree: Grown) -> None:
        edge = self._edges.get((tree.tree, tree.partition))
        if edge is None or edge.size > tree.size:
            edge = await self._trusted(connection, tree)
        new = await trees.extend(connection, edge, tree.tree, tree.partition, tree.size)
        await trees.keep_blocks(connection, tree.tree, tree.partition, new)
        at = datetime.now(UTC)
        note = self._signer.note(Checkpoint(tree.tree, tree.partition, tree.size, edge.root(), signed_at(at)))
        point(14)
        await trees.sign(connection, tree.tree, tree.partition, tree.size, note, at)
        point(15)
        self._edges[tree.tree, tree.partition] = edge

    async def _trusted(self, connection: Connection, tree: Grown) -> Frontier:
        """The tree as it was last signed, from what the database has now."""
        edge, new = await trees.frontier(connection, tree.tree, tree.partition, tree.signed)
        if tree.signed:
            last = await trees.signed(connection, tree.tree, tree.partition, tree.signed)
            if last is None or self._signer.verifier.open(last.note).root != edge.root():
                raise ProofFault(f"{tree.tree}/{tree.partition} is not the tree that was signed at {tree.signed}: run `milepost verify`")
        await trees.keep_blocks(connection, tree.tree, tree.partition, new)
        return edge

    async def _seal(self, connection: Connection, table: Sealed) -> int:
        """Commits to rows that have no commitment yet; how many."""
        async with connection.transaction():
            # One sealer at a time: numbers are gapless.
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SEALS)
            found = [row async for batch in scan(connection, _unsealed(table, self._since.get(table.table))) for row in batch]
            if found:
                known = await self._keys(connection, {(row.text(1), row.text(2)) for row in found})
                last = int(await connection.fetchval("SELECT coalesce(max(n), 0) FROM seals WHERE tree = $1", table.table))
                made = [
                    sealed_commitment(table, known[row.text(1), row.text(2)], number, row) for number, row in enumerate(found, last + 1)
                ]
                await connection.execute(
                    "INSERT INTO seals (tree, n, row, commitment)"
                    " SELECT $1, $2 + o, r, c FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS n(r, c, o)",
                    table.table,
                    last,
                    [row.text(0) for row in found],
                    made,
                )
            now = await connection.fetchval("SELECT clock_timestamp()")
        if len(found) < AT_ONCE and table.since is not None:
            self._since[table.table] = now - OVERLAP
        return len(found)

    async def _keys(self, connection: Connection, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """The key of each athlete; where there is none (no athlete, or an erased one) the installation's."""
        wrapped = await keys.wrapped(connection, sorted(wanted))
        return {one: self._ring.own if (sealed := wrapped.get(one)) is None else self._ring.unwrap(sealed, *one) for one in wanted}


def signed_at(moment: datetime) -> str:
    """As a checkpoint says it: RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _unsealed(table: Sealed, since: datetime | None) -> str:
    newest = "" if since is None or table.since is None else f" AND {table.since} > '{since.isoformat()}'"
    return (
        f"{sealed_columns(table)} FROM {table.table} AS t WHERE NOT EXISTS (SELECT 1 FROM seals AS s WHERE s.tree = '{table.table}'"
        f" AND s.row = {table.row}){newest} ORDER BY {table.since or table.row}, {table.row} LIMIT {AT_ONCE}"
    )


def sealed_columns(table: Sealed) -> str:
    """`SELECT` of: what names the row, tenant, athlete, then the columns that are committed to."""
    return f"SELECT {table.row}, {table.tenant}, {table.athlete}, {', '.join(f't.{name}' for name in table.columns)}"


def sealed_commitment(table: Sealed, key: bytes, number: int, row: Row, first: int = 3) -> bytes:
    """What a row is committed to as, as leaf `number` of its table's tree; its columns begin at `first`."""
    salt = row_salt(event_salt(key, table.table, 0, number), b"s", 0)
    return commitment(salt, row.raw(first, first + len(table.columns)))

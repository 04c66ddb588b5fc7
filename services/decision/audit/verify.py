"""The whole database held against its commitments, trees and checkpoints: finds every changed, missing or added row, and names it.

Every process takes its share of the partitions, all in one snapshot. A whole stretch of leaves that was checked row by row before is
compared with what was proven of its bytes then; everything else, and every stretch that is not the same, is checked row by row.
"""

import hmac
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import asyncpg

from services.decision.audit.found import NAMED, Found, told
from services.decision.audit.keys import Keys
from services.decision.audit.leaves import Leaves
from services.decision.audit.points import Points
from services.decision.audit.stretches import BEHIND, NOT_YET, OTHER, Part, Plan, stretch_of
from services.decision.audit.walk import Head, Source, Walk
from services.decision.notary import sealed_columns
from services.decision.store import stretches
from services.decision.store.committing import CONFLICT_COLUMNS, CONFLICTS, EVENTS
from services.decision.store.connection import Connection
from services.decision.store.scan import scan
from services.decision.store.sealed import SEALED, Sealed
from shared.placing import PARTITIONS
from shared.proof import Frontier, Keyring, Signer
from shared.proof.stretches import STRETCH, stretch_code

__all__ = ["Found", "Share", "told"]

SEAL_WITHIN: Final = "10 minutes"
"""A row of a table without partitions is sealed with the next checkpoint; one that is older and has no seal was added behind our back."""

_CONFLICTS: Final = f"""SELECT {", ".join(CONFLICT_COLUMNS)}, commitment FROM event_conflicts
WHERE n IS NOT NULL ORDER BY partition, n"""


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
        leaves: int | None = STRETCH,
    ) -> None:
        """`url`: the database; or one open connection, inside whose transaction a small history is read into memory. `leaves`: of a proven
        stretch; None believes no proof and checks every row.
        """
        self._url = url
        self._ring = ring
        self._share = share
        self._of = of
        self._snapshot = snapshot
        self._witness = witness
        self._stretch = leaves
        self.found = Found()
        self._keys: Keys
        self._leaves: Leaves
        self._points = Points(Signer(ring.signing_seed).verifier, self._mine, self.found.fault)
        self._stack = AsyncExitStack()

    async def verify(self) -> Found:
        async with self._stack:
            main = await self._connect()
            self._keys = await Keys.load(main, self._ring)
            self._leaves = Leaves(self._ring, self._keys, self.found)
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
        beside = [await self._connect() for _ in range(2)] if isinstance(self._url, str) else []
        source = Source(main, beside)
        heads: dict[int, Head] = {row["partition"]: row for row in await main.fetch("SELECT partition, seq, unproven FROM partition_heads")}
        mine = [number for number in await stretches.present(main, PARTITIONS) if number % self._of == self._share]
        plan = Plan(STRETCH)
        witnessed = self._points.witnessed(self._witness)
        if self._stretch is not None:
            plan = await Plan.load(main, self._stretch, mine, heads, self._keys, witnessed)
        await self._points.load(main, self._share, self._of, plan.quick(), plan.leaves)
        for number in mine:
            walk = Walk(number, heads.get(number), self._leaves, self._points, self.found)
            for part in plan.parts(number):
                await self._part(source, walk, part, plan.leaves)
        lost = {number for number in heads if number % self._of == self._share and heads[number]["seq"]} - self._points.ended
        for number in sorted(lost):
            self.found.fault(f"events, partition {number}: rows 1 to {heads[number]['seq']} are missing")

    async def _part(self, source: Source, walk: Walk, part: Part, leaves: int) -> None:
        why = part.why
        if part.proof is not None and why is None:
            why = await self._compared(source, walk, part, leaves)
            if why is None:
                return
            asked = stretches.queries(part.proof.partition, part.begin, part.end)
            await self._points.take(scan(source.main, asked.checkpoints))
        count = await walk.over(source, part.begin, part.end)
        whole = max(count // leaves, part.proof is not None)
        if self._stretch is not None and whole:
            self.found.slow[why or NOT_YET] += whole

    async def _compared(self, source: Source, walk: Walk, part: Part, leaves: int) -> str | None:
        """Goes over a stretch whose bytes are those that were proven; else the reason why it did not."""
        stretch, proof, found = stretch_of(part, leaves), part.proof, self.found
        if not walk.sound:
            return BEHIND
        digests, counts = await source.hashed(stretches.queries(stretch.partition, stretch.begin, stretch.end))
        if proof is None or not hmac.compare_digest(
            stretch_code(self._ring.stretches, stretch, proof.erased, proof.root, digests), proof.code
        ):
            return OTHER
        walk.passed(stretch.end, leaves, proof.root)
        self._points.passed(EVENTS, stretch.partition, stretch.end, counts[3])
        found.events += counts[0]
        found.rows += sum(counts[:3])
        found.erased += proof.erased
        found.gone |= part.gone
        found.asked |= part.asked
        found.quick += 1
        return None

    async def _conflicts(self, connection: Connection) -> None:
        heads = {row["partition"]: row["conflicts"] for row in await connection.fetch("SELECT partition, conflicts FROM partition_heads")}
        tree, partition = Frontier(), -1
        async for batch in scan(connection, _CONFLICTS):
            for row in batch:
                at, n = row.number(7), row.number(8)
                if at != partition:
                    tree, partition = Frontier(), at
                if n != tree.size + 1:
                    self.found.fault(f"event_conflicts, partition {at}: the rows before n {n} are missing")
                tree.append(self._leaves.conflict(row, at, n))
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
                if row.number(0) != tree.size + 1:
                    self.found.fault(f"seals of {table.table}: number {tree.size + 1} is missing")
                tree.append(self._leaves.sealed(table, row))
                self._points.reached(table.table, 0, tree.size, tree.root(), self.found.fault)
        late = "" if table.since is None else f" AND {table.since} < now() - interval '{SEAL_WITHIN}'"
        if table.since is not None:
            query = f"SELECT {table.row} AS row FROM {table.table} AS t WHERE NOT EXISTS (SELECT 1 FROM seals AS s WHERE s.tree = $1"
            for one in await connection.fetch(f"{query} AND s.row = {table.row}){late} ORDER BY 1 LIMIT {NAMED}", table.table):
                self.found.fault(f"{table.table}, row {one['row']}: it was never sealed; it was changed, added, or no worker serves lane 0")

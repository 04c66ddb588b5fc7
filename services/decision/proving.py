"""Checks what was stored, stretch by stretch, soon after it was signed, and keeps a proof of each stretch that is what was written.

A stretch is full, is checked once row by row by the very code of `milepost verify`, and the bytes that were checked are what the proof
is about. So the proof of a stretch with a fault is never made; who runs the installation is told.
"""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from time import monotonic
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.audit.found import Found
from services.decision.audit.keys import Keys
from services.decision.audit.leaves import Leaves
from services.decision.audit.points import Points
from services.decision.audit.walk import Source, Walk
from services.decision.measures import STRETCHES as COUNTED
from services.decision.store import stretches, trees
from services.decision.store.committing import EVENTS
from services.decision.store.connection import Connection, borrowed
from services.decision.store.scan import scan
from shared.locks import STRETCHES
from shared.proof import Frontier, Keyring, NoteFault, ProofFault, Signer
from shared.proof.merkle import block_root
from shared.proof.stretches import STRETCH, Stretch, stretch_code
from shared.stopping import told_to_stop

AT_ONCE: Final = 64
"""Stretches that are looked up together."""
REST: Final = 9.0
"""How often the time that a stretch took passes before the next: live work gets nine tenths of the process at least. Even so, one process
proves more than it can decide."""
_HEAD: Final = "SELECT partition, seq, unproven FROM partition_heads WHERE partition = $1"

_log = structlog.get_logger("milepost.decision")


class Prover:
    """Proves the stretches of some partitions' events, each of `leaves` leaves."""

    def __init__(self, engine: AsyncEngine, ring: Keyring, partitions: Sequence[int], every_s: float, leaves: int = STRETCH) -> None:
        self._engine = engine
        self._ring = ring
        self._partitions = partitions
        self._every_s = every_s
        self._leaves = leaves
        self._refused: set[tuple[int, int]] = set()
        """(partition, number) of stretches with faults: looked at again when the process begins again."""

    async def run(self) -> None:
        """Until cancelled. While the database does not answer, verifying takes longer, and nothing else."""
        while not told_to_stop():
            try:
                await self.prove()
            except Exception as fault:
                _log.warning("stretches of history could not be proven; trying again", exc_info=fault)
            await asyncio.sleep(self._every_s)

    async def prove(self, rest: float = REST) -> int:
        """Proves every stretch that is full and signed and has no proof; how many. `rest`: pauses, in times of what a stretch took."""
        done = 0
        while not told_to_stop():
            async with borrowed(self._engine) as connection:
                wanted = await stretches.missing(connection, self._partitions, self._leaves, self._refused, AT_ONCE)
            for partition, number in wanted:
                begin = monotonic()
                done += await self._proven(Stretch(EVENTS, partition, number, self._leaves))
                await asyncio.sleep(rest * (monotonic() - begin))
            if not wanted:
                break
        return done

    async def _proven(self, stretch: Stretch) -> bool:
        async with borrowed(self._engine) as connection, connection.transaction():
            # Not in the middle of an erasure, which rewrites rows and removes the proofs of what it rewrites.
            await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", STRETCHES)
            check = Check(connection, self._ring, stretch)
            fault = await check.fault()
            if fault is None:
                await check.keep()
        place = {"partition": stretch.partition, "first": stretch.begin + 1, "last": stretch.end}
        if fault is None:
            COUNTED.labels("proven").inc()
            _log.debug("a stretch of history was proven", **place)
        else:
            self._refused.add((stretch.partition, stretch.number))
            COUNTED.labels("refused").inc()
            _log.error("a stretch of history is not what was written: run `milepost verify`", reason=fault, **place)
        return fault is None


class Check:
    """One stretch checked row by row, and the bytes of it that were."""

    def __init__(self, connection: Connection, ring: Keyring, stretch: Stretch) -> None:
        self._connection = connection
        self._ring = ring
        self._stretch = stretch
        self._verifier = Signer(ring.signing_seed).verifier
        self._streams = stretches.Streams(sha256(), sha256(), sha256(), sha256())
        self.found = Found()
        self.root = b""

    async def keep(self) -> None:
        """Keeps the proof, once there is no fault."""
        code = stretch_code(self._ring.stretches, self._stretch, self.found.erased, self.root, [one.digest() for one in self._streams])
        await stretches.keep(self._connection, self._stretch, self.found.erased, self.root, code)

    async def fault(self) -> str | None:
        """What keeps the stretch from being proven, without anything of what a row says; None when all of it is what was written."""
        place, found, connection = self._stretch, self.found, self._connection
        before, _ = await trees.frontier(connection, EVENTS, place.partition, place.begin)
        keys = await Keys.of_some(connection, self._ring, await stretches.athletes(connection, place))
        head = await connection.fetchrow(_HEAD, place.partition)
        asked = stretches.queries(place.partition, place.begin, place.end)
        points = Points(self._verifier, lambda tree, partition: True, found.fault)
        await points.take(scan(connection, asked.checkpoints, seen=self._streams.checkpoints.update))
        walk = Walk(place.partition, head, Leaves(self._ring, keys, found), points, found)
        walk.tree, walk.last = before, place.begin
        leaves: list[bytes] = []
        source = Source(connection, seen=[one.update for one in self._streams[:3]])
        await walk.over(source, place.begin, place.end, leaves.append)
        points.end(found.fault)
        if found.faulted:
            return f"faults: {found.faulted}"
        if len(leaves) != place.leaves:
            return f"{len(leaves)} of {place.leaves} rows are there"
        if found.unproven or found.gone - set(keys.gone.values()):
            return "rows of athletes who have no key, and whom nobody asked to erase"
        self.root = block_root(leaves)
        return await self._signed(walk.tree)

    async def _signed(self, tree: Frontier) -> str | None:
        """Whether the tree goes on to one that was signed: of an erased row nothing but the tree stands for its commitment."""
        place = self._stretch
        try:
            point = await trees.signed(self._connection, EVENTS, place.partition, place.end)
            if point is None:
                return "no checkpoint stands behind it"
            tree.extend(await trees.leaves(self._connection, EVENTS, place.partition, place.end, point.size))
            note = self._verifier.open(point.note)
        except (ProofFault, NoteFault) as fault:
            return str(fault)
        if (note.tree, note.partition, note.size, note.root) != (EVENTS, place.partition, point.size, tree.root()):
            return f"the tree is not the one that was signed at {point.size}"
        return None

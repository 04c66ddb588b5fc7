"""The partitions of one lane while this process owns them."""

import asyncio
import os
import secrets
import socket
from collections.abc import Sequence
from time import monotonic

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.store import leases
from services.decision.store.commit import Fenced
from services.decision.store.connection import borrowed
from services.decision.store.rows import Head, Writes
from shared.placing import PARTITIONS
from shared.stopping import told_to_stop

_log = structlog.get_logger("milepost.decision")


def partitions_of(lane: int, lanes: int) -> list[int]:
    """Every partition belongs to exactly one lane: its number modulo the number of lanes."""
    return [partition for partition in range(PARTITIONS) if partition % lanes == lane]


def new_owner() -> str:
    """A name that no other process has had: host, process id, chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"


def ended(owner: str) -> bool:
    """Whether the named process ran on this host and runs no more. Wrongly True at worst hands a partition over early, which is safe."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Lease:
    """Heads of the partitions owned, as the last committed transaction left them. `guard` is held by whoever writes heads."""

    def __init__(self, engine: AsyncEngine, partitions: Sequence[int], lease_s: float, owner: str | None = None) -> None:
        self.owner = owner or new_owner()
        self.partitions = list(partitions)
        self.heads: dict[int, Head] = {}
        self.guard = asyncio.Lock()
        self.read_to = 0
        """Last stream sequence up to which everything of these partitions is stored."""
        self._engine = engine
        self._lease_s = lease_s

    async def take(self) -> None:
        """Owns every partition of the lane, under a new epoch; waits for leases of the living to run out."""
        held: dict[int, Head] = {}
        why = "free"
        while len(held) < len(self.partitions):
            async with borrowed(self._engine) as connection:
                missing = [p for p in self.partitions if p not in held]
                bygone = [owner for owner in await leases.owners(connection, missing) if ended(owner)]
                for head in await leases.acquire(connection, missing, self.owner, self._lease_s, bygone):
                    held[head.partition] = head
                if bygone:
                    why = "owner ended"
                if len(held) < len(self.partitions):
                    why = "lease ran out"
                    await leases.renew(connection, list(held.values()), self._lease_s, 0)
            if len(held) < len(self.partitions):
                await asyncio.sleep(min(0.25, self._lease_s / 10))
        async with self.guard:
            self.heads = held
            # What this process stored stays stored, whoever owned the partitions in between.
            self.read_to = max(self.read_to, min(head.stream_seq for head in held.values()))
        measures.TAKEOVERS.labels(why).inc()
        _log.info("partitions taken", count=len(held), kind=why, stream_seq=self.read_to)

    async def keep(self) -> None:
        """Renews three times per lease until it is lost, which raises `Fenced`. While the database does not answer, goes on trying."""
        while not told_to_stop():
            begin = monotonic()
            try:
                async with borrowed(self._engine) as connection, self.guard:
                    read_to = self.read_to  # Moves on while the database works.
                    kept = await leases.renew(connection, list(self.heads.values()), self._lease_s, read_to)
                    if kept:
                        self.heads = {p: h._replace(stream_seq=max(h.stream_seq, read_to)) for p, h in self.heads.items()}
            except Exception as fault:
                # Safe to pass over: whoever takes over meanwhile raises the epoch, and this worker's next commit writes nothing.
                _log.warning("leases could not be renewed", exc_info=fault)
                kept = True
            if not kept:
                raise Fenced("a lease was taken over")
            await asyncio.sleep(max(0.05, self._lease_s / 3 - (monotonic() - begin)))

    def moved(self, writes: Writes) -> None:
        """After COMMIT: the heads are where the batch moved them."""
        self.heads.update({head.partition: head for head in writes.after})

    def passed(self, stream_seq: int) -> None:
        """Everything of these partitions up to here is stored."""
        self.read_to = max(self.read_to, stream_seq)

    async def give_back(self) -> None:
        async with borrowed(self._engine) as connection, self.guard:
            await leases.release(connection, list(self.heads.values()))

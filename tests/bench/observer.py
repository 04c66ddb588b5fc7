"""When decisions became visible: asks PostgreSQL every few milliseconds how far each partition's history goes.

A decision counts as stored at the first look that sees its partition's head behind its event; what is seen late is at most one look late,
so latencies are upper bounds by `LOOK_EVERY_S` and one query.
"""

import asyncio
from dataclasses import dataclass, field
from time import time

import asyncpg

from shared.settings import Settings
from tests.bench.histories import SOURCE

LOOK_EVERY_S = 0.003


def url(settings: Settings) -> str:
    return settings.database_url.replace("+asyncpg", "")


@dataclass
class Observer:
    """`async with Observer(settings) as seen`: `seen.looks` holds (when, partition, seq up to which history goes)."""

    settings: Settings
    looks: list[tuple[float, int, int]] = field(default_factory=list)
    heads: dict[int, int] = field(default_factory=dict)
    _looked: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __aenter__(self) -> "Observer":
        self._connection = await asyncpg.connect(url(self.settings))
        self.heads = await self._heads()
        self.begin = sum(self.heads.values())
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._connection.close()

    @property
    def stored(self) -> int:
        """Events that came into history since the beginning."""
        return sum(self.heads.values()) - self.begin

    async def reached(self, count: int, within_s: float) -> float:
        """Waits until `count` events came; when that was seen."""
        async with asyncio.timeout(within_s), self._looked:
            await self._looked.wait_for(lambda: self.stored >= count)
        return time()

    async def hold(self, ids: list[str], within_s: float) -> None:
        """Waits until history holds all of these events of the bench, whatever else came meanwhile."""
        query = "SELECT count(*) FROM events WHERE source = $1 AND id = ANY($2::text[])"
        connection = await asyncpg.connect(url(self.settings))
        async with asyncio.timeout(within_s), self._looked:
            while await connection.fetchval(query, SOURCE, ids) < len(ids):
                await self._looked.wait()
            # What history holds was not necessarily there yet when it was last looked at.
            await self._looked.wait()
        await connection.close()

    async def after(self, seconds: float) -> None:
        """Looks on for so long."""
        await asyncio.wait([self._task], timeout=seconds)

    async def stored_at(self) -> dict[str, float]:
        """Event id to the moment at which its partition's history was seen to hold it, with its decisions: one transaction."""
        found: dict[str, float] = {}
        reach: dict[int, list[tuple[int, float]]] = {}
        for when, partition, seq in self.looks:
            reach.setdefault(partition, []).append((seq, when))
        connection = await asyncpg.connect(url(self.settings))
        for partition, looks in reach.items():
            rows = await connection.fetch("SELECT seq, id FROM events WHERE partition = $1 ORDER BY seq", partition)
            at = 0
            for row in rows:
                while at < len(looks) and looks[at][0] < row["seq"]:
                    at += 1
                if at < len(looks):
                    found[row["id"]] = looks[at][1]
        await connection.close()
        return found

    async def _heads(self) -> dict[int, int]:
        return {row["partition"]: row["seq"] for row in await self._connection.fetch("SELECT partition, seq FROM partition_heads")}

    async def _look(self) -> None:
        while True:
            heads, when = await self._heads(), time()
            self.looks += [(when, partition, seq) for partition, seq in heads.items() if seq > self.heads.get(partition, 0)]
            self.heads = heads
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)

"""When a part of the stack can do its work: an HTTP service says so itself, a worker when it owns all its partitions."""

import socket
from collections.abc import Sequence
from typing import Protocol

import aiohttp
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.tables import partition_heads


class Probe(Protocol):
    async def __call__(self, pid: int) -> str:
        """Empty when the process `pid` is ready, else why it is not, in a few words."""


class HttpProbe:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, pid: int) -> str:
        try:
            async with self._session.get(f"{self._url}/readyz") as answer:
                return "" if answer.status == 200 else (await answer.text())[:300]
        except (aiohttp.ClientError, TimeoutError):
            return "no answer"


class Alive:
    """For a process that nobody waits for: what it is asked for waits for it."""

    async def __call__(self, pid: int) -> str:
        return ""


class LeaseProbe:
    """A worker has no port; it serves once it holds the lease of every partition of its lane."""

    def __init__(self, engine: AsyncEngine, partitions: Sequence[int]) -> None:
        self._engine = engine
        self._partitions = partitions

    async def __call__(self, pid: int) -> str:
        heads = partition_heads.c
        mine = heads.owner.startswith(f"{socket.gethostname()}:{pid}:", autoescape=True)
        query = select(func.count()).where(heads.partition.in_(self._partitions), mine, heads.lease_until > func.now())
        try:
            async with self._engine.connect() as connection:
                held = (await connection.execute(query)).scalar_one()
        except (SQLAlchemyError, OSError, TimeoutError):
            return "the database does not answer"
        return "" if held == len(self._partitions) else f"{held} of {len(self._partitions)} partitions taken"

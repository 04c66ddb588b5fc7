"""A verification of the whole database, spread over processes."""

import asyncio
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import asyncpg

from services.decision.audit.verify import Found, Share
from services.decision.store.connection import Connection
from shared.proof import Keyring
from shared.proof.stretches import STRETCH
from shared.settings import Settings


async def verify_database(settings: Settings, witness: Sequence[str] = (), processes: int = 0, leaves: int | None = STRETCH) -> Found:
    """Everything that history holds, in one snapshot. `witness`: checkpoints kept elsewhere. `processes`: 0 takes one per processor.
    `leaves`: of a proven stretch; None believes no proof and checks every row.

    Raises what the driver raises while the database does not answer.
    """
    url, secret = driver_url(settings), settings.secret_key_bytes
    count = processes or os.cpu_count() or 1
    if count == 1:
        return await Share(url, Keyring(secret), 0, 1, None, witness, leaves).verify()
    main: Connection = await asyncpg.connect(url, timeout=10)
    found = Found()
    try:
        await main.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = await main.fetchval("SELECT pg_export_snapshot()")
        # Spawned, not forked: this process may hold threads and connections. It takes one share itself, while the others still start.
        with ProcessPoolExecutor(count - 1, multiprocessing.get_context("spawn")) as pool:
            loop = asyncio.get_running_loop()
            others = [
                loop.run_in_executor(pool, _share, url, secret, share, count, snapshot, tuple(witness), leaves) for share in range(1, count)
            ]
            own = Share(url, Keyring(secret), 0, count, snapshot, witness, leaves).verify()
            for share in await asyncio.gather(own, *others):
                found.add(share)
        found.settle()
    finally:
        await main.close(timeout=5)
    return found


def _share(url: str, secret: bytes, share: int, of: int, snapshot: str, witness: Sequence[str], leaves: int | None) -> Found:
    return asyncio.run(Share(url, Keyring(secret), share, of, snapshot, witness, leaves).verify())


def driver_url(settings: Settings) -> str:
    """The database's address as the bare driver takes it."""
    return settings.database_url.replace("postgresql+asyncpg://", "postgresql://", 1)

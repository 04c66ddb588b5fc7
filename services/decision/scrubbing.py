"""After an erasure the database's files still hold old bytes: dead rows, indexes, statistics, the write-ahead log. This rewrites them."""

from typing import Final

import asyncpg

from migrations.grants import ERASABLE, REMOVABLE

TABLES: Final = (*ERASABLE, *REMOVABLE, "keys.athlete_keys", "keys.erasures", "pg_statistic")
"""Everything that held something of an athlete, and the samples that the planner takes of it."""


class NotScrubbed(Exception):
    """Old bytes may be left; the text says what is missing."""


async def scrub(owner_url: str) -> int:
    """Rewrites every table that an erasure touches, with its indexes, and leaves no old segment of the log; how many erasures that ends.

    `owner_url`: the role that owns the schema. Each table is locked while it is rewritten, and needs its own size of free disk.
    Raises `NotScrubbed`, and what the driver raises.
    """
    connection = await asyncpg.connect(owner_url.replace("+asyncpg", ""), timeout=10)
    try:
        if await connection.fetchval("SELECT current_setting('wal_recycle')") != "off":
            raise NotScrubbed("PostgreSQL uses old segments of its log again, with their bytes: set wal_recycle = off and reload it")
        erased = await connection.fetch("SELECT tenant, pseudonym FROM keys.erasures WHERE erased_at IS NOT NULL AND scrubbed_at IS NULL")
        # Statistics first: their own old rows are among what is rewritten.
        await connection.execute("ANALYZE", timeout=3600)
        for table in TABLES:
            await connection.execute(f"VACUUM (FULL) {table}", timeout=24 * 3600)
        for _ in range(2):
            # A checkpoint keeps the segment it stands in: the second removes that of the first.
            await connection.execute("SELECT pg_switch_wal()")
            await connection.execute("CHECKPOINT", timeout=3600)
        await connection.executemany(
            "UPDATE keys.erasures SET scrubbed_at = clock_timestamp() WHERE tenant = $1 AND pseudonym = $2", [tuple(row) for row in erased]
        )
    finally:
        await connection.close(timeout=5)
    return len(erased)

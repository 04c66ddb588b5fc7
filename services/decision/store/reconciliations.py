"""What was compared between bus and history, window by window, and how far that went."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from services.decision.store.connection import Connection

Content: TypeAlias = tuple[str, str, str, bytes]
"""(tenant, source, id, digest)."""


class Compared(NamedTuple):
    """One window of reception; digests are XORs of 32 bytes each."""

    begin: datetime
    bus: int
    bus_digest: bytes
    history: int
    history_digest: bytes
    missing: int


_KNOWN = """
SELECT n.tenant, n.source, n.id, n.digest FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS n(tenant, source, id, digest)
WHERE EXISTS (SELECT 1 FROM events AS e WHERE e.tenant = n.tenant AND e.source = n.source AND e.id = n.id AND e.digest = n.digest)
   OR EXISTS (SELECT 1 FROM event_conflicts AS c WHERE c.tenant = n.tenant AND c.source = n.source AND c.id = n.id AND c.digest = n.digest)
"""

_KEEP = """
INSERT INTO reconciliations AS r (begin, bus, bus_digest, history, history_digest, missing, compared_at)
SELECT b, n, d, h, g, m, clock_timestamp()
FROM unnest($1::timestamptz[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[]) AS x(b, n, d, h, g, m)
"""


async def known(connection: Connection, wanted: Sequence[Content]) -> set[Content]:
    """Those of these contents that history has, as an event or as a conflict."""
    rows = await connection.fetch(_KNOWN, *(list(column) for column in zip(*wanted, strict=True))) if wanted else []
    return {(row["tenant"], row["source"], row["id"], row["digest"]) for row in rows}


async def place(connection: Connection) -> int:
    """The stream sequence up to which everything was compared."""
    return int(await connection.fetchval("SELECT coalesce(max(stream_seq), 0) FROM reconciled"))


async def keep(connection: Connection, stream_seq: int, windows: Sequence[Compared]) -> None:
    """The comparison up to here. A window that was compared in parts has a row for each."""
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO reconciled (one, stream_seq) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET stream_seq = excluded.stream_seq",
            stream_seq,
        )
        if windows:
            await connection.execute(_KEEP, *(list(column) for column in zip(*windows, strict=True)))


async def compared(connection: Connection, limit: int) -> list[tuple[datetime, int, int, int, bool]]:
    """(begin, on the bus, in history, missing then, alike by digest) of the latest windows, the latest first."""
    rows = await connection.fetch(
        "SELECT begin, sum(bus)::bigint AS bus, sum(history)::bigint AS history, sum(missing)::bigint AS missing,"
        " bool_and(bus_digest = history_digest) AS alike FROM reconciliations GROUP BY begin ORDER BY begin DESC LIMIT $1",
        limit,
    )
    return [(row["begin"], row["bus"], row["history"], row["missing"], row["alike"]) for row in rows]

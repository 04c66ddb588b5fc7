"""What was compared between bus and history, window by window, and how far that went."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection
from shared.crash import point

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
SELECT e.tenant, e.source, e.id, e.athlete, e.digest FROM unnest($1::text[], $2::text[], $3::text[]) AS n(tenant, source, id)
JOIN events AS e ON e.tenant = n.tenant AND e.source = n.source AND e.id = n.id
UNION ALL
SELECT c.tenant, c.source, c.id, c.athlete, c.digest FROM unnest($1::text[], $2::text[], $3::text[]) AS n(tenant, source, id)
JOIN event_conflicts AS c ON c.tenant = n.tenant AND c.source = n.source AND c.id = n.id
"""

_KEEP = """
INSERT INTO reconciliations AS r (begin, bus, bus_digest, history, history_digest, missing, compared_at)
SELECT b, n, d, h, g, m, clock_timestamp()
FROM unnest($1::timestamptz[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bigint[]) AS x(b, n, d, h, g, m)
"""


async def known(connection: Connection, wanted: Sequence[Content]) -> set[Content]:
    """Those of these contents that history has, as an event or as a conflict. Its digests are keyed, but for rows from before they were."""
    if not wanted:
        return set()
    held: dict[tuple[str, str, str], list[tuple[str, bytes]]] = {}
    keys = [list(column) for column in zip(*{one[:3] for one in wanted}, strict=True)]
    for row in await connection.fetch(_KNOWN, *keys):
        held.setdefault((row["tenant"], row["source"], row["id"]), []).append((row["athlete"], row["digest"]))
    sealed = await envelopes(connection, ((key[0], athlete) for key, found in held.items() for athlete, _ in found))
    return {
        content
        for content in wanted
        for athlete, digest in held.get(content[:3], ())
        if digest in (content[3], sealed.of(content[0], athlete).digest(content[3]))
    }


async def place(connection: Connection) -> int:
    """The stream sequence up to which everything was compared."""
    return int(await connection.fetchval("SELECT coalesce(max(stream_seq), 0) FROM reconciled"))


async def keep(connection: Connection, stream_seq: int, windows: Sequence[Compared]) -> None:
    """The comparison up to here. A window that was compared in parts has a row for each."""
    point(41)
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO reconciled (one, stream_seq) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET stream_seq = excluded.stream_seq",
            stream_seq,
        )
        if windows:
            await connection.execute(_KEEP, *(list(column) for column in zip(*windows, strict=True)))
    point(42)


async def compared(connection: Connection, limit: int) -> list[tuple[datetime, int, int, int, bool]]:
    """(begin, on the bus, in history, missing then, alike by digest) of the latest windows, the latest first."""
    rows = await connection.fetch(
        "SELECT begin, sum(bus)::bigint AS bus, sum(history)::bigint AS history, sum(missing)::bigint AS missing,"
        " bool_and(bus_digest = history_digest) AS alike FROM reconciliations GROUP BY begin ORDER BY begin DESC LIMIT $1",
        limit,
    )
    return [(row["begin"], row["bus"], row["history"], row["missing"], row["alike"]) for row in rows]

"""What still has to leave for the bus, in the order it was committed per partition."""

from collections.abc import Sequence
from typing import NamedTuple

from services.decision.store.connection import Connection


class Waiting(NamedTuple):
    outbox: int
    partition: int
    tenant: str
    athlete: str
    body: bytes
    decision: bytes | None = None
    """The decision that the row tells of: history holds it, and the row only names it by `course` and `seq`."""


# The names are read once per row: they come from JSON, and a join on them would have them parsed for every comparison.
_WAITING = """
SELECT o.outbox, o.partition, o.tenant, o.athlete, o.body, d.body AS decision
FROM (
    SELECT *, CASE WHEN convert_from(body, 'UTF8')::json ->> 'kind' = 'decision' THEN convert_from(body, 'UTF8')::json END AS told
    FROM outbox WHERE partition = ANY($1::int[]) ORDER BY outbox LIMIT $2
) AS o
LEFT JOIN decisions AS d ON d.tenant = o.tenant AND d.course = o.told ->> 'course' AND d.seq = (o.told ->> 'seq')::bigint
ORDER BY o.outbox
"""


async def waiting(connection: Connection, partitions: Sequence[int], limit: int) -> list[Waiting]:
    """The first `limit` rows of these partitions. A partition has one writer with one transaction at a time, so no smaller number
    can appear later.
    """
    rows = await connection.fetch(_WAITING, list(partitions), limit)
    return [Waiting(*row) for row in rows]


async def forget(connection: Connection, published: Sequence[int]) -> None:
    """Removes rows that the bus has on disk. Not waited for on disk here: a row that comes back after a power failure is published
    again under the same number, which its readers know.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = off")
        await connection.execute("DELETE FROM outbox WHERE outbox = ANY($1::bigint[])", list(published))


async def length(connection: Connection) -> int:
    """How many rows wait."""
    return int(await connection.fetchval("SELECT count(*) FROM outbox"))

"""Who may write a partition: one owner at a time, told apart by an epoch that every write repeats.

The epoch alone protects history; the lease only keeps two live workers from taking partitions from each other in turns. So taking
over early is always safe, and a lapsed owner may go on for as long as nobody took over.
"""

from collections.abc import Sequence

from services.decision.store.connection import Connection, touched
from services.decision.store.rows import Head
from shared.crash import point
from shared.placing import PARTITIONS

# Rows are locked in partition order, so that two workers that want the same ones cannot wait for each other in a circle.
_ACQUIRE = """
WITH free AS (
    SELECT partition FROM partition_heads
    WHERE partition = ANY($1::int[])
      AND (owner IS NULL OR lease_until IS NULL OR lease_until < clock_timestamp() OR owner = ANY($3::text[]))
    ORDER BY partition FOR UPDATE
)
UPDATE partition_heads AS h
SET epoch = h.epoch + 1, owner = $2, lease_until = clock_timestamp() + make_interval(secs => $4)
FROM free WHERE h.partition = free.partition
RETURNING h.partition, h.epoch, h.stream_seq, h.seq
"""

_RENEW = """
UPDATE partition_heads AS h
SET lease_until = clock_timestamp() + make_interval(secs => $3), stream_seq = greatest(h.stream_seq, $4)
FROM unnest($1::int[], $2::bigint[]) AS mine(partition, epoch)
WHERE h.partition = mine.partition AND h.epoch = mine.epoch
"""

_RELEASE = """
UPDATE partition_heads AS h SET owner = NULL, lease_until = NULL
FROM unnest($1::int[], $2::bigint[]) AS mine(partition, epoch)
WHERE h.partition = mine.partition AND h.epoch = mine.epoch
"""


async def owners(connection: Connection, partitions: Sequence[int]) -> list[str]:
    """Who holds these partitions by a lease that has not run out."""
    rows = await connection.fetch(
        "SELECT DISTINCT owner FROM partition_heads"
        " WHERE partition = ANY($1::int[]) AND owner IS NOT NULL AND lease_until >= clock_timestamp() ORDER BY owner",
        list(partitions),
    )
    return [str(row["owner"]) for row in rows]


async def acquire(connection: Connection, partitions: Sequence[int], owner: str, lease_s: float, bygone: Sequence[str] = ()) -> list[Head]:
    """Takes every one of `partitions` that is free, under a new epoch, for `lease_s` seconds; returns their heads, by partition.

    Free is: never owned, lease run out, owned by `owner` itself, or by one of `bygone` (owners known to have ended).
    """
    point(8)
    rows = await connection.fetch(_ACQUIRE, list(partitions), owner, [owner, *bygone], lease_s)
    point(9)
    return sorted(Head(row["partition"], row["epoch"], row["stream_seq"], row["seq"]) for row in rows)


async def renew(connection: Connection, heads: Sequence[Head], lease_s: float, read_to: int) -> bool:
    """Prolongs the leases and moves idle partitions' checkpoints up to `read_to`, the last stream sequence of which everything is stored.

    False when any of them belongs to somebody else by now.
    """
    point(10)
    tag = await connection.execute(_RENEW, [h.partition for h in heads], [h.epoch for h in heads], lease_s, read_to)
    point(11)
    return touched(tag) == len(heads)


async def release(connection: Connection, heads: Sequence[Head]) -> None:
    """Gives the partitions back, so that a successor need not wait for the lease to run out."""
    point(12)
    await connection.execute(_RELEASE, [h.partition for h in heads], [h.epoch for h in heads])
    point(13)


async def unowned(connection: Connection) -> int:
    """How many of the partitions nobody serves now."""
    served = await connection.fetchval("SELECT count(*) FROM partition_heads WHERE owner IS NOT NULL AND lease_until >= clock_timestamp()")
    return PARTITIONS - int(served)


async def checkpoint(connection: Connection) -> int:
    """The greatest stream sequence that every partition has stored or passed."""
    return int(await connection.fetchval("SELECT coalesce(min(stream_seq), 0) FROM partition_heads"))

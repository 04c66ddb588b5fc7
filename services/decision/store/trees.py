"""The trees over history: their sizes, leaves, kept block roots and signed checkpoints.

A tree is named for its table: `events` and `conflicts` have one per partition, the tables of `sealed.SEALED` one each, as partition 0.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.decision.store.committing import CONFLICTS, EVENTS, conflict_leaf
from services.decision.store.connection import Connection
from services.decision.store.sealed import BY_NAME
from shared.proof import BLOCK, Frontier, Hashes, ProofFault, leaf_of
from shared.proof.merkle import block_root


class Grown(NamedTuple):
    """A tree that has no checkpoint at its size yet."""

    tree: str
    partition: int
    size: int
    signed: int
    """Size at the last checkpoint; 0 when there is none."""


_GROWN = """
WITH sizes(tree, partition, size) AS (
    SELECT 'events', partition, seq FROM partition_heads WHERE partition = ANY($1::int[])
    UNION ALL SELECT 'conflicts', partition, conflicts FROM partition_heads WHERE partition = ANY($1::int[])
    UNION ALL SELECT t, 0, coalesce((SELECT max(n) FROM seals WHERE tree = t), 0) FROM unnest($2::text[]) AS t
)
SELECT s.tree, s.partition, s.size, coalesce(c.size, 0) AS signed FROM sizes AS s LEFT JOIN LATERAL (
    SELECT size FROM checkpoints AS c WHERE c.tree = s.tree AND c.partition = s.partition ORDER BY size DESC LIMIT 1
) AS c ON true
WHERE s.size > coalesce(c.size, 0) ORDER BY s.tree, s.partition
"""


async def grown(connection: Connection, partitions: Sequence[int], sealed: Sequence[str]) -> list[Grown]:
    """Trees of these partitions, and of these tables, that grew since their last checkpoint."""
    return [Grown(*row) for row in await connection.fetch(_GROWN, list(partitions), list(sealed))]


async def leaves(connection: Connection, tree: str, partition: int, begin: int, end: int) -> list[bytes]:
    """The leaf hashes at places `begin` up to `end`, from 0. Raises `ProofFault` when some are missing."""
    if tree == EVENTS:
        rows = await connection.fetch(
            "SELECT seq, leaf FROM events WHERE partition = $1 AND seq > $2 AND seq <= $3 ORDER BY seq", partition, begin, end
        )
        found = [row["leaf"] or leaf_of(EVENTS, partition, row["seq"]) for row in rows]
    elif tree == CONFLICTS:
        rows = await connection.fetch(
            "SELECT n, commitment FROM event_conflicts WHERE partition = $1 AND n > $2 AND n <= $3 ORDER BY n", partition, begin, end
        )
        found = [conflict_leaf(partition, row["n"], row["commitment"]) for row in rows]
    elif tree in BY_NAME:
        rows = await connection.fetch("SELECT n, commitment FROM seals WHERE tree = $1 AND n > $2 AND n <= $3 ORDER BY n", tree, begin, end)
        found = [leaf_of(tree, 0, row["n"], [row["commitment"]]) for row in rows]
    else:
        raise ProofFault(f"there is no tree {tree}")
    if len(found) != end - begin:
        raise ProofFault(f"the tree {tree}/{partition} has {len(found)} of the leaves {begin} to {end - 1}")
    return found


async def blocks(connection: Connection, tree: str, partition: int, size: int) -> list[bytes]:
    """The kept roots of whole blocks from the first on, as far as there are any without a gap, at most those of `size` leaves."""
    rows = await connection.fetch(
        "SELECT block, root FROM tree_blocks WHERE tree = $1 AND partition = $2 AND block < $3 ORDER BY block",
        tree,
        partition,
        size // BLOCK,
    )
    return [row["root"] for place, row in enumerate(rows) if row["block"] == place]


async def frontier(connection: Connection, tree: str, partition: int, size: int) -> tuple[Frontier, list[tuple[int, bytes]]]:
    """The right edge of the tree at this size, and the roots of whole blocks that were not kept yet."""
    found = Frontier()
    for root in await blocks(connection, tree, partition, size):
        found.extend_block(root)
    return found, await extend(connection, found, tree, partition, size)


async def extend(connection: Connection, edge: Frontier, tree: str, partition: int, size: int) -> list[tuple[int, bytes]]:
    """Grows the edge to this size; the roots of the blocks that became whole, by their number."""
    new = []
    while edge.size < size:
        begin = edge.size - edge.size % BLOCK
        end = min(begin + BLOCK, size)
        found = await leaves(connection, tree, partition, begin, end)
        edge.extend(found[edge.size - begin :])
        if len(found) == BLOCK:
            new.append((begin // BLOCK, block_root(found)))
    return new


async def hashes(connection: Connection, tree: str, partition: int, size: int, *places: int) -> Hashes:
    """What a proof about these places in the tree of this size needs."""
    kept = await blocks(connection, tree, partition, size)
    # A block that was not kept yet is read leaf by leaf.
    needed = {*Hashes.needed(size, *places), *range(len(kept), -(-size // BLOCK))}
    found = {
        block: await leaves(connection, tree, partition, block * BLOCK, min(size, (block + 1) * BLOCK))
        for block in sorted(needed)
        if block * BLOCK < size
    }
    return Hashes(found, dict(enumerate(kept)) | {block: block_root(one) for block, one in found.items() if len(one) == BLOCK})


async def keep_blocks(connection: Connection, tree: str, partition: int, new: Sequence[tuple[int, bytes]]) -> None:
    if new:
        await connection.execute(
            "INSERT INTO tree_blocks (tree, partition, block, root) SELECT $1, $2, b, r FROM unnest($3::bigint[], $4::bytea[]) AS n(b, r)"
            " ON CONFLICT (tree, partition, block) DO UPDATE SET root = excluded.root",
            tree,
            partition,
            [block for block, _ in new],
            [root for _, root in new],
        )


async def sign(connection: Connection, tree: str, partition: int, size: int, note: str, at: datetime) -> None:
    """Keeps a checkpoint. One of the same size that somebody else signed meanwhile says the same."""
    await connection.execute(
        "INSERT INTO checkpoints (tree, partition, size, note, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        tree,
        partition,
        size,
        note,
        at,
    )


class Signed(NamedTuple):
    tree: str
    partition: int
    size: int
    note: str


async def signed(connection: Connection, tree: str, partition: int, least: int = 0) -> Signed | None:
    """The first checkpoint with at least this size; with 0, the latest."""
    order = "size" if least else "size DESC"
    row = await connection.fetchrow(
        f"SELECT tree, partition, size, note FROM checkpoints WHERE tree = $1 AND partition = $2 AND size >= $3 ORDER BY {order} LIMIT 1",
        tree,
        partition,
        least,
    )
    return Signed(*row) if row else None


async def latest(connection: Connection) -> list[Signed]:
    """The latest checkpoint of every tree."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (tree, partition) tree, partition, size, note FROM checkpoints ORDER BY tree, partition, size DESC"
    )
    return [Signed(*row) for row in rows]

"""Proofs out of the database: a leaf in the tree that a checkpoint signed, and that a tree is the beginning of a later one."""

import base64
from collections.abc import Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.notary import Notary
from services.decision.store import keys, trees
from services.decision.store.committing import EVENTS
from services.decision.store.connection import Connection, borrowed
from services.decision.store.trees import Signed
from shared.proof import EMPTY, Keyring, ProofFault
from shared.proof.merkle import consistency, inclusion

Record = dict[str, Any]


async def signed_up_to(engine: AsyncEngine, ring: Keyring, partition: int, size: int) -> Signed:
    """A checkpoint of the partition's events with at least this size; signed now when there is none yet."""
    async with borrowed(engine) as connection:
        found = await trees.signed(connection, EVENTS, partition)
    if found is None or found.size < size:
        await Notary(engine, ring, [partition], 1, seals=False).sign()
        async with borrowed(engine) as connection:
            found = await trees.signed(connection, EVENTS, partition)
    if found is None or found.size < size:
        raise ProofFault(f"partition {partition} has no {size} events")
    return found


async def include(connection: Connection, leaves: Iterable[Record], point: Signed) -> None:
    """Puts into each leaf its path to the root of the checkpoint."""
    found = list(leaves)
    known = await trees.hashes(connection, EVENTS, point.partition, point.size, *(leaf["seq"] - 1 for leaf in found))
    for leaf in found:
        leaf["path"] = [node.hex() for node in inclusion(known, leaf["seq"] - 1, point.size)]


async def grown_from(connection: Connection, tree: str, partition: int, first: int, second: int) -> Record:
    """That the tree of `first` leaves is the beginning of that of `second`."""
    known = await trees.hashes(connection, tree, partition, second, max(first - 1, 0))
    early, _ = await trees.frontier(connection, tree, partition, first)
    late, _ = await trees.frontier(connection, tree, partition, second)
    path = consistency(known, first, second)
    return {
        "tree": tree,
        "partition": partition,
        "first": {"size": first, "root": _text(early.root() if first else EMPTY)},
        "second": {"size": second, "root": _text(late.root() if second else EMPTY)},
        "path": [node.hex() for node in path],
    }


async def key_of(connection: Connection, ring: Keyring, tenant: str, athlete: str) -> bytes | None:
    """The athlete's key; None when it was destroyed or never made."""
    wrapped = (await keys.wrapped(connection, [(tenant, athlete)])).get((tenant, athlete))
    return None if wrapped is None else ring.unwrap(wrapped, tenant, athlete)


def _text(root: bytes) -> str:
    return base64.b64encode(root).decode()

"""What still has to leave for the bus, in the order it was committed per partition."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection


class Waiting(NamedTuple):
    outbox: int
    partition: int
    tenant: str
    athlete: str
    body: bytes
    decision: bytes | None = None
    """The decision that the row tells of: history holds it, and the row only names it by `course` and `seq`."""


NAMING = ("decision", "recommendation.expired")
"""Kinds of rows that name a decision."""

_WAITING = "SELECT outbox, partition, tenant, athlete, body FROM outbox WHERE partition = ANY($1::int[]) ORDER BY outbox LIMIT $2"

_DECISIONS = """
SELECT d.tenant, d.course, d.seq, d.body FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n(tenant, course, seq)
JOIN decisions AS d ON d.tenant = n.tenant AND d.course = n.course AND d.seq = n.seq
"""


async def waiting(connection: Connection, partitions: Sequence[int], limit: int) -> list[Waiting]:
    """The first `limit` rows of these partitions. A partition has one writer with one transaction at a time, so no smaller number
    can appear later.
    """
    found = [Waiting(*row) for row in await connection.fetch(_WAITING, list(partitions), limit)]
    sealed = await envelopes(connection, ((one.tenant, one.athlete) for one in found))
    found = [one._replace(body=sealed.body(one.tenant, one.athlete, one.body)) for one in found]
    told = [orjson.loads(one.body) for one in found]
    named = [
        (one.tenant, each.get("course"), each.get("seq")) if each.get("kind") in NAMING else None
        for one, each in zip(found, told, strict=True)
    ]
    wanted = [name for name in named if name is not None]
    if not wanted:
        return found
    rows = await connection.fetch(_DECISIONS, *(list(column) for column in zip(*wanted, strict=True)))
    decisions: dict[tuple[str, str, int] | None, bytes] = {(row["tenant"], row["course"], row["seq"]): row["body"] for row in rows}
    return [
        one if (made := decisions.get(name)) is None else one._replace(decision=sealed.body(one.tenant, one.athlete, made))
        for one, name in zip(found, named, strict=True)
    ]


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

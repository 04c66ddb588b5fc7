"""Ranges of a partition's history as they are read to be verified, and the kept proofs of whole stretches."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, Generic, NamedTuple, TypeVar

import asyncpg

from services.decision.store.committing import DECISION_COLUMNS, EVENT_COLUMNS, OUTCOME_COLUMNS
from services.decision.store.connection import Connection, touched
from services.decision.store.remains import ERASED
from shared.proof.stretches import Stretch

T = TypeVar("T")
Names = set[tuple[str, str]]
"""(tenant, athlete)."""
Standing = dict[tuple[int, int], Names]
"""By (partition, number of the stretch): some whose events stand in it."""

# Every column that is stored, in a fixed order, and rows in the order of the leaves: the very bytes are what a proof of a stretch is about.
_EVENTS: Final = f"SELECT {', '.join(EVENT_COLUMNS)}, commitment, leaf FROM events WHERE {{range}} ORDER BY seq"
_OUTCOMES: Final = f"SELECT {', '.join(OUTCOME_COLUMNS)}, commitment FROM event_outcomes WHERE {{range}} ORDER BY seq, n, source, id"
_DECISIONS: Final = (
    f'SELECT {", ".join(DECISION_COLUMNS)}, commitment FROM decisions WHERE {{range}} ORDER BY event_seq, course COLLATE "C", seq'
)
_CHECKPOINTS: Final = "SELECT tree, partition, size, note, created_at FROM checkpoints WHERE tree = 'events' AND {range} ORDER BY size"


class Streams(NamedTuple, Generic[T]):
    """One for each stream of a stretch."""

    events: T
    outcomes: T
    decisions: T
    checkpoints: T


def queries(partition: int, begin: int | None, end: int | None) -> Streams[str]:
    """What is stored of the partition's leaves `begin` + 1 to `end`; None: from before the first, to the last. Numbers stand in the text:
    a COPY takes no arguments.
    """

    def within(column: str) -> str:
        low = "" if begin is None else f" AND {column} > {begin}"
        return f"partition = {partition}{low}" + ("" if end is None else f" AND {column} <= {end}")

    return Streams(
        _EVENTS.format(range=within("seq")),
        _OUTCOMES.format(range=within("seq")),
        _DECISIONS.format(range=within("event_seq")),
        _CHECKPOINTS.format(range=within("size")),
    )


async def hashed(connection: Connection, query: str) -> tuple[bytes, int]:
    """SHA-256 of what COPY sends for a query, and how many rows that is; rows are never taken apart."""
    digest = sha256()

    async def take(data: bytes) -> None:
        digest.update(data)

    tag = await connection.copy_from_query(query, output=take, format="binary", timeout=None)
    return digest.digest(), touched(tag)


class Proof(NamedTuple):
    """As it is kept; `code` says whether to believe it."""

    partition: int
    number: int
    erased: int
    root: bytes
    code: bytes


async def proofs(connection: Connection, tree: str, leaves: int) -> list[Proof]:
    """All proofs of a tree's stretches of so many leaves, in the order of history."""
    rows = await connection.fetch(
        "SELECT partition, number, erased, root, mac FROM proven WHERE tree = $1 AND leaves = $2 ORDER BY partition, number", tree, leaves
    )
    return [Proof(*row) for row in rows]


async def keep(connection: Connection, stretch: Stretch, erased: int, root: bytes, code: bytes) -> None:
    await connection.execute(
        "INSERT INTO proven AS p (tree, partition, number, leaves, erased, root, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (tree, partition, number) DO UPDATE"
        " SET leaves = excluded.leaves, erased = excluded.erased, root = excluded.root, mac = excluded.mac",
        *stretch,
        erased,
        root,
        code,
    )


async def forget(connection: Connection, partitions: Sequence[int], seqs: Sequence[int]) -> None:
    """Removes the proofs of the stretches in which these leaves stand, which are about to change."""
    await connection.execute(
        "DELETE FROM proven AS p USING unnest($1::int[], $2::bigint[]) AS n(partition, seq)"
        " WHERE p.tree = 'events' AND p.partition = n.partition AND p.number = (n.seq - 1) / nullif(p.leaves, 0)",
        list(partitions),
        list(seqs),
    )


_MISSING: Final = """
SELECT h.partition, n.number FROM partition_heads AS h
CROSS JOIN LATERAL (
    SELECT size FROM checkpoints AS c WHERE c.tree = 'events' AND c.partition = h.partition ORDER BY size DESC LIMIT 1
) AS signed
CROSS JOIN LATERAL generate_series((h.unproven + $2 - 1) / $2, least(signed.size, h.seq) / $2 - 1) AS n(number)
WHERE h.partition = ANY($1::int[])
AND NOT EXISTS (SELECT 1 FROM proven AS p WHERE p.tree = 'events' AND p.partition = h.partition AND p.number = n.number AND p.leaves = $2)
AND NOT EXISTS (SELECT 1 FROM unnest($3::int[], $4::bigint[]) AS o(partition, number)
    WHERE o.partition = h.partition AND o.number = n.number)
LIMIT $5
"""


async def missing(
    connection: Connection, partitions: Sequence[int], leaves: int, but: Iterable[tuple[int, int]], most: int
) -> list[tuple[int, int]]:
    """(partition, number) of stretches that are full and signed and have no proof, without those of `but`; at most `most`."""
    left = list(but)
    rows = await connection.fetch(
        _MISSING, list(partitions), leaves, [partition for partition, _ in left], [number for _, number in left], most
    )
    return [(row["partition"], row["number"]) for row in rows]


async def present(connection: Connection, partitions: int) -> list[int]:
    """Every partition of which there is any row, also one that cannot be; `partitions`: how many there can be."""
    tables = ("events", "event_outcomes", "decisions")
    some = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE partition = p)" for table in tables)
    other = " ".join(f"UNION SELECT partition FROM {table} WHERE partition < 0 OR partition >= {partitions}" for table in tables)
    rows = await connection.fetch(f"SELECT p FROM generate_series(0, {partitions - 1}) AS p WHERE {some} {other} ORDER BY 1")
    return [row["p"] for row in rows]


async def ends(connection: Connection, partitions: Sequence[int]) -> dict[int, int]:
    """The greatest sequence of each partition."""
    rows = await connection.fetch(
        "SELECT p, (SELECT max(seq) FROM events WHERE partition = p) AS seq FROM unnest($1::int[]) AS p", list(partitions)
    )
    return {row["p"]: row["seq"] or 0 for row in rows}


async def before_the_first(connection: Connection, partitions: Sequence[int]) -> set[int]:
    """Partitions in which a row stands in front of the first leaf, where none can be."""
    places = (("events", "seq"), ("event_outcomes", "seq"), ("decisions", "event_seq"))
    union = " UNION ".join(f"SELECT partition FROM {table} WHERE partition = ANY($1::int[]) AND {column} < 1" for table, column in places)
    return {row["partition"] for row in await connection.fetch(union, list(partitions))}


_KEYLESS: Final = """
SELECT DISTINCT e.tenant, e.athlete, e.partition, (e.seq - 1) / $1 AS number FROM events AS e
WHERE e.partition = ANY($2::int[]) AND NOT EXISTS (
    SELECT 1 FROM keys.athlete_keys AS k WHERE k.tenant = e.tenant AND k.athlete = e.athlete AND k.wrapped IS NOT NULL
)
"""
_OF: Final = """
SELECT DISTINCT e.tenant, e.athlete, e.partition, (e.seq - 1) / $1 AS number FROM unnest($2::text[], $3::text[]) AS n(tenant, athlete)
JOIN events AS e ON e.tenant = n.tenant AND e.athlete = n.athlete
"""


async def athletes(connection: Connection, stretch: Stretch) -> list[tuple[str, str]]:
    """Whose events stand in the stretch."""
    query = "SELECT DISTINCT tenant, athlete FROM events WHERE partition = $1 AND seq > $2 AND seq <= $3"
    return [(row["tenant"], row["athlete"]) for row in await connection.fetch(query, stretch.partition, stretch.begin, stretch.end)]


async def keyless(connection: Connection, leaves: int, partitions: Sequence[int]) -> Standing:
    """Whose events stand in which stretch of these partitions without that they have a living key."""
    return _by_stretch(await connection.fetch(_KEYLESS, leaves, list(partitions)))


async def standing_of(connection: Connection, leaves: int, names: Iterable[tuple[str, str]], asking: bool = False) -> Standing:
    """Which of `names` have an event in which stretch; `asking`: one that asks for an erasure."""
    known = list(names)
    if not known:
        return {}
    query = f"{_OF} WHERE e.type = '{ERASED}'" if asking else _OF
    return _by_stretch(await connection.fetch(query, leaves, [one[0] for one in known], [one[1] for one in known]))


def _by_stretch(rows: Iterable[asyncpg.Record]) -> Standing:
    found: Standing = {}
    for row in rows:
        found.setdefault((row["partition"], row["number"]), set()).add((row["tenant"], row["athlete"]))
    return found

"""The events of packs in PostgreSQL, append-only, numbered without gaps per scope and pack: two writers at once cannot both be next.

The scope is a tenant, or `SHARED` for the packs that every tenant has.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import orjson

from services.decision.lifecycle.states import PackEvent
from services.decision.store.connection import Connection

SHARED: Final = ""


class Taken(Exception):
    """Somebody else wrote the next event of this pack first; nothing was written."""


class Source(NamedTuple):
    """A pack as written: the YAML bytes of the pack, and of each floor it included then."""

    pack: bytes
    floors: tuple[bytes, ...]


class Recorded(NamedTuple):
    scope: str
    pack: str
    seq: int
    event: PackEvent


_COLUMNS: Final = "scope, pack, seq, kind, actor, role, hash, at, body"


async def events_of(connection: Connection, scope: str, pack: str) -> list[PackEvent]:
    """Everything that happened to the pack, in order; empty for one that was never drafted in this scope."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM pack_events WHERE scope = $1 AND pack = $2 ORDER BY seq", scope, pack)
    return [_event(row) for row in rows]


async def events(connection: Connection, scope: str | None = None) -> list[Recorded]:
    """Everything that happened to every pack, or to those of one scope, by scope, pack and order."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM pack_events WHERE $1::text IS NULL OR scope = $1 ORDER BY scope, pack, seq", scope
    )
    return [Recorded(row["scope"], row["pack"], row["seq"], _event(row)) for row in rows]


async def length(connection: Connection) -> int:
    """How many events there are; it never falls, so another number means that something happened."""
    return int(await connection.fetchval("SELECT count(*) FROM pack_events"))


async def append(connection: Connection, scope: str, pack: str, seq: int, event: PackEvent, source: Source | None = None) -> None:
    """Writes event number `seq`. Raises `Taken` when there is one already."""
    floors = None if source is None else list(source.floors)
    try:
        # A transaction around this one goes on when the number is taken.
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO pack_events (scope, pack, seq, kind, actor, role, hash, at, body, source, floors)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                scope,
                pack,
                seq,
                event.kind,
                event.actor,
                event.role,
                event.hash,
                event.at,
                orjson.dumps(dict(event.body)),
                None if source is None else source.pack,
                floors,
            )
    except asyncpg.UniqueViolationError:
        raise Taken(f"{pack}: event {seq}") from None


async def record_shipped(connection: Connection, pack: str, hash: str, source: Source) -> None:
    """Keeps the text of a pack that came with this release, once."""
    await connection.execute(
        "INSERT INTO pack_events (scope, pack, seq, kind, actor, role, hash, at, body, source, floors)"
        " SELECT $1, $2, coalesce((SELECT max(seq) FROM pack_events WHERE scope = $1 AND pack = $2), 0) + 1,"
        " 'shipped', 'milepost', 'release', $3, clock_timestamp(), '{}', $4, $5"
        " WHERE NOT EXISTS (SELECT 1 FROM pack_events WHERE scope = $1 AND pack = $2 AND hash = $3) ON CONFLICT DO NOTHING",
        SHARED,
        pack,
        hash,
        source.pack,
        list(source.floors),
    )


async def source_of(connection: Connection, scope: str, pack: str, hash: str) -> Source | None:
    """The newest text with this content, as it was drafted."""
    row = await connection.fetchrow(
        "SELECT source, floors FROM pack_events WHERE scope = $1 AND pack = $2 AND hash = $3 AND source IS NOT NULL"
        " ORDER BY seq DESC LIMIT 1",
        scope,
        pack,
        hash,
    )
    return None if row is None else Source(row["source"], tuple(row["floors"]))


async def cases_of(connection: Connection, scope: str, pack: str, hash: str) -> str | None:
    """The recorded cases that were drafted with this content last; None where there were none."""
    row = await connection.fetchrow(
        "SELECT body FROM pack_events WHERE scope = $1 AND pack = $2 AND hash = $3 AND kind = 'drafted' ORDER BY seq DESC LIMIT 1",
        scope,
        pack,
        hash,
    )
    found: str | None = None if row is None else orjson.loads(row["body"]).get("cases")
    return found


async def sources(connection: Connection, wanted: Sequence[tuple[str, str, str]]) -> dict[str, Source]:
    """The texts of (scope, pack, hash), by hash."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (e.hash) e.hash, e.source, e.floors FROM unnest($1::text[], $2::text[], $3::text[]) AS w(scope, pack, hash)"
        " JOIN pack_events AS e ON e.scope = w.scope AND e.pack = w.pack AND e.hash = w.hash AND e.source IS NOT NULL"
        " ORDER BY e.hash, e.seq",
        [scope for scope, _, _ in wanted],
        [pack for _, pack, _ in wanted],
        [hash for _, _, hash in wanted],
    )
    return {row["hash"]: Source(row["source"], tuple(row["floors"])) for row in rows}


async def heads(connection: Connection) -> dict[str, int]:
    """The last sequence of history in every partition that has any."""
    rows = await connection.fetch("SELECT partition, seq FROM partition_heads WHERE seq > 0")
    return {str(row["partition"]): row["seq"] for row in rows}


def _event(row: "asyncpg.Record") -> PackEvent:
    at: datetime = row["at"]
    return PackEvent(row["kind"], row["actor"], row["role"], row["hash"], at, orjson.loads(row["body"]))

"""Whom history was asked to forget, and how far that is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.decision.store.connection import Connection
from services.decision.store.remains import ERASED, GONE

_LEFT: Final = f"^{GONE}[0-9a-f]{{32}}$"
"""The names that erasures leave. An athlete may well be called `erased-` and something else."""
_COLUMNS = "tenant, pseudonym, partition, event, requested_at, erased_at, scrubbed_at, bus_seq"


class Erasure(NamedTuple):
    """`event` asks for it; `bus_seq`: up to where the bus was cleared."""

    tenant: str
    pseudonym: str
    partition: int
    event: bytes
    requested_at: datetime
    erased_at: datetime | None
    scrubbed_at: datetime | None
    bus_seq: int

    @property
    def state(self) -> str:
        """requested | erased | scrubbed"""
        return "scrubbed" if self.scrubbed_at else "erased" if self.erased_at else "requested"


async def pseudonyms(connection: Connection) -> list[str]:
    """Of everybody who was or is to be erased."""
    return [row["pseudonym"] for row in await connection.fetch("SELECT pseudonym FROM keys.erasures")]


async def of(connection: Connection, tenant: str, pseudonym: str) -> Erasure | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM keys.erasures WHERE tenant = $1 AND pseudonym = $2", tenant, pseudonym)
    return Erasure(*row) if row else None


async def every(connection: Connection) -> list[Erasure]:
    """All, in the order they were asked for."""
    return [Erasure(*row) for row in await connection.fetch(f"SELECT {_COLUMNS} FROM keys.erasures ORDER BY requested_at, pseudonym")]


async def keep(connection: Connection, erasure: Erasure) -> None:
    """Takes one from a list kept elsewhere; one that is known stays as it is."""
    await connection.execute(
        f"INSERT INTO keys.erasures ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, NULL, 0) ON CONFLICT DO NOTHING", *erasure[:6]
    )


async def waiting(connection: Connection) -> list[Erasure]:
    """Those still to be carried out, and those of whom something came on the bus since it was cleared.

    Only what history asks for: the services may write the list, and a row of it alone must destroy nobody.
    """
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM keys.erasures AS e WHERE (erased_at IS NULL OR EXISTS (SELECT 1 FROM events AS v"
        " WHERE v.tenant = e.tenant AND v.athlete = e.pseudonym AND v.stream_seq > e.bus_seq))"
        " AND EXISTS (SELECT 1 FROM events AS v WHERE v.tenant = e.tenant AND v.source = 'urn:milepost:erasures'"
        f" AND v.id = 'erasure-' || e.pseudonym AND v.type = '{ERASED}') ORDER BY requested_at, pseudonym"
    )
    return [Erasure(*row) for row in rows]


async def in_history(connection: Connection) -> set[tuple[str, str]]:
    """(tenant, pseudonym) of the erasures whose event history holds."""
    rows = await connection.fetch(
        "SELECT e.tenant, e.pseudonym FROM keys.erasures AS e JOIN events AS v ON v.tenant = e.tenant"
        " AND v.source = 'urn:milepost:erasures' AND v.id = 'erasure-' || e.pseudonym"
    )
    return {(row["tenant"], row["pseudonym"]) for row in rows}


async def named_in_keys(connection: Connection, tenant: str) -> list[str]:
    """Athletes of the tenant who have a key, by name."""
    rows = await connection.fetch("SELECT athlete FROM keys.athlete_keys WHERE tenant = $1 AND athlete !~ $2", tenant, _LEFT)
    return [row["athlete"] for row in rows]


_HOLDING = (
    *("events", "event_conflicts", "decisions", "courses", "timers", "outbox", "notices", "escalations", "event_terms"),
    *("backtest_differences", "shadow_decisions", "replay_differences", "keys.athlete_keys"),
)


async def named_anywhere(connection: Connection) -> list[tuple[str, str]]:
    """(tenant, athlete) of everybody whom any table names. Reads them all."""
    found: set[tuple[str, str]] = set()
    for table in _HOLDING:
        rows = await connection.fetch(f"SELECT DISTINCT tenant, athlete FROM {table} WHERE athlete !~ $1", _LEFT, timeout=3600)
        found |= {(row["tenant"], row["athlete"]) for row in rows}
    return sorted(found)


async def asked_again(connection: Connection, missing: Sequence[Erasure]) -> None:
    """Their events are on the bus once more: until history has them again, they count as asked for and not yet carried out."""
    await connection.execute(
        "UPDATE keys.erasures AS e SET erased_at = NULL, scrubbed_at = NULL FROM unnest($1::text[], $2::text[]) AS n(tenant, pseudonym)"
        " WHERE e.tenant = n.tenant AND e.pseudonym = n.pseudonym",
        [one.tenant for one in missing],
        [one.pseudonym for one in missing],
    )

"""Whom history was asked to forget, and how far that is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from services.decision.store.connection import Connection
from services.decision.store.remains import ERASED, GONE, LATE
from shared.locks import ERASING, LEAD

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


async def asked_for(connection: Connection, tenant: str) -> set[str]:
    """Pseudonyms of those who are still to be erased."""
    rows = await connection.fetch("SELECT pseudonym FROM keys.erasures WHERE tenant = $1 AND erased_at IS NULL", tenant)
    return {row["pseudonym"] for row in rows}


async def of(connection: Connection, tenant: str, pseudonym: str) -> Erasure | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM keys.erasures WHERE tenant = $1 AND pseudonym = $2", tenant, pseudonym)
    return Erasure(*row) if row else None


async def every(connection: Connection) -> list[Erasure]:
    """All, in the order they were asked for."""
    return [Erasure(*row) for row in await connection.fetch(f"SELECT {_COLUMNS} FROM keys.erasures ORDER BY requested_at, pseudonym")]


async def keep_out(connection: Connection) -> None:
    """Until the transaction ends no rows are removed; who would keep what was read of somebody before looks now whether they are there."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", ERASING)


async def keep(connection: Connection, erasure: Erasure) -> None:
    """Takes one from a list kept elsewhere; one that is known stays as it is."""
    await connection.execute(
        f"INSERT INTO keys.erasures ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, NULL, 0) ON CONFLICT DO NOTHING", *erasure[:6]
    )


# The services may write the list, and a row of it alone must destroy nobody.
_ASKED_FOR: Final = (
    "EXISTS (SELECT 1 FROM events AS a WHERE a.tenant = e.tenant AND a.source = 'urn:milepost:erasures'"
    f" AND a.id = 'erasure-' || e.pseudonym AND a.type = '{ERASED}')"
)
# Both cost what is new, however many were carried out before: each walks an index that holds nothing else.
WAITING: Final = f"SELECT {_COLUMNS} FROM keys.erasures AS e WHERE e.erased_at IS NULL AND {_ASKED_FOR} ORDER BY requested_at, pseudonym"
LATE_SINCE: Final = f"""
SELECT DISTINCT {", ".join(f"e.{name}" for name in _COLUMNS.split(", "))}
FROM unnest($1::int[], $2::bigint[]) AS s(partition, seq)
CROSS JOIN LATERAL (
    SELECT v.tenant, v.athlete, v.stream_seq FROM events AS v
    WHERE v.partition = s.partition AND v.seq > s.seq AND v.source = '{LATE}' OFFSET 0
) AS l
JOIN keys.erasures AS e ON e.tenant = l.tenant AND e.pseudonym = l.athlete AND e.bus_seq < l.stream_seq
WHERE e.erased_at IS NOT NULL AND {_ASKED_FOR}
"""


async def waiting(connection: Connection) -> list[Erasure]:
    """Those still to be carried out, in the order they were asked for; only what history asks for."""
    return [Erasure(*row) for row in await connection.fetch(WAITING)]


async def lengths(connection: Connection) -> dict[int, int]:
    """How long each partition's history is."""
    return {row["partition"]: row["seq"] for row in await connection.fetch("SELECT partition, seq FROM partition_heads")}


async def late(connection: Connection, since: Mapping[int, int]) -> list[Erasure]:
    """Those carried out of whom something came on the bus after it was cleared, and into history behind `since` (partition to sequence)."""
    return [Erasure(*row) for row in await connection.fetch(LATE_SINCE, list(since), list(since.values()))]


class Unscrubbed(NamedTuple):
    """Erasures whose old bytes may still be in the database's files: how many, and when the first was carried out."""

    number: int
    since: datetime | None


async def unscrubbed(connection: Connection) -> Unscrubbed:
    row = await connection.fetchrow(
        "SELECT count(*), min(erased_at) FROM keys.erasures WHERE scrubbed_at IS NULL AND erased_at IS NOT NULL"
    )
    assert row is not None, "an aggregate over no rows is one row"
    return Unscrubbed(*row)


async def told_up_to(connection: Connection) -> int:
    """The stream sequence of DECISIONS up to which notify has told everything; 0 when it never read."""
    return int(await connection.fetchval("SELECT coalesce(max(stream_seq), 0) FROM notice_reading"))


async def somebody_tells(connection: Connection) -> bool:
    """Whether a process of notify holds the lead: no other reads DECISIONS. It ends with the process."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid::bigint = $1"
            " AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            LEAD,
        )
    )


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


# From one name to the next along the index: what it costs is how many athletes there are, not how many events.
_IN_HISTORY: Final = """
WITH RECURSIVE named AS (
    (SELECT athlete FROM events WHERE tenant = $1 ORDER BY athlete LIMIT 1)
    UNION ALL
    SELECT (SELECT e.athlete FROM events AS e WHERE e.tenant = $1 AND e.athlete > n.athlete ORDER BY e.athlete LIMIT 1)
    FROM named AS n WHERE n.athlete IS NOT NULL
)
SELECT athlete FROM named WHERE athlete !~ $2
"""


async def named_in_history(connection: Connection, tenant: str) -> list[str]:
    """Athletes of the tenant who have an event, by name: those too who had their last before there were keys."""
    return [row["athlete"] for row in await connection.fetch(_IN_HISTORY, tenant, _LEFT)]


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

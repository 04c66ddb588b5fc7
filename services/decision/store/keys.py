"""The wrapped keys of athletes."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from services.decision.store.connection import Connection, touched
from services.decision.store.rows import KeyRow

AthleteKey: TypeAlias = tuple[str, str]


async def wrapped(connection: Connection, athletes: Iterable[AthleteKey]) -> dict[AthleteKey, bytes | None]:
    """The wrapped key of each athlete that has one; None where it was destroyed."""
    wanted = list(athletes)
    rows = await connection.fetch(
        "SELECT k.tenant, k.athlete, k.wrapped FROM unnest($1::text[], $2::text[]) AS n(tenant, athlete)"
        " JOIN keys.athlete_keys AS k ON k.tenant = n.tenant AND k.athlete = n.athlete",
        [one[0] for one in wanted],
        [one[1] for one in wanted],
    )
    return {(row["tenant"], row["athlete"]): row["wrapped"] for row in rows}


async def add(connection: Connection, rows: Sequence[KeyRow]) -> bool:
    """False when one of the athletes has a key by now; then the transaction must not go on."""
    tag = await connection.execute(
        "INSERT INTO keys.athlete_keys (tenant, athlete, wrapped, created_at)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::timestamptz[]) ON CONFLICT DO NOTHING",
        *(list(column) for column in zip(*rows, strict=True)),
    )
    return touched(tag) == len(rows)

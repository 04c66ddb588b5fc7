"""The schedule: when time itself will matter to a course."""

from collections.abc import Sequence

from services.decision.store.connection import Connection
from services.decision.store.rows import TimerRow


async def due(connection: Connection, partitions: Sequence[int], limit: int) -> list[TimerRow]:
    """Timers of these partitions whose instant has passed by the database's clock, earliest first, at most `limit`."""
    rows = await connection.fetch(
        "SELECT tenant, course, kind, athlete, partition, due FROM timers"
        " WHERE due <= clock_timestamp() AND partition = ANY($1::int[]) ORDER BY due, tenant, course, kind LIMIT $2",
        list(partitions),
        limit,
    )
    return [TimerRow(*row) for row in rows]

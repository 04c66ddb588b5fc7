"""The schedule: when time itself will matter to a course."""

from collections.abc import Sequence
from typing import Final

from services.decision.store.connection import Connection
from services.decision.store.rows import TimerRow

QUIET_S: Final = 30
"""A moment that had passed before the athlete was last heard of waits until nothing was heard for so long: a history that is sent after the
fact would else be answered with breaks and missing reports that its next events fill."""


async def due(connection: Connection, partitions: Sequence[int], limit: int) -> list[TimerRow]:
    """Timers of these partitions whose instant has passed by the database's clock, earliest first, at most `limit`.

    Those that had passed before ingest last received something of the athlete come once it has been quiet for `QUIET_S` seconds.
    """
    rows = await connection.fetch(
        "SELECT t.tenant, t.course, t.kind, t.athlete, t.partition, t.due FROM timers t LEFT JOIN LATERAL"
        " (SELECT e.recorded_at AS at FROM events e WHERE e.tenant = t.tenant AND e.athlete = t.athlete AND e.partition = t.partition"
        " AND e.stream_seq IS NOT NULL ORDER BY e.seq DESC LIMIT 1) heard ON true"
        " WHERE t.due <= clock_timestamp() AND t.partition = ANY($1::int[])"
        " AND (heard.at IS NULL OR t.due > heard.at OR heard.at <= clock_timestamp() - make_interval(secs => $2))"
        " ORDER BY t.due, t.tenant, t.course, t.kind LIMIT $3",
        list(partitions),
        float(QUIET_S),
        limit,
    )
    return [TimerRow(*row) for row in rows]

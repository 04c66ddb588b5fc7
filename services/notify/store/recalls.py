"""The advances that courses were last told and no clinician accepted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from services.notify.notices import ADVICE_TYPES, Course
from services.notify.store import courses
from services.notify.store.connection import Connection

_TOLD: Final = """
SELECT n.* FROM course_notices c CROSS JOIN LATERAL (
    SELECT o.course, o.id, o.outbox, o.body,
        (SELECT array_agg(s.type) FROM notices s WHERE s.outbox = o.outbox AND s.tenant = c.tenant) AS types
    FROM notices o WHERE o.tenant = c.tenant AND o.course = c.course AND o.seq = c.told_seq AND o.type = ANY($2::text[])
    ORDER BY o.position LIMIT 1
) n
WHERE c.tenant = $1 AND c.told -> 'advice' ->> 'action' = 'advance' AND NOT (c.told ->> 'released')::boolean
ORDER BY n.course
"""


@dataclass(frozen=True)
class ToldAdvance:
    """The notice that told of an advance, its record, the types under its outbox number, and where telling its course stands."""

    course: str
    notice: str
    outbox: int | None
    types: Sequence[str]
    record: dict[str, Any]
    stands: Course


async def alone(connection: Connection) -> None:
    """Waits until nobody else tells a course, and keeps it so until the transaction ends. To be called before anything else is locked.

    Whoever tells waits behind it meanwhile, so it gives up after 5 s, as a database that does not answer.
    """
    await connection.execute("SET LOCAL lock_timeout = '5s'")
    await connection.execute("LOCK TABLE course_notices IN EXCLUSIVE MODE")


async def told_advances(connection: Connection, tenant: str) -> list[ToldAdvance]:
    """Each course's, where what it was last told is an advance that waits for its answer."""
    rows = await connection.fetch(_TOLD, tenant, sorted(ADVICE_TYPES))
    stand = await courses.of(connection, [(tenant, row["course"]) for row in rows])
    return [
        ToldAdvance(row["course"], row["id"], row["outbox"], row["types"] or (), orjson.loads(row["body"]), stand[tenant, row["course"]])
        for row in rows
    ]

"""What history knows of athletes: their events in the order they came, their courses' latest decisions, and who has which key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection
from services.decision.store.rows import OUTSIDE_THE_FOLD

AthleteKey: TypeAlias = tuple[str, str]
"""(tenant, athlete)."""

EventKey: TypeAlias = tuple[str, str, str]
"""(tenant, source, id)."""


@dataclass(slots=True)
class History:
    """One athlete's: (body, digest) of each event the fold has seen, in arrival order, and the latest decision of each course."""

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    decisions: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """course -> (seq, decision record)"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who already has an event key."""

    athlete: str
    digest: bytes
    folded: bool
    """False when the event was refused before the athlete's fold saw it."""


_EVENTS = f"""
SELECT e.tenant, e.athlete, e.body, e.digest
FROM unnest($1::text[], $2::text[]) AS wanted(tenant, athlete)
JOIN events AS e ON e.tenant = wanted.tenant AND e.athlete = wanted.athlete
WHERE NOT EXISTS (
    SELECT 1 FROM event_outcomes AS o
    WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id AND o.seq = e.seq AND o.n = {OUTSIDE_THE_FOLD}
)
ORDER BY e.partition, e.seq
"""

_LATEST = """
SELECT c.tenant, c.athlete, c.course, c.seq, d.body
FROM unnest($1::text[], $2::text[]) AS wanted(tenant, athlete)
JOIN courses AS c ON c.tenant = wanted.tenant AND c.athlete = wanted.athlete
JOIN decisions AS d ON d.tenant = c.tenant AND d.course = c.course AND d.seq = c.seq
"""

_HOLDERS = f"""
SELECT e.tenant, e.source, e.id, e.athlete, e.digest, NOT EXISTS (
    SELECT 1 FROM event_outcomes AS o
    WHERE o.tenant = e.tenant AND o.source = e.source AND o.id = e.id AND o.seq = e.seq AND o.n = {OUTSIDE_THE_FOLD}
) AS folded
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted(tenant, source, id)
JOIN events AS e ON e.tenant = wanted.tenant AND e.source = wanted.source AND e.id = wanted.id
"""

_OWNERS = """
SELECT c.tenant, c.course, c.athlete FROM unnest($1::text[], $2::text[]) AS wanted(tenant, course)
JOIN courses AS c ON c.tenant = wanted.tenant AND c.course = wanted.course
"""


async def histories(connection: Connection, athletes: Iterable[AthleteKey]) -> Mapping[AthleteKey, History]:
    """The history of each of `athletes`, empty for one that is new; two queries however many there are."""
    found: dict[AthleteKey, History] = {key: History() for key in athletes}
    if not found:
        return found
    tenants, names = [key[0] for key in found], [key[1] for key in found]
    sealed = await envelopes(connection, found)
    for row in await connection.fetch(_EVENTS, tenants, names):
        key = (row["tenant"], row["athlete"])
        found[key].events.append((sealed.body(*key, row["body"]), row["digest"]))
    for row in await connection.fetch(_LATEST, tenants, names):
        key = (row["tenant"], row["athlete"])
        found[key].decisions[row["course"]] = (row["seq"], orjson.loads(sealed.body(*key, row["body"])))
    return found


async def holders(connection: Connection, keys: Iterable[EventKey]) -> dict[EventKey, Holder]:
    """Which of these event keys are taken, and by what."""
    wanted = list(keys)
    rows = await connection.fetch(_HOLDERS, [k[0] for k in wanted], [k[1] for k in wanted], [k[2] for k in wanted])
    return {(row["tenant"], row["source"], row["id"]): Holder(row["athlete"], row["digest"], row["folded"]) for row in rows}


async def owners(connection: Connection, courses: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The athlete of each (tenant, course) that exists."""
    wanted = list(courses)
    rows = await connection.fetch(_OWNERS, [k[0] for k in wanted], [k[1] for k in wanted])
    return {(row["tenant"], row["course"]): row["athlete"] for row in rows}

"""What replays read of athletes, and what they keep of themselves."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from services.decision.audit.again import Difference, Made, Past, Stored
from services.decision.store import erasures, keys
from services.decision.store.athletes import AthleteKey
from services.decision.store.bodies import Envelopes, envelopes
from services.decision.store.connection import Connection, snapshot, touched
from services.decision.store.rows import OUTSIDE_THE_FOLD
from shared.crash import point


class Replay(NamedTuple):
    """A replay and how far it is; see `shared.tables.replays`."""

    id: str
    tenant: str | None
    actor: str
    asked: dict[str, Any]
    state: str
    because: str | None
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    athletes: int
    done: int
    erased: int
    decisions: int
    differences: int
    after_tenant: str | None
    after_athlete: str | None


class NoSuchAthlete(Exception):
    """Nobody of that name has a history: they never had one, or were erased."""


class Unopened(NamedTuple):
    """A history as it is stored, of so many events and decisions; `open` opens all of them."""

    rows: int
    open: Callable[[], Past]


class Kept(NamedTuple):
    n: int
    tenant: str
    athlete: str
    difference: Difference


_COLUMNS = (
    "id, tenant, actor, asked::text AS asked, state, because, started_at, seen_at, ended_at, athletes, done, erased, decisions,"
    " differences, after_tenant, after_athlete"
)

_ATHLETES = """
SELECT tenant, athlete FROM keys.athlete_keys
WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR athlete = $2) AND (tenant, athlete) > ($3, $4)
ORDER BY tenant, athlete LIMIT $5
"""

_EVENTS = f"""
SELECT w.n::int, e.seq, e.body, e.digest, o.status, o.path, o.reason
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(tenant, athlete, n)
JOIN events AS e ON e.tenant = w.tenant AND e.athlete = w.athlete
JOIN event_outcomes AS o ON o.tenant = e.tenant AND o.source = e.source AND o.id = e.id AND o.seq = e.seq AND o.n <= 0
WHERE o.n <> {OUTSIDE_THE_FOLD} ORDER BY e.partition, e.seq
"""

_DECISIONS = """
SELECT w.n::int, d.course, d.seq, d.event_seq, d.body
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(tenant, athlete, n)
JOIN courses AS c ON c.tenant = w.tenant AND c.athlete = w.athlete
JOIN decisions AS d ON d.tenant = c.tenant AND d.course = c.course
ORDER BY d.tenant, d.course, d.seq
"""


async def athletes(connection: Connection, tenant: str | None, athlete: str | None, after: AthleteKey, limit: int) -> list[AthleteKey]:
    """Those with a history, behind `after`, in order."""
    return [(row["tenant"], row["athlete"]) for row in await connection.fetch(_ATHLETES, tenant, athlete, *after, limit)]


async def count(connection: Connection, tenant: str | None, athlete: str | None) -> int:
    query = "SELECT count(*) FROM keys.athlete_keys WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR athlete = $2)"
    return int(await connection.fetchval(query, tenant, athlete))


async def erased(connection: Connection, wanted: Sequence[AthleteKey]) -> set[AthleteKey]:
    """Those without a key: nothing of theirs can be read. One who was erased since they were listed has another name by now."""
    return set(wanted) - {athlete for athlete, key in (await keys.wrapped(connection, wanted)).items() if key is not None}


async def pasts(connection: Connection, wanted: Sequence[AthleteKey]) -> Iterator[Past]:
    """`unopened`, each opened when it is asked for."""
    return (one.open() for one in await unopened(connection, wanted))


async def unopened(connection: Connection, wanted: Sequence[AthleteKey]) -> list[Unopened]:
    """The histories of these athletes, in their order, all read at once; inside `snapshot`, for one of them may be erased meanwhile."""
    columns = [list(column) for column in zip(*wanted, strict=True)]
    sealed = await envelopes(connection, wanted)
    events: list[list[Any]] = [[] for _ in wanted]
    decisions: list[list[Any]] = [[] for _ in wanted]
    for row in await connection.fetch(_EVENTS, *columns):
        events[row[0] - 1].append(row)
    for row in await connection.fetch(_DECISIONS, *columns):
        decisions[row[0] - 1].append(row)
    return [
        Unopened(len(theirs) + len(made), partial(_past, sealed, athlete, theirs, made))
        for athlete, theirs, made in zip(wanted, events, decisions, strict=True)
    ]


def _past(sealed: Envelopes, athlete: AthleteKey, events: Sequence[Any], decisions: Sequence[Any]) -> Past:
    body, text = sealed.opener(*athlete), partial(sealed.text, *athlete)
    return Past(
        *athlete,
        [
            Stored(seq, body(stored), digest, (status, path, None if reason is None else text(reason)))
            for _, seq, stored, digest, status, path, reason in events
        ],
        [Made(course, seq, event_seq, body(stored)) for _, course, seq, event_seq, stored in decisions],
    )


async def begin(connection: Connection, id: str, tenant: str | None, actor: str, asked: dict[str, Any]) -> None:
    """Raises `NoSuchAthlete` for an athlete without a history: who was erased is not named anew."""
    async with connection.transaction():
        await erasures.keep_out(connection)
        athletes = await count(connection, tenant, asked["athlete"])
        if asked["athlete"] is not None and not athletes:
            raise NoSuchAthlete
        await connection.execute(
            "INSERT INTO replays (id, tenant, actor, asked, state, started_at, seen_at, athletes, done, erased, decisions, differences)"
            " VALUES ($1, $2, $3, $4, 'running', clock_timestamp(), clock_timestamp(), $5, 0, 0, 0, 0)",
            id,
            tenant,
            actor,
            orjson.dumps(asked).decode(),
            athletes,
        )


async def read(connection: Connection, id: str) -> Replay | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM replays WHERE id = $1", id)
    return None if row is None else Replay(*row)._replace(asked=orjson.loads(row["asked"]))


async def claim(connection: Connection, silent_s: float) -> list[str]:
    """Takes over replays of which nothing was heard for so long: their process ended. A second process that asks gets none of them."""
    rows = await connection.fetch(
        "UPDATE replays SET seen_at = clock_timestamp() WHERE state = 'running' AND actor <> 'milepost replay'"
        " AND seen_at < clock_timestamp() - make_interval(secs => $1) RETURNING id",
        silent_s,
    )
    return [row["id"] for row in rows]


async def progress(
    connection: Connection,
    id: str,
    before: Replay,
    passed: Sequence[AthleteKey],
    counts: tuple[int, int, int],
    found: Sequence[Kept],
    total: int,
) -> bool:
    """Keeps one round over the athletes `passed`: (athletes, erased, decisions) more, and what differed. Nothing is kept of who was erased
    meanwhile, not even the place. False when somebody else went on from there meanwhile.
    """
    point(43)
    async with connection.transaction():
        await erasures.keep_out(connection)
        # Under their name; the key of who was erased has another.
        there = await keys.wrapped(connection, passed)
        after = next((athlete for athlete in reversed(passed) if athlete in there), (before.after_tenant, before.after_athlete))
        tag = await connection.execute(
            "UPDATE replays SET seen_at = clock_timestamp(), done = done + $2, erased = erased + $3, decisions = decisions + $4,"
            " differences = differences + $5, after_tenant = $6, after_athlete = $7"
            " WHERE id = $1 AND after_athlete IS NOT DISTINCT FROM $8 AND after_tenant IS NOT DISTINCT FROM $9 AND state = 'running'",
            id,
            *counts,
            total,
            *after,
            before.after_athlete,
            before.after_tenant,
        )
        if touched(tag) != 1:
            return False
        kept = [one for one in found if (one.tenant, one.athlete) in there]
        if kept:
            sealed = await envelopes(connection, ((one.tenant, one.athlete) for one in kept))
            await connection.executemany(
                "INSERT INTO replay_differences (replay, n, tenant, athlete, course, seq, what, fields, stored, again)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                [(id, one.n, one.tenant, one.athlete, *_columns(sealed, one)) for one in kept],
            )
    point(44)
    return True


async def end(connection: Connection, id: str, state: str, because: str | None) -> None:
    await connection.execute(
        "UPDATE replays SET state = $2, because = $3, ended_at = clock_timestamp(), seen_at = clock_timestamp() WHERE id = $1",
        id,
        state,
        because,
    )


async def differences(connection: Connection, id: str, after: int, limit: int) -> list[Kept]:
    async with snapshot(connection):
        rows = await connection.fetch(
            "SELECT n, tenant, athlete, course, seq, what, fields, stored, again FROM replay_differences WHERE replay = $1 AND n > $2"
            " ORDER BY n LIMIT $3",
            id,
            after,
            limit,
        )
        sealed = await envelopes(connection, ((row["tenant"], row["athlete"]) for row in rows))
    found = []
    for n, tenant, athlete, course, seq, what, fields, *records in rows:
        stored, again = (None if one is None else sealed.body(tenant, athlete, one) for one in records)
        found.append(Kept(n, tenant, athlete, Difference(course, seq, what, tuple(fields), stored, again)))
    return found


def _columns(sealed: Envelopes, one: Kept) -> tuple[Any, ...]:
    course, seq, what, fields, *records = one.difference
    return (course, seq, what, list(fields), *(sealed.sealed(one.tenant, one.athlete, record) for record in records))

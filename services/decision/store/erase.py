"""The one transaction that forgets an athlete: rows of history become what follows from their place, everything else of theirs is removed.

Only the eraser's role may. Commitments, leaves and seals stay: they are what proves that nothing else was changed.
"""

from collections.abc import Sequence
from typing import Any, Final

from services.decision.store import stretches
from services.decision.store.connection import Connection
from services.decision.store.remains import GONE, WORD, Remains
from services.decision.store.sealed import BY_NAME
from shared.crash import point
from shared.locks import ERASING, POSITIONS, SEALS, STRETCHES

# Nobody may be half-way while rows leave: not notify, which tells, numbers notices and writes down attempts, nor the notary, who seals,
# nor who keeps what a replay found.
# Whoever comes meanwhile waits, and finds what the erasure left. In the order of shared/locks.py.
LOCKS: Final = (
    "LOCK TABLE course_notices IN EXCLUSIVE MODE",
    f"SELECT pg_advisory_xact_lock({POSITIONS})",
    "LOCK TABLE deliveries IN EXCLUSIVE MODE",
    "LOCK TABLE acknowledgements IN EXCLUSIVE MODE",
    f"SELECT pg_advisory_xact_lock({SEALS})",
    f"SELECT pg_advisory_xact_lock({STRETCHES})",
    f"SELECT pg_advisory_xact_lock({ERASING})",
)
LOCK_WAIT_S: Final = 5
"""Everybody who tells waits behind an erasure that waits for a lock: so it gives up, and comes again."""

_OF_NOTICES: Final = "SELECT d.id FROM deliveries AS d JOIN notices AS n ON n.id = d.notice WHERE n.tenant = $1 AND {}"
# A refused event of somebody else may name a course of the athlete's: its notice is not theirs.
_TOLD: Final = "(n.athlete = $2 OR n.athlete IS NULL AND n.course = ANY($3::text[]))"

# In this order: what tells of a course is locked before the notices that it could still make, and deliveries know their notice.
REMOVED: Final = (
    ("outbox", "t.tenant = $1 AND t.athlete = $2"),
    ("timers", "t.tenant = $1 AND t.athlete = $2"),
    ("courses", "t.tenant = $1 AND t.athlete = $2"),
    ("course_notices", "t.tenant = $1 AND t.course = ANY($3::text[])"),
    ("escalations", "t.tenant = $1 AND (t.athlete = $2 OR t.course = ANY($3::text[]))"),
    ("attempts", f"t.delivery IN ({_OF_NOTICES.format(_TOLD)})"),
    ("deliveries", f"t.id IN ({_OF_NOTICES.format(_TOLD)})"),
    ("notices", "t.tenant = $1 AND (t.athlete = $2 OR t.athlete IS NULL AND t.course = ANY($3::text[]))"),
    ("acknowledgements", "t.tenant = $1 AND t.course = ANY($3::text[])"),
    ("answer_links", "t.tenant = $1 AND t.course = ANY($3::text[])"),
    ("event_terms", "t.tenant = $1 AND t.athlete = $2"),
    ("backtest_differences", "t.tenant = $1 AND t.athlete = $2"),
    ("shadow_decisions", "t.tenant = $1 AND t.athlete = $2"),
    ("replay_differences", "t.tenant = $1 AND t.athlete = $2"),
)

_OUTCOMES: Final = """
SELECT o.partition, o.seq, o.source, o.id, o.n FROM event_outcomes AS o
JOIN events AS e ON e.tenant = o.tenant AND e.source = o.source AND e.id = o.id
WHERE e.tenant = $1 AND e.athlete = $2 ORDER BY o.partition, o.seq, o.n, o.source, o.id
"""
_DECISIONS: Final = """
SELECT partition, event_seq, course, seq FROM decisions WHERE tenant = $1 AND athlete = $2
AND partition IN (SELECT DISTINCT partition FROM events WHERE tenant = $1 AND athlete = $2)
ORDER BY partition, event_seq, course COLLATE "C", seq
"""

_REPLACE_EVENTS: Final = """
UPDATE events AS t SET athlete = n.athlete, source = n.source, id = n.id, type = n.type, time = n.time, recorded_at = n.recorded_at,
    stream_seq = n.stream_seq, digest = n.digest, body = n.body
FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[],
    $10::bigint[], $11::bytea[], $12::bytea[])
    AS n(partition, seq, tenant, athlete, source, id, type, time, recorded_at, stream_seq, digest, body)
WHERE t.partition = n.partition AND t.seq = n.seq
"""
_REPLACE_OUTCOMES: Final = """
UPDATE event_outcomes AS t SET source = n.source, id = n.id, n = n.n, status = n.status, path = n.path, reason = n.reason
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::text[], $7::text[], $8::text[], $9::int[],
    $10::text[], $11::text[], $12::int[])
    AS n(tenant, source, id, seq, n, status, path, reason, partition, old_source, old_id, old_n)
WHERE t.tenant = n.tenant AND t.source = n.old_source AND t.id = n.old_id AND t.seq = n.seq AND t.n = n.old_n
"""
_REPLACE_DECISIONS: Final = """
UPDATE decisions AS t SET course = n.course, seq = n.seq, id = n.id, athlete = n.athlete, cause_source = n.cause_source,
    cause_id = n.cause_id, as_of = n.as_of, as_at = n.as_at, body = n.body
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::int[], $7::bigint[], $8::text[], $9::text[],
    $10::timestamptz[], $11::timestamptz[], $12::bytea[], $13::text[], $14::bigint[])
    AS n(tenant, course, seq, id, athlete, partition, event_seq, cause_source, cause_id, as_of, as_at, body, old_course, old_seq)
WHERE t.tenant = n.tenant AND t.course = n.old_course AND t.seq = n.old_seq
"""
_REPLACE_CONFLICTS: Final = """
UPDATE event_conflicts AS t SET source = n.source, id = n.id, digest = n.digest, recorded_at = n.recorded_at, body = n.body,
    athlete = n.athlete
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::bytea[], $7::text[], $8::int[], $9::bigint[])
    AS n(tenant, source, id, digest, recorded_at, body, athlete, partition, n)
WHERE t.partition = n.partition AND t.n = n.n
"""
# Of those from before they were numbered nothing is proven: they keep a name that says nothing, so that each has its own.
_EMPTY_CONFLICTS: Final = """
UPDATE event_conflicts SET source = $3, id = gen_random_uuid()::text, digest = '', recorded_at = 'epoch', body = '', athlete = $4
WHERE tenant = $1 AND athlete = $2 AND n IS NULL
"""


async def erase(connection: Connection, remains: Remains, tenant: str, athlete: str, pseudonym: str) -> None:
    """Everything of the athlete at once, their key included, or nothing. Repeated, it finds nothing left.

    Whoever owns the athlete's partition is fenced by a new epoch, so that it drops what it has at hand. Raises what the driver raises when
    somebody holds a lock for longer than 5 s.
    """
    who = (tenant, athlete)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
        for lock in LOCKS:
            await connection.execute(lock)
        await connection.execute(
            "UPDATE partition_heads SET epoch = epoch + 1, owner = NULL, lease_until = NULL"
            " WHERE partition IN (SELECT DISTINCT partition FROM events WHERE tenant = $1 AND athlete = $2)",
            *who,
        )
        events = await connection.fetch("SELECT partition, seq FROM events WHERE tenant = $1 AND athlete = $2", *who)
        outcomes, decisions = await connection.fetch(_OUTCOMES, *who), await connection.fetch(_DECISIONS, *who)
        conflicts = await connection.fetch(
            "SELECT partition, n FROM event_conflicts WHERE tenant = $1 AND athlete = $2 AND n IS NOT NULL", *who
        )
        courses = {row["course"] for row in decisions}
        courses |= {row["course"] for row in await connection.fetch("SELECT course FROM courses WHERE tenant = $1 AND athlete = $2", *who)}
        for table, condition in REMOVED:
            await _remove(connection, remains, table, condition, who, sorted(courses), pseudonym)
        whose = (tenant, pseudonym)
        await _replace(connection, _REPLACE_EVENTS, [remains.event(row["partition"], row["seq"], *whose) for row in events])
        left = [
            (*remains.outcome(row["partition"], row["seq"], place, *whose), row["source"], row["id"], row["n"])
            for row, place in _placed(outcomes, "seq")
        ]
        await _replace(connection, _REPLACE_OUTCOMES, left)
        made = [
            (*remains.decision(row["partition"], row["event_seq"], place, *whose), row["course"], row["seq"])
            for row, place in _placed(decisions, "event_seq")
        ]
        await _replace(connection, _REPLACE_DECISIONS, made)
        changed = [(row["partition"], row["seq"]) for row in (*events, *outcomes)]
        changed += [(row["partition"], row["event_seq"]) for row in decisions]
        await stretches.forget(connection, [partition for partition, _ in changed], [seq for _, seq in changed])
        await _replace(connection, _REPLACE_CONFLICTS, [remains.conflict(row["partition"], row["n"], *whose) for row in conflicts])
        await connection.execute(_EMPTY_CONFLICTS, *who, WORD, GONE + pseudonym)
        await _forget_replays(connection, who)
        await connection.execute(
            "UPDATE keys.athlete_keys SET athlete = $3, wrapped = NULL, erased_at = clock_timestamp() WHERE tenant = $1 AND athlete = $2",
            *who,
            GONE + pseudonym,
        )
        # After a restored backup: what was scrubbed is on the disk again.
        await connection.execute("UPDATE keys.erasures SET scrubbed_at = NULL WHERE tenant = $1 AND pseudonym = $2", tenant, pseudonym)
        point(47)
    point(48)


async def done(connection: Connection, tenant: str, pseudonym: str, partition: int, bus_seq: int) -> None:
    """The erasure is carried out, and the bus cleared up to there. The data counts it too: the list stands with the keys, apart from it."""
    async with connection.transaction():
        # In the order of everybody who writes: shared/locks.py.
        await connection.execute("SELECT 1 FROM partition_heads WHERE partition = $1 FOR UPDATE", partition)
        await connection.execute(
            "UPDATE keys.erasures SET erased_at = coalesce(erased_at, clock_timestamp()), bus_seq = $3"
            " WHERE tenant = $1 AND pseudonym = $2",
            tenant,
            pseudonym,
            bus_seq,
        )
        await connection.execute(
            "UPDATE partition_heads SET erasures = (SELECT count(*) FROM keys.erasures WHERE partition = $1 AND erased_at IS NOT NULL)"
            " WHERE partition = $1",
            partition,
        )


async def _remove(
    connection: Connection, remains: Remains, table: str, condition: str, who: tuple[str, str], courses: list[str], pseudonym: str
) -> None:
    """The rows of a table, and their names in its seals."""
    # Every statement takes the same three values, whichever it needs.
    condition, given = f"({condition}) AND ($2::text, $3::text[]) IS NOT NULL", (*who, courses)
    form = BY_NAME.get(table)
    if form is not None:
        numbers = await connection.fetch(
            f"SELECT s.n FROM seals AS s WHERE s.tree = '{table}' AND s.row IN (SELECT {form.row} FROM {table} AS t WHERE {condition})",
            *given,
        )
        await connection.execute(
            "UPDATE seals AS s SET row = n.row FROM unnest($2::bigint[], $3::text[]) AS n(n, row) WHERE s.tree = $1 AND s.n = n.n",
            table,
            [row["n"] for row in numbers],
            [remains.seal(table, row["n"], who[0], pseudonym) for row in numbers],
        )
    await connection.execute(f"DELETE FROM {table} AS t WHERE {condition}", *given)


async def _forget_replays(connection: Connection, who: tuple[str, str]) -> None:
    """A replay names the athlete it was asked for, or the one it was at; one that is under way cannot go on from there. One over all
    tenants is of everybody of that name: it keeps it until the last of them is erased.
    """
    await connection.execute(
        "UPDATE replays SET asked = jsonb_set(asked, '{athlete}', to_jsonb($3::text)),"
        " state = CASE state WHEN 'running' THEN 'failed' ELSE state END,"
        " because = CASE state WHEN 'running' THEN 'the athlete it was asked for was erased' ELSE because END"
        " WHERE asked ->> 'athlete' = $2 AND (tenant = $1 OR tenant IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM keys.athlete_keys AS k WHERE k.tenant <> $1 AND k.athlete = $2 AND k.erased_at IS NULL))",
        *who,
        WORD,
    )
    await connection.execute(
        "UPDATE replays SET after_tenant = NULL, after_athlete = NULL, state = CASE state WHEN 'running' THEN 'failed' ELSE state END,"
        " because = CASE state WHEN 'running' THEN 'the athlete it was at was erased: start it again' ELSE because END"
        " WHERE after_tenant = $1 AND after_athlete = $2",
        *who,
    )


def _placed(rows: Sequence[Any], under: str) -> list[tuple[Any, int]]:
    """Each row with its place among those under the same leaf."""
    found: list[tuple[Any, int]] = []
    leaf, place = None, 0
    for row in rows:
        here = (row["partition"], row[under])
        leaf, place = here, place + 1 if here == leaf else 0
        found.append((row, place))
    return found


async def _replace(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await connection.execute(statement, *(list(column) for column in zip(*rows, strict=True)))

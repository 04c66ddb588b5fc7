"""The one transaction of a batch: heads first, by compare-and-set, then everything else, so that a fenced worker writes nothing.

INVARIANT: a partition's `seq` is gapless. It holds because the head moves in the transaction that inserts the rows, only from the very
value this worker read, and because no event is left out by a conflict clause: a key that is already taken undoes the whole batch.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from services.decision.store import committing, keys
from services.decision.store.connection import Connection, touched
from services.decision.store.rows import ConflictRow, CourseRow, OutboxRow, TimerRow, Writes
from shared.crash import point


class Fenced(Exception):
    """Another worker owns one of the partitions by now, or the heads moved: nothing was written; take the leases anew."""


class Clash(Exception):
    """A key of the batch is taken: an event's by another athlete's event, or a course's by another athlete. Nothing was written."""


_HEADS = """
UPDATE partition_heads AS h SET stream_seq = n.stream_to, seq = n.seq_to
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS n(partition, epoch, stream_from, seq_from, stream_to, seq_to)
WHERE h.partition = n.partition AND h.epoch = n.epoch AND h.stream_seq = n.stream_from AND h.seq = n.seq_from
"""

_EVENTS = """
INSERT INTO events (partition, seq, tenant, athlete, source, id, type, time, recorded_at, stream_seq, digest, body, commitment, leaf)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[])
"""

_OUTCOMES = """
INSERT INTO event_outcomes (tenant, source, id, seq, n, status, path, reason, partition, commitment)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::text[], $7::text[], $8::text[], $9::int[],
    $10::bytea[])
"""

_KEPT = """
SELECT c.tenant, c.source, c.id, c.digest FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS n(tenant, source, id, digest)
JOIN event_conflicts AS c ON c.tenant = n.tenant AND c.source = n.source AND c.id = n.id AND c.digest = n.digest
"""

_NUMBERS = "UPDATE partition_heads SET conflicts = conflicts + $2 WHERE partition = $1 RETURNING conflicts - $2"

_CONFLICTS = """
INSERT INTO event_conflicts (tenant, source, id, digest, recorded_at, body, athlete, partition, n, commitment)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::bytea[], $7::text[], $8::int[], $9::bigint[],
    $10::bytea[])
"""

_DECISIONS = """
INSERT INTO decisions (tenant, course, seq, id, athlete, partition, event_seq, cause_source, cause_id, as_of, as_at, body, commitment)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::int[], $7::bigint[], $8::text[],
    $9::text[], $10::timestamptz[], $11::timestamptz[], $12::bytea[], $13::bytea[])
"""

_COURSES = """
INSERT INTO courses AS c (tenant, course, athlete, partition, protocol, status, seq, action, urgency, answered, as_of, as_at, state)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[],
    $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::bytea[])
ON CONFLICT (tenant, course) DO UPDATE SET protocol = excluded.protocol, status = excluded.status, seq = excluded.seq,
    action = excluded.action, urgency = excluded.urgency, answered = excluded.answered, as_of = excluded.as_of,
    as_at = excluded.as_at, state = excluded.state
WHERE c.athlete = excluded.athlete
"""

_SPENT = """
DELETE FROM timers AS t USING unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS n(tenant, course, kind, due)
WHERE t.tenant = n.tenant AND t.course = n.course AND t.kind = n.kind AND t.due = n.due
"""

_CLEAR = """
DELETE FROM timers AS t USING unnest($1::text[], $2::text[]) AS n(tenant, course) WHERE t.tenant = n.tenant AND t.course = n.course
"""

_TIMERS = """
INSERT INTO timers (tenant, course, kind, athlete, partition, due)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[])
"""

_TERMS = """
INSERT INTO event_terms (tenant, source, id, athlete, terms)
SELECT t, s, i, a, string_to_array(e, ' ') FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS n(t, s, i, a, e)
"""

_ERASURES = """
INSERT INTO keys.erasures (tenant, pseudonym, partition, event, requested_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bytea[], $5::timestamptz[]) ON CONFLICT DO NOTHING
"""

_OUTBOX = """
INSERT INTO outbox (partition, tenant, athlete, body)
SELECT p, t, a, b FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS n(p, t, a, b, place) ORDER BY place
"""


async def commit(connection: Connection, writes: Writes) -> None:
    """Writes the batch and moves the heads, or nothing at all.

    Raises `Fenced` and `Clash`, both after rolling back. Any other error says nothing about whether the transaction took effect
    (the answer to COMMIT may be what was lost): read the heads again before anything else.
    """
    if connection.is_in_transaction():
        # Ours would be a mere savepoint in it, and what it confirms would not be on disk.
        raise RuntimeError("the connection is inside another transaction")
    point(3)
    try:
        async with connection.transaction():
            await _write(connection, writes)
            point(4)
    except asyncpg.UniqueViolationError as fault:
        raise Clash(fault.constraint_name or "") from None
    point(5)


async def _write(connection: Connection, writes: Writes) -> None:
    await _move_heads(connection, writes)
    if writes.new_keys and not await keys.add(connection, writes.new_keys):
        raise _rolled_back("an athlete of the batch has a key by now")
    if writes.events:
        await connection.execute(_EVENTS, *_columns(writes.events))
    if writes.outcomes:
        await connection.execute(_OUTCOMES, *_columns(writes.outcomes))
    told = await _keep_conflicts(connection, writes)
    if writes.decisions:
        await connection.execute(_DECISIONS, *_columns(writes.decisions))
    if writes.courses:
        rows: list[CourseRow] = sorted(writes.courses.values())
        if touched(await connection.execute(_COURSES, *_columns(rows))) != len(rows):
            raise _rolled_back("a course of the batch belongs to another athlete")
    await _set_timers(connection, writes)
    if writes.erasures:
        await connection.execute(_ERASURES, *_columns(writes.erasures))
    if writes.terms:
        await connection.execute(_TERMS, *_columns(writes.terms))
    outbox: list[OutboxRow] = writes.outbox + told
    if outbox:
        await connection.execute(_OUTBOX, *_columns(outbox))


def _rolled_back(why: str) -> asyncpg.UniqueViolationError:
    # The same path as a taken key: `commit` rolls back and says Clash.
    return asyncpg.UniqueViolationError(why)


async def _move_heads(connection: Connection, writes: Writes) -> None:
    moves = [(a.partition, b.epoch, b.stream_seq, b.seq, a.stream_seq, a.seq) for b, a in zip(writes.before, writes.after, strict=True)]
    if moves and touched(await connection.execute(_HEADS, *_columns(moves))) != len(moves):
        raise Fenced(f"{len(moves)} partition heads were to move")


async def _keep_conflicts(connection: Connection, writes: Writes) -> list[OutboxRow]:
    """Those that history does not have yet, numbered behind their partition's last; what is to be told of them."""
    if not writes.conflicts:
        return []
    wanted = {(row.tenant, row.source, row.id, row.digest): (row, notice) for row, notice in reversed(writes.conflicts)}
    for kept in await connection.fetch(_KEPT, *_columns(list(wanted))):
        wanted.pop(tuple(kept), None)
    new: dict[int, list[ConflictRow]] = {}
    for row, _ in wanted.values():
        new.setdefault(row.partition, []).append(row)
    for partition, rows in sorted(new.items()):
        last = int(await connection.fetchval(_NUMBERS, partition, len(rows)))
        numbered = [
            committing.conflict(writes.keys.get((row.tenant, row.athlete)), row, number) for number, row in enumerate(rows, last + 1)
        ]
        await connection.execute(_CONFLICTS, *_columns([(*one.row, one.n, one.commitment) for one in numbered]))
    return [notice for _, notice in wanted.values()]


async def _set_timers(connection: Connection, writes: Writes) -> None:
    if writes.spent:
        await connection.execute(_SPENT, *_columns([(t.tenant, t.course, t.kind, t.due) for t in writes.spent]))
    if writes.timers:
        await connection.execute(_CLEAR, *_columns(list(writes.timers)))
    rows: list[TimerRow] = [row for timers in writes.timers.values() for row in timers]
    if rows:
        await connection.execute(_TIMERS, *_columns(rows))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]

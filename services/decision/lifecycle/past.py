"""History for comparisons: whose courses follow a protocol, what was decided for them, and the runs and shadows that are kept of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import orjson

from services.decision.lifecycle import store
from services.decision.lifecycle.compare import Decided, Difference, Past
from services.decision.lifecycle.store import Source
from services.decision.packs import Published
from services.decision.store.athletes import histories
from services.decision.store.bodies import Envelopes, envelopes
from services.decision.store.connection import Connection, snapshot
from shared.proof import KeyFault

Kind = Literal["backtest", "test"]

VERIFY: Final = "`milepost verify` tells what was altered"
_DAMAGED: Final = (KeyFault, orjson.JSONDecodeError)


class Run(NamedTuple):
    """A backtest, or a run of a draft's tests; see `shared.tables.backtests`. Of the latter `athletes` is the number of mutants."""

    id: str
    pack: str
    hash: str
    over: str
    actor: str
    state: str
    because: str | None
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None
    athletes: int
    done: int
    counts: dict[str, Any]


class Waiting(NamedTuple):
    """A decision that a shadow has not looked at."""

    course: str
    seq: int
    as_of: datetime


class Kept(NamedTuple):
    """A difference of a run."""

    n: int
    direction: str
    athlete: str
    course: str
    seq: int
    before: bytes | None
    """None where it is stored damaged."""
    after: bytes | None
    because: str | None


# Of an athlete who was erased while their past was decided again, nothing is kept; the lock makes an erasure wait that has just begun.
_STILL_THERE = "FROM courses AS c WHERE c.tenant = $1 AND c.course = {course} AND c.athlete = {athlete} FOR KEY SHARE OF c"
_RUN = "id, pack, hash, over, actor, state, because, started_at, seen_at, ended_at, athletes, done, counts::text AS counts"


async def athletes_on(connection: Connection, tenant: str, protocol: str) -> list[str]:
    """Athletes of the tenant with a course that follows any version of the protocol."""
    rows = await connection.fetch(
        "SELECT DISTINCT athlete FROM courses WHERE tenant = $1 AND split_part(protocol, '@', 1) = $2 ORDER BY athlete", tenant, protocol
    )
    return [row["athlete"] for row in rows]


async def tenants_on(connection: Connection, protocol: str) -> list[str]:
    """Tenants with a course that follows any version of the protocol."""
    rows = await connection.fetch("SELECT DISTINCT tenant FROM courses WHERE split_part(protocol, '@', 1) = $1 ORDER BY tenant", protocol)
    return [row["tenant"] for row in rows]


async def pasts(connection: Connection, tenant: str, protocol: str, athletes: Sequence[str]) -> list[Past]:
    """Everything that a comparison over the protocol's courses needs of these athletes."""
    rows = await connection.fetch(
        "SELECT c.athlete, d.course, d.seq, d.cause_source, d.cause_id, d.body FROM decisions AS d JOIN courses AS c"
        " ON c.tenant = d.tenant AND c.course = d.course WHERE d.tenant = $1 AND c.athlete = ANY($2::text[])"
        " AND split_part(c.protocol, '@', 1) = $3 ORDER BY d.course, d.seq",
        tenant,
        list(athletes),
        protocol,
    )
    decided: dict[str, list[Decided]] = {}
    sealed = await envelopes(connection, ((tenant, row["athlete"]) for row in rows))
    for row in rows:
        body = sealed.body(tenant, row["athlete"], row["body"])
        decided.setdefault(row["athlete"], []).append(Decided(row["course"], row["seq"], row["cause_source"], row["cause_id"], body))
    known = await histories(connection, [(tenant, athlete) for athlete in athletes])
    return [
        Past(
            athlete,
            known[tenant, athlete].events,
            {course: body["protocol"]["hash"] for course, (_, body) in known[tenant, athlete].decisions.items()},
            decided.get(athlete, ()),
        )
        for athlete in athletes
    ]


async def readable(connection: Connection, tenant: str, protocol: str, athletes: Sequence[str]) -> tuple[list[Past], dict[str, str]]:
    """As `pasts`, at one moment, and who could not be read: athlete to why. What is stored damaged keeps nobody else waiting."""
    found: list[Past] = []
    faults: dict[str, str] = {}
    async with snapshot(connection):
        try:
            return await pasts(connection, tenant, protocol, athletes), faults
        except _DAMAGED:
            for athlete in athletes:
                try:
                    found += await pasts(connection, tenant, protocol, [athlete])
                except _DAMAGED as fault:
                    faults[athlete] = f"{await _place(connection, tenant, athlete)} is stored damaged; {VERIFY} ({type(fault).__name__})"
    return found, faults


async def _place(connection: Connection, tenant: str, athlete: str) -> str:
    """The first stored decision or event of the athlete that does not open."""
    sealed = await envelopes(connection, [(tenant, athlete)])
    places = (
        ("decision", "SELECT course, seq, body FROM decisions WHERE tenant = $1 AND athlete = $2 ORDER BY course, seq"),
        ("event", "SELECT source, id, body FROM events WHERE tenant = $1 AND athlete = $2 ORDER BY seq"),
    )
    for what, query in places:
        for first, second, body in await connection.fetch(query, tenant, athlete):
            if opens(sealed, tenant, athlete, body) is None:
                return f"decision {second} of course {first}" if what == "decision" else f"event {second} of {first}"
    return "the athlete's history"


def opens(sealed: Envelopes, tenant: str, athlete: str, body: bytes) -> bytes | None:
    """A stored record as it was written; None for one that cannot be read."""
    try:
        record = sealed.body(tenant, athlete, body)
        return record if isinstance(orjson.loads(record), dict) else None
    except _DAMAGED:
        return None


async def own_packs(connection: Connection, packs: Published, tenant: str) -> dict[str, Source]:
    """Everything that the tenant published, by content hash."""
    wanted = [(tenant, pack, one.hash) for (whose, pack), life in packs.lives.items() if whose == tenant for one in life.releases]
    return await store.sources(connection, wanted)


async def begin(connection: Connection, tenant: str, run: Run, kind: Kind = "backtest") -> None:
    await connection.execute(
        "INSERT INTO backtests (tenant, id, pack, hash, over, actor, state, started_at, seen_at, athletes, done, counts, kind)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, 0, $10::jsonb, $11)",
        tenant,
        run.id,
        run.pack,
        run.hash,
        run.over,
        run.actor,
        run.state,
        run.started_at,
        run.athletes,
        orjson.dumps(run.counts).decode(),
        kind,
    )


async def progress(
    connection: Connection,
    tenant: str,
    id: str,
    done: int,
    counts: Mapping[str, int],
    first: int,
    found: Sequence[Difference],
    of: int | None = None,
) -> bool:
    """Keeps a part of the run; `of`: how many there are in all, where that was not known before. False when it was cancelled meanwhile."""
    async with connection.transaction():
        going = await connection.fetchval(
            "UPDATE backtests SET done = $3, counts = $4::jsonb, seen_at = clock_timestamp(), athletes = coalesce($5, athletes)"
            " WHERE tenant = $1 AND id = $2 AND state = 'running' RETURNING true",
            tenant,
            id,
            done,
            orjson.dumps(dict(counts)).decode(),
            of,
        )
        if going and found:
            sealed = await envelopes(connection, ((tenant, one.athlete) for one in found))
            await connection.executemany(
                "INSERT INTO backtest_differences (tenant, backtest, n, direction, athlete, course, seq, before, after, because)"
                f" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 {_STILL_THERE.format(course='$6', athlete='$5')}",
                [(tenant, id, first + n, *_columns(sealed, tenant, one)) for n, one in enumerate(found)],
            )
    return bool(going)


async def end(connection: Connection, tenant: str, id: str, state: str, because: str | None = None) -> bool:
    """False when it had ended before."""
    tag = await connection.fetchval(
        "UPDATE backtests SET state = $3, because = $4, ended_at = clock_timestamp(), seen_at = clock_timestamp()"
        " WHERE tenant = $1 AND id = $2 AND state = 'running' RETURNING true",
        tenant,
        id,
        state,
        because,
    )
    return bool(tag)


async def run(connection: Connection, tenant: str, pack: str, id: str, kind: Kind = "backtest") -> Run | None:
    row = await connection.fetchrow(
        f"SELECT {_RUN} FROM backtests WHERE tenant = $1 AND pack = $2 AND id = $3 AND kind = $4", tenant, pack, id, kind
    )
    return None if row is None else Run(**{**dict(row), "counts": orjson.loads(row["counts"])})


async def runs(connection: Connection, tenant: str, pack: str) -> list[Run]:
    """The newest hundred, newest first."""
    rows = await connection.fetch(
        f"SELECT {_RUN} FROM backtests WHERE tenant = $1 AND pack = $2 AND kind = 'backtest' ORDER BY started_at DESC LIMIT 100",
        tenant,
        pack,
    )
    return [Run(**{**dict(row), "counts": orjson.loads(row["counts"])}) for row in rows]


async def differences(connection: Connection, tenant: str, id: str, direction: str | None, after: int, limit: int) -> list[Kept]:
    async with snapshot(connection):
        rows = await connection.fetch(
            "SELECT n, direction, athlete, course, seq, before, after, because FROM backtest_differences"
            " WHERE tenant = $1 AND backtest = $2 AND n > $3 AND ($4::text IS NULL OR direction = $4) ORDER BY n LIMIT $5",
            tenant,
            id,
            after,
            direction,
            limit,
        )
        found = [Kept(*row) for row in rows]
        sealed = await envelopes(connection, ((tenant, one.athlete) for one in found))
    return [_opened(sealed, tenant, one) for one in found]


async def unshadowed(
    connection: Connection, tenant: str, pack: str, hash: str, behind: Mapping[str, int], limit: int
) -> dict[str, list[Waiting]]:
    """By athlete the decisions made since the shadow began that it has not looked at, the oldest of each partition first."""
    rows = await connection.fetch(
        "SELECT c.athlete, d.course, d.seq, d.as_of FROM decisions AS d JOIN courses AS c ON c.tenant = d.tenant AND c.course = d.course"
        " WHERE d.tenant = $1 AND split_part(c.protocol, '@', 1) = $2"
        " AND d.event_seq > coalesce(($4::jsonb ->> d.partition::text)::bigint, 0)"
        " AND NOT EXISTS (SELECT 1 FROM shadow_decisions AS s WHERE s.tenant = d.tenant AND s.pack = $2 AND s.hash = $3"
        " AND s.course = d.course AND s.seq = d.seq) ORDER BY d.partition, d.event_seq LIMIT $5",
        tenant,
        pack,
        hash,
        orjson.dumps(dict(behind)).decode(),
        limit,
    )
    found: dict[str, list[Waiting]] = {}
    for row in rows:
        found.setdefault(row["athlete"], []).append(Waiting(row["course"], row["seq"], row["as_of"]))
    return found


async def keep_shadows(connection: Connection, tenant: str, pack: str, hash: str, found: Sequence[tuple[Difference, datetime]]) -> None:
    """What the shadow would have decided, once for each decision."""
    sealed = await envelopes(connection, ((tenant, one.athlete) for one, _ in found))
    await connection.executemany(
        "INSERT INTO shadow_decisions (tenant, pack, hash, course, seq, athlete, direction, as_of, recorded_at, body, because)"
        " SELECT $1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp(), $9, $10"
        f" {_STILL_THERE.format(course='$4', athlete='$6')} ON CONFLICT DO NOTHING",
        [
            (tenant, pack, hash, course, seq, athlete, direction, as_of, after, because)
            for one, as_of in found
            for direction, athlete, course, seq, _, after, because in [_columns(sealed, tenant, one)]
        ],
    )


async def shadow_counts(connection: Connection, tenant: str, pack: str, hash: str) -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT direction, count(*) AS n FROM shadow_decisions WHERE tenant = $1 AND pack = $2 AND hash = $3 GROUP BY direction",
        tenant,
        pack,
        hash,
    )
    return {row["direction"]: row["n"] for row in rows}


async def shadow_differences(connection: Connection, tenant: str, pack: str, hash: str, limit: int) -> list[Kept]:
    """Where the shadow differs or was parked, the latest first, each with the decision it stands beside."""
    async with snapshot(connection):
        rows = await connection.fetch(
            "SELECT 0 AS n, s.direction, s.athlete, s.course, s.seq, d.body AS before, s.body AS after, s.because"
            " FROM shadow_decisions AS s JOIN decisions AS d ON d.tenant = s.tenant AND d.course = s.course AND d.seq = s.seq"
            " WHERE s.tenant = $1 AND s.pack = $2 AND s.hash = $3 AND s.direction <> 'same'"
            " ORDER BY s.recorded_at DESC, s.course, s.seq DESC LIMIT $4",
            tenant,
            pack,
            hash,
            limit,
        )
        found = [Kept(*row) for row in rows]
        sealed = await envelopes(connection, ((tenant, one.athlete) for one in found))
    return [_opened(sealed, tenant, one) for one in found]


def _opened(sealed: Envelopes, tenant: str, one: Kept) -> Kept:
    before, after = (None if body is None else opens(sealed, tenant, one.athlete, body) for body in (one.before, one.after))
    return one._replace(before=before, after=after, because=sealed.text(tenant, one.athlete, one.because))


def _columns(sealed: Envelopes, tenant: str, one: Difference) -> tuple[Any, ...]:
    before, after = (sealed.sealed(tenant, one.athlete, record) for record in (one.before, one.after))
    because = sealed.sealed_text(tenant, one.athlete, one.because or None)
    return one.direction, one.athlete, one.course, one.seq, before, after, because

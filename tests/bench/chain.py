"""From HTTP to the stored decision: saturated, at a fixed offered rate, on long courses; next to the bare append of the same rows."""

from time import perf_counter
from typing import Any

import asyncpg
import orjson

from tests.bench.figures import Figure, quantiles
from tests.bench.histories import batches, clinic, course
from tests.bench.observer import Observer
from tests.bench.sender import Answered, send
from tests.bench.site import BATCH, SINGLE, Site

ATHLETES = 200
WARM = 2_000
SATURATED_S = 12.0
OFFERED = 200
OFFERED_S = 12.0
TOGETHER = 256
"""Rows in one transaction of the floor: what the worker fetches."""


async def saturated(site: Site) -> Figure:
    """Batches as fast as history follows: no more than 3,000 accepted events may wait, so ingest and worker share the machine."""
    raws = clinic("full-", ATHLETES, 200)
    async with Observer(site.stack.settings) as seen:
        more = {"most_waiting": 3000, "database": site.database, "stored_before": seen.begin}
        sending = site.task(batches(raws, 250), 250, 2, SATURATED_S, BATCH, **more)
        before = site.cpu_s()
        answered = await send(sending)
        count = sum(250 for one in answered if one.status == 202)
        await seen.reached(count, 60)
        after = site.cpu_s()
        looks = _progress(seen)
    first = next(when for when, stored in looks if stored >= WARM)
    last = looks[-1][0]
    rate = (looks[-1][1] - next(stored for _, stored in looks if stored >= WARM)) / (last - first)
    floor = await _append(site)
    spent = ", ".join(f"{name} {(after[name] - before.get(name, 0)) / count * 1000:.2f}" for name in after)
    return Figure("accept to stored decision, saturated", "events", rate, {}, floor, 1500, f"processor ms per event: {spent}")


async def offered(site: Site) -> Figure:
    """Single events at a fixed rate; latency from when each should have left until its decision is seen in PostgreSQL."""
    raws = clinic("offered-", ATHLETES, 30)
    bodies = [orjson.dumps(raw) for raw in raws]
    begin = raws[:ATHLETES]
    await send(site.task(batches(begin, ATHLETES), ATHLETES, 1, 5.0, BATCH))
    bodies = bodies[ATHLETES:]
    async with Observer(site.stack.settings) as seen:
        answered = await send(site.task(bodies, 1, 32, OFFERED_S, SINGLE, rate=float(OFFERED)))
        ids = [raw["id"] for raw in raws[ATHLETES:]]
        await seen.hold([ids[one.body] for one in answered], 30)
        stored = await seen.stored_at()
    spent = _latencies(answered, ids, stored)
    return Figure(f"accept to stored decision, {OFFERED}/s offered", "events", None, quantiles(spent), None, 150, f"{len(spent)} events")


async def long_courses(site: Site) -> list[Figure]:
    """One event in order after another, on courses of three lengths."""
    figures = []
    for length in (10, 1_000, 10_000):
        raws = course(f"long{length}", length + 100)
        async with Observer(site.stack.settings) as seen:
            await send(site.task(batches(raws[:length], 500), 500, 1, 60.0, BATCH))
            await seen.hold([raw["id"] for raw in raws[:length]], 60)
        async with Observer(site.stack.settings) as seen:
            bodies = [orjson.dumps(raw) for raw in raws[length:]]
            answered = await send(site.task(bodies, 1, 8, 10.0, SINGLE, rate=50.0))
            ids = [raw["id"] for raw in raws[length:]]
            await seen.hold(ids, 30)
            stored = await seen.stored_at()
        spent = _latencies(answered, ids, stored)
        figures.append(Figure(f"one event in order, course of {length:,}, whole chain", "events", None, quantiles(spent)))
    return figures


def _latencies(answered: list[Answered], ids: list[str], stored: dict[str, float]) -> list[float]:
    return [(stored[ids[one.body]] - one.sent) * 1000 for one in answered if one.status == 202]


def _progress(seen: Observer) -> list[tuple[float, int]]:
    """When how many events were stored."""
    heads: dict[int, int] = {}
    total, found = None, []
    for when, partition, seq in seen.looks:
        before = heads.get(partition)
        heads[partition] = seq
        total = (total or 0) + (seq - before if before is not None else seq)
        found.append((when, total))
    return found


_TABLES = {
    "events": "partition, seq, tenant, athlete, source, id, type, time, recorded_at, stream_seq, digest, body, commitment, leaf",
    "event_outcomes": "tenant, source, id, seq, n, status, path, reason, partition, commitment",
    "decisions": "tenant, course, seq, id, athlete, partition, event_seq, cause_source, cause_id, as_of, as_at, body, commitment",
}
_FROM = {
    "events": "SELECT {columns} FROM events WHERE source = 'urn:bench:app' ORDER BY recorded_at, partition, seq LIMIT $1",
    "event_outcomes": "SELECT {columns} FROM event_outcomes WHERE source = 'urn:bench:app' ORDER BY tenant, source, id LIMIT $1",
    "decisions": "SELECT {columns} FROM decisions WHERE cause_source = 'urn:bench:app' ORDER BY as_at, course, seq LIMIT $1",
}


async def _append(site: Site, events: int = 6_000) -> float:
    """Events per second when their rows (event, outcome, decision, outbox) are only appended, in transactions as large as the worker's."""
    settings = site.stack.settings
    connection = await asyncpg.connect(settings.owner_database_url.replace("+asyncpg", ""))
    rows: dict[str, list[Any]] = {}
    for name, columns in _TABLES.items():
        await connection.execute(f"CREATE TABLE IF NOT EXISTS bench_{name} (LIKE {name} INCLUDING ALL)")
        rows[name] = [tuple(row) for row in await connection.fetch(_FROM[name].format(columns=columns), events)]
    await connection.execute("CREATE TABLE IF NOT EXISTS bench_outbox (LIKE outbox INCLUDING ALL)")
    types = {name: await _types(connection, name, columns) for name, columns in _TABLES.items()}
    begin = perf_counter()
    for at in range(0, events, TOGETHER):
        async with connection.transaction():
            for name, columns in _TABLES.items():
                part = rows[name][at : at + TOGETHER]
                if part:
                    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types[name], 1))
                    text = f"INSERT INTO bench_{name} ({columns}) SELECT * FROM unnest({arrays})"
                    await connection.execute(text, *(list(column) for column in zip(*part, strict=True)))
            outbox = [(row[5], row[0], row[4], row[11]) for row in rows["decisions"][at : at + TOGETHER]]
            text = "INSERT INTO bench_outbox (outbox, partition, tenant, athlete, body) SELECT o + $5, p, t, a, b"
            text += " FROM unnest($1::int[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY AS n(p, t, a, b, o)"
            await connection.execute(text, *(list(column) for column in zip(*outbox, strict=True)), at)
    spent = perf_counter() - begin
    for name in (*_TABLES, "outbox"):
        await connection.execute(f"DROP TABLE bench_{name}")
    await connection.close()
    return len(rows["events"]) / spent


async def _types(connection: Any, table: str, columns: str) -> list[str]:
    found = await connection.fetch(
        "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0", table
    )
    kinds = {row["attname"]: row["kind"] for row in found}
    return [kinds[name] for name in columns.split(", ")]

"""History proven: verified whole, replayed, and appended next to what `eventsourcing` appends to the same PostgreSQL in the same run."""

import asyncio
import os
from collections.abc import Sequence
from hashlib import sha256
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final
from uuid import uuid4

import asyncpg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from sqlalchemy import make_url

from services.decision.audit.replay import Asked, Piece
from services.decision.audit.whole import driver_url, verify_database
from services.decision.notary import Notary
from services.decision.proving import Prover
from services.decision.store import replays
from services.decision.store.bodies import envelopes
from services.decision.store.commit import commit
from services.decision.store.committing import commit_to
from services.decision.store.connection import Connection, Database
from services.decision.store.rows import DecisionRow, EventRow, Head, OutboxRow, OutcomeRow, Writes
from shared import db
from shared.placing import PARTITIONS
from shared.proof import Keyring
from shared.proof.stretches import STRETCH
from shared.settings import Settings
from tests.bench import replaying
from tests.bench.figures import Figure
from tests.bench.histories import batches, clinic
from tests.bench.observer import Observer
from tests.bench.sender import send
from tests.bench.site import BATCH, TENANT, Site

ATHLETES: Final = 200
EVENTS_EACH: Final = 60
TOGETHER: Final = 256
SERVICES: Final = ("worker", "ingest", "decision", "notify", "nats")
REST_LIMIT_S: Final = 120
_BUSY: Final = """
SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (backend_type = 'autovacuum worker' OR state = 'active')
"""
APPENDED: Final = 5
"""How many copies of the history are appended in the worker's batches and measured: single ones differ by a fifth."""
COPIES: Final = 40
"""How often the history is multiplied before it is verified, so that each partition has several whole stretches of leaves."""


async def measure(site: Site) -> list[Figure]:
    """Feeds a clinic's history through the whole chain, then stops every service and works on what is stored."""
    raws = clinic("proven-", ATHLETES, EVENTS_EACH)
    async with Observer(site.stack.settings) as seen:
        await send(site.task(batches(raws, 500), 500, 2, 120.0, BATCH))
        await seen.reached(len(raws), 120)
    settings = site.stack.settings
    for service in SERVICES:
        await site.stack.kill(service)
    await _rest(settings)
    # Before the history is multiplied: the database then goes on writing for minutes, and a busy neighbour takes a third of a core's speed.
    replayed = await _replay(settings)
    append = await _append(settings)
    return [await _prove(settings), *await _verify(settings), *replayed, append]


async def _rest(settings: Settings) -> None:
    """Waits until the database has nothing left to do of what it was fed."""
    connection: Connection = await asyncpg.connect(driver_url(settings.model_copy(update={"database_url": settings.owner_database_url})))
    try:
        await connection.execute("CHECKPOINT")
        async with asyncio.timeout(REST_LIMIT_S):
            while True:
                if not await connection.fetchval(_BUSY):
                    return
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _prove(settings: Settings) -> Figure:
    """What the worker pays beside its work, in the end, for every event: read again, checked row by row, and proven."""
    database = db.engine(settings, pool_size=1)
    try:
        ring = Keyring(settings.secret_key_bytes)
        await Notary(database, ring, range(PARTITIONS), 1, seals=True).sign()
        begin = process_time()
        count = await Prover(database, ring, range(PARTITIONS), 1).prove(rest=0)
        spent = process_time() - begin
    finally:
        await database.dispose()
    note = f"{count:,} stretches of {STRETCH:,}; {spent / (count * STRETCH) * 1e6:.0f} µs per event, beside the database's"
    return Figure("prove what was stored (per second of its processor time)", "events", count * STRETCH / spent, note=note)


async def _verify(settings: Settings) -> list[Figure]:
    sent, hashed = await _floors(settings)
    figures = []
    for name, leaves, target in (("verify, everything", STRETCH, 100_000), ("verify --every-row", None, None)):
        begin = perf_counter()
        found = await verify_database(settings, leaves=leaves)
        spent = perf_counter() - begin
        assert found.faults == [], found.faults[:3]
        note = f"{found.events:,} events, {found.rows:,} rows, {os.cpu_count()} processes, their start included"
        if leaves is not None:
            note += f"; {found.quick:,} stretches as proven, {found.slow.total():,} row by row; floor: bare COPY of the same rows, one"
            note += f" connection, nothing done with them; bare SHA-256 of the same bytes: {found.events / hashed:,.0f}/s"
        figures.append(Figure(name, "events", found.events / spent, floor=found.events / sent, target=target, note=note))
    return figures


async def _floors(settings: Settings) -> tuple[float, float]:
    """Seconds that the server takes to send the rows that `verify` reads, and that one core takes to hash as many bytes."""
    connection: Connection = await asyncpg.connect(driver_url(settings))
    count = 0

    async def take(data: bytes) -> None:
        nonlocal count
        count += len(data)

    try:
        begin = perf_counter()
        for table in ("events", "event_outcomes", "decisions"):
            await connection.copy_from_query(f"SELECT * FROM {table}", output=take, format="binary", timeout=None)
        sent = perf_counter() - begin
    finally:
        await connection.close()
    block = bytes(1 << 20)
    begin = process_time()
    for _ in range(-(-count // len(block))):
        sha256(block)
    return sent, process_time() - begin


async def _replay(settings: Settings) -> list[Figure]:
    """One process as those of a replay are, by its own processor time: by this interpreter, and by a quicker build of it if any is here."""
    connection: Connection = await asyncpg.connect(driver_url(settings))
    athletes = await replays.athletes(connection, TENANT, None, ("", ""), ATHLETES)
    await connection.close()
    piece = Piece(Database.of(settings), tuple(athletes), Asked(), None)
    figures = []
    first: float | None = None
    for interpreter in await asyncio.to_thread(replaying.interpreters):
        spent = await asyncio.to_thread(replaying.replay, piece, interpreter)
        spread = f"middle of {replaying.PASSES} passes, the slowest {spent.rates[0]:,.0f}, the quickest {spent.rates[-1]:,.0f}"
        note = f"{spent.decisions:,} decisions, {spread}; floor: the same read and opened, nothing decided; Python {interpreter.version},"
        note += f" whose plain loop takes {interpreter.loop * 1000:.1f} ms"
        name = "replay, one core, read and compared (per second of its processor time)"
        if first is not None:
            name, note = "the same by a quicker build of Python", f"{note}; {spent.rate / first:.2f} times the line above"
        first = first or spent.rate
        figures.append(Figure(name, "decisions", spent.rate, floor=spent.decisions / spent.opened, target=5_000, note=note))
    return figures


async def _append(settings: Settings) -> Figure:
    """The transaction of the worker on ready rows, with commitments, next to the peer's `insert_events` of as many events and bytes."""
    connection = await Database.of(settings).connect()
    try:
        rows = await connection.fetch("SELECT * FROM events WHERE source = 'urn:bench:app' ORDER BY partition, seq")
        sealed = await envelopes(connection, {(row["tenant"], row["athlete"]) for row in rows})
        events = [EventRow(*row[:12])._replace(body=sealed.body(row["tenant"], row["athlete"], row["body"])) for row in rows]
        made = {
            (row["partition"], row["event_seq"]): dict(row) | {"body": sealed.body(row["tenant"], row["athlete"], row["body"])}
            for row in await connection.fetch("SELECT * FROM decisions")
        }
        heads = {row[0]: Head(*row) for row in await connection.fetch("SELECT partition, epoch, stream_seq, seq FROM partition_heads")}
        rates = []
        key = Keyring(settings.secret_key_bytes).new()
        for copy in range(COPIES):
            # Those that are not measured are there for `verify`.
            together = TOGETHER if copy < APPENDED else len(events)
            spent = 0.0
            for at in range(0, len(events), together):
                writes = _batch(events[at : at + together], made, heads, f"copy-{copy}", key)
                begin = perf_counter()
                commit_to(writes)
                await commit(connection, writes)
                spent += perf_counter() - begin
                heads |= {head.partition: head for head in writes.after}
            if copy < APPENDED:
                rates.append(len(events) / spent)
        await _keys(settings, connection, {row.athlete for row in events}, key)
        peer = await asyncio.to_thread(
            _peer, settings, [row.body + made[row.partition, row.seq]["body"] for row in events if (row.partition, row.seq) in made]
        )
    finally:
        await connection.close()
    note = f"middle of {APPENDED}, {min(rates):,.0f} to {max(rates):,.0f}; floor: eventsourcing's insert_events of the same bytes, one row"
    note += " each, as often; here four rows, commitments and head"
    return Figure("append, ready rows, 256 in a transaction", "events", median(rates), floor=peer, note=note)


def _batch(events: Sequence[EventRow], made: dict[tuple[int, int], Any], heads: dict[int, Head], tenant: str, key: bytes) -> Writes:
    writes = Writes()
    numbers = {row.partition: heads[row.partition].seq for row in events}
    for row in events:
        numbers[row.partition] += 1
        seq = numbers[row.partition]
        writes.events.append(row._replace(tenant=tenant, seq=seq, stream_seq=None, commitment=None, leaf=None))
        writes.outcomes.append(OutcomeRow(tenant, row.source, row.id, seq, 0, "accepted", None, None, row.partition))
        decision = made.get((row.partition, row.seq))
        if decision is not None:
            own = decision | {"tenant": tenant, "id": uuid4(), "event_seq": seq, "commitment": None}
            writes.decisions.append(DecisionRow(**own))
            writes.outbox.append(OutboxRow(row.partition, tenant, row.athlete, b'{"kind":"copy"}'))
        writes.keys[tenant, row.athlete] = key
    writes.before = [heads[partition] for partition in sorted(numbers)]
    writes.after = [head._replace(seq=numbers[head.partition]) for head in writes.before]
    return writes


async def _keys(settings: Settings, connection: Connection, athletes: set[str], key: bytes) -> None:
    ring = Keyring(settings.secret_key_bytes)
    rows = [(f"copy-{copy}", athlete, ring.wrap(key, f"copy-{copy}", athlete)) for copy in range(COPIES) for athlete in sorted(athletes)]
    await connection.executemany("INSERT INTO keys.athlete_keys (tenant, athlete, wrapped, created_at) VALUES ($1, $2, $3, now())", rows)


def _peer(settings: Settings, bodies: Sequence[bytes]) -> float:
    """Events per second of the library's own append, as many at once as the worker takes."""
    url = make_url(settings.owner_database_url)
    store = PostgresDatastore(url.database or "", url.host or "", url.port or 5432, url.username or "", url.password or "")
    try:
        recorder = PostgresApplicationRecorder(store, events_table_name="peer_events")
        recorder.create_table()
        rates = []
        for _ in range(APPENDED):
            begin = perf_counter()
            for at in range(0, len(bodies), TOGETHER):
                recorder.insert_events([StoredEvent(uuid4(), 1, "decided", body) for body in bodies[at : at + TOGETHER]])
            rates.append(len(bodies) / (perf_counter() - begin))
        return median(rates)
    finally:
        store.close()

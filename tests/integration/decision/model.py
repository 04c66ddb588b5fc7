"""Two writers of one history, on the real database, driven step by step: what is sent, how it is read, who owns it, who sleeps.

The bus is a list here, so that every step is chosen: where a batch ends, whether it comes again, when a commit's answer is lost, when a
writer stops between folding and writing. Everything else is the product: lanes, leases, fold, transaction, proofs.
"""

import asyncio
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from secrets import token_hex
from typing import Any, Final, NamedTuple, cast

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.arrivals import Arrival, stamp, time_reached
from services.decision.athletes import restored
from services.decision.audit.again import known_then
from services.decision.audit.verify import Share
from services.decision.forgetting import erasure_event
from services.decision.reader import Message, Reader
from services.decision.rules.library import PackLibrary
from services.decision.store import erase, erasures, moments, outbox, replays
from services.decision.store.athletes import histories
from services.decision.store.bodies import envelopes
from services.decision.store.commit import Fenced, commit
from services.decision.store.connection import Connection, Database
from services.decision.store.moments import When
from services.decision.store.remains import LATE, Remains
from services.decision.store.rows import TimerRow, Writes
from services.decision.ticker import Ticker
from services.decision.worker import Worker
from shared import db
from shared.bus import Bus
from shared.events import canonical, content_digest, parse
from shared.placing import PARTITIONS, partition, pseudonym
from shared.proof import Keyring
from shared.settings import Settings
from tests.integration.decision.feeding import START, Agreeing

TENANT: Final = "clinic"
ATHLETES: Final = ("athlete-ann", "athlete-ben")
_CONFLICTS: Final = "SELECT source, id, athlete, body FROM event_conflicts WHERE athlete = ANY($1::text[])"
Raw = dict[str, Any]
Commit = Callable[[Connection, Writes], Awaitable[None]]

GATE: ContextVar[Commit | None] = ContextVar("GATE", default=None)
"""What stands between a lane and its commit, in this task."""
TABLES: Final = (
    *("events", "event_outcomes", "event_conflicts", "decisions", "courses", "timers", "outbox", "event_terms", "checkpoints", "seals"),
    *("tree_blocks", "keys.athlete_keys", "keys.erasures"),
)


async def gated(connection: Connection, writes: Writes) -> None:
    """In place of `commit`, in the lane's module."""
    await (GATE.get() or commit)(connection, writes)


class Lost(Exception):
    """The answer to COMMIT never came."""


class Sent(NamedTuple):
    """A message of the bus."""

    partition: int
    stream_seq: int
    body: bytes
    athlete: str
    name: tuple[str, str]
    digest: bytes
    recorded: datetime


class FromList:
    """A lane's reader of the list, from a place of its own."""

    def __init__(self, stream: list[Sent], start: int) -> None:
        self._stream = stream
        self._place = start - 1

    async def next(self, limit: int, wait_s: float) -> list[Message]:
        found = self._stream[self._place : self._place + limit]
        self._place += len(found)
        return [Message(one.partition, one.stream_seq, one.body, cast(Any, None)) for one in found]

    async def acknowledge(self, last: Message) -> None: ...

    async def close(self) -> None: ...


class OnDemand(Ticker):
    """Time speaks when it is told to, by the clock of the model."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self.clock = clock
        self.speaks = False

    def now(self) -> datetime:
        return self.clock()

    def is_due(self, idle: bool) -> bool:
        return self.speaks


@cache
def ended_process() -> int:
    """The id of a process that ran and runs no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@dataclass
class Writer:
    """One worker's lane. Its name is that of an ended process, so that whoever wants its partitions need not wait for the lease."""

    worker: Worker
    engine: AsyncEngine
    ticker: OnDemand
    reader: FromList | None = None
    asleep: "asyncio.Task[None] | None" = None
    wake: asyncio.Event | None = None

    def forget(self) -> None:
        """As a lane does that starts again."""
        self.worker.desk.athletes.clear()
        self.worker.lane._keys.clear()


class World:
    """Everything the rules act on; each method is one step and runs to its end before the next."""

    def __init__(self, settings: Settings, packs: PackLibrary) -> None:
        self.settings = settings
        self.packs = packs
        self.stream: list[Sent] = []
        self.clock = START + timedelta(days=30)
        self.owner: Writer | None = None
        self.writers: list[Writer] = []
        self.answers: dict[tuple[str, datetime, datetime], bytes | None] = {}
        self.erased: set[str] = set()
        self.dead = ended_process()

    async def open(self) -> None:
        self.connection = await Database.of(self.settings).connect()
        owning = replace_user(self.settings)
        self.owning = await owning.connect()
        self.writers = [self._writer() for _ in range(2)]
        await self.take_over(0)

    def _writer(self) -> Writer:
        engine = db.engine(self.settings, pool_size=2)
        own = self.settings.model_copy(update={"lanes": 1, "lease_s": 600.0, "fetch_size": 100})
        worker = Worker(own, engine, cast(Bus, None), self.packs, Agreeing())
        ticker = OnDemand(lambda: self.clock)
        worker.lane._ticker = ticker
        return Writer(worker, engine, ticker)

    async def close(self) -> None:
        for writer in self.writers:
            if writer.asleep is not None and writer.wake is not None:
                writer.wake.set()
                await asyncio.wait([writer.asleep])
                writer.asleep.exception()
            await writer.engine.dispose()
        await self.owning.execute(f"TRUNCATE {', '.join(TABLES)}")
        await self.owning.execute("UPDATE partition_heads SET owner = NULL, lease_until = NULL, stream_seq = 0, seq = 0, conflicts = 0")
        await self.owning.close()
        await self.connection.close()

    @property
    def there(self) -> list[str]:
        """Who was not erased."""
        return [athlete for athlete in ATHLETES if athlete not in self.erased]

    # What is sent.

    def publish(self, event: Raw) -> None:
        """What ingest has acknowledged."""
        self.clock += timedelta(minutes=1)
        athlete = event["subject"]
        body = canonical(event | {"tenant": TENANT, "recordedtime": stamp(self.clock)})
        place, number = partition(TENANT, athlete), len(self.stream) + 1
        self.stream.append(Sent(place, number, body, athlete, (event["source"], event["id"]), content_digest(event), self.clock))

    # How it is read and written.

    async def turn(self, writer: Writer, limit: int = 100, gate: Commit | None = None, time_speaks: bool = False) -> Exception | None:
        """One turn of the lane; what it raised, after which it starts again with nothing at hand, as a lane does."""
        if time_speaks:
            # Later than all that was asked of: what it says is known from now on.
            self.clock += timedelta(minutes=1)
        GATE.set(gate)
        writer.worker.lane._fetch_size = limit
        writer.ticker.speaks = time_speaks
        assert writer.reader is not None, "a writer reads after it took the partitions"
        try:
            await writer.worker.lane._turn(cast(Reader, writer.reader))
        except Exception as fault:
            writer.forget()
            return fault
        return None

    async def take_over(self, number: int) -> None:
        """This writer owns everything from now on; the other does not know it yet."""
        writer = self.writers[number]
        writer.forget()
        writer.worker.lease.owner = f"{socket.gethostname()}:{self.dead}:{token_hex(8)}"
        await writer.worker.lease.take()
        writer.worker.lane._forgetting.know(await erasures.pseudonyms(self.connection))
        writer.reader = FromList(self.stream, writer.worker.lease.read_to + 1)
        self.owner = writer

    async def fall_asleep(self, writer: Writer, limit: int) -> bool:
        """The writer folds its next batch and stops right before it writes. False when there was nothing to write."""
        reached, writer.wake = asyncio.Event(), asyncio.Event()
        wake = writer.wake

        async def sleeping(connection: Connection, writes: Writes) -> None:
            reached.set()
            await wake.wait()
            await commit(connection, writes)

        async def raising() -> None:
            if (fault := await self.turn(writer, limit, sleeping)) is not None:
                raise fault

        task = asyncio.create_task(raising())
        waiting = asyncio.create_task(reached.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
            return False
        writer.asleep = task
        return True

    async def woken(self, writer: Writer) -> BaseException | None:
        """The writer goes on where it stopped; what it raised."""
        assert writer.asleep is not None and writer.wake is not None
        task, writer.asleep = writer.asleep, None
        writer.wake.set()
        await asyncio.wait([task])
        return task.exception()

    async def lose(self, limit: int, stored: bool) -> None:
        """The owner's commit takes effect or not, and its answer is lost; the lane takes its partitions anew."""
        writer = self.owner
        assert writer is not None

        async def losing(connection: Connection, writes: Writes) -> None:
            if stored:
                await commit(connection, writes)
            raise Lost

        fault = await self.turn(writer, limit, losing)
        assert fault is None or isinstance(fault, Lost), fault
        await self.take_over(self.writers.index(writer))

    async def old_form(self, athlete: str, course: str) -> None:
        """Time speaks as it did before its data said the instant once."""
        writer = self.owner
        assert writer is not None
        self.clock += timedelta(minutes=1)
        due = self.clock - timedelta(hours=1)
        timer = TimerRow(TENANT, course, "report_due", athlete, partition(TENANT, athlete), due)

        def arrive() -> list[Arrival]:
            new = time_reached(timer, self.clock)
            found = orjson.loads(new.body)
            found.pop("dataversion")
            found["data"]["at"] = found["time"]
            event = parse(found, internal=True)
            return [replace(new, body=canonical(found), digest=content_digest(found), event=event)]

        GATE.set(None)
        try:
            await writer.worker.lane._write(arrive, {})
        except Fenced:
            writer.forget()
            raise

    async def erase(self, athlete: str) -> None:
        """Asked for behind everything that was sent, read, and carried out; the owner finds its partition taken and begins again."""
        owner = self.owner
        assert owner is not None
        self.clock += timedelta(minutes=1)
        name = pseudonym(self.settings.pseudonym_key_bytes, TENANT, athlete)
        body = erasure_event(TENANT, name, {"reason": "ordered", "by": {"id": "k", "role": "admin"}}, stamp(self.clock))
        asked = orjson.loads(body)
        number = len(self.stream) + 1
        named = (asked["source"], asked["id"])
        self.stream.append(Sent(partition(TENANT, athlete), number, body, name, named, content_digest(asked), self.clock))
        assert await self.turn(owner) is None
        await erase.erase(self.owning, Remains(Keyring(self.settings.secret_key_bytes).remains), TENANT, athlete, name)
        await erase.done(self.owning, TENANT, name, partition(TENANT, athlete), number)
        self.erased.add(athlete)
        await self.take_over(self.writers.index(owner))

    async def forget(self) -> None:
        """Every cache and projection that may be dropped is."""
        for writer in self.writers:
            if writer.asleep is None:
                writer.forget()
            writer.worker.notary._edges.clear()
        await self.owning.execute("TRUNCATE tree_blocks")

    async def sign(self) -> None:
        assert self.owner is not None
        await self.owner.worker.notary.sign()

    # What is asked, and what must hold.

    async def heads(self) -> dict[int, tuple[int, int]]:
        rows = await self.connection.fetch("SELECT partition, stream_seq, seq FROM partition_heads")
        return {row["partition"]: (row["stream_seq"], row["seq"]) for row in rows}

    async def everything(self) -> list[tuple[str, int, str]]:
        """How many rows each table has and what they hash to, to see that nothing was written."""
        found = []
        for table in TABLES:
            query = f"SELECT count(*) AS n, md5(string_agg(t::text, '|' ORDER BY t::text)) AS hash FROM {table} AS t"
            row = await self.connection.fetchrow(query)
            assert row is not None
            found.append((table, int(row["n"]), str(row["hash"])))
        return found

    async def settled(self) -> datetime | None:
        """The reception up to which everything that was received is in history; None when nothing is."""
        heads = await self.heads()
        found = None
        for one in self.stream:
            if heads[one.partition][0] < one.stream_seq:
                break
            found = one.recorded
        return found

    async def ask(self, course: str, as_of: datetime, as_at: datetime) -> bytes | None:
        found = await moments.course(self.connection, TENANT, course, When(as_of, as_at))
        return None if found is None else found[1].body

    async def check(self) -> None:
        heads = await self.heads()
        await self._once_and_gapless(heads)
        await self._decided_as_a_fresh_fold_does()
        found = await self._verified()
        assert found == [], found
        for athlete in self.erased:
            for table in TABLES:
                query = f"SELECT count(*) FROM {table} AS t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0"
                assert not await self.connection.fetchval(query, athlete, athlete.encode().hex()), f"the erased is still in {table}"
        for (course, as_of, as_at), answer in self.answers.items():
            assert await self.ask(course, as_of, as_at) == answer, "an answer of the past changed"

    async def _once_and_gapless(self, heads: dict[int, tuple[int, int]]) -> None:
        rows = await self.connection.fetch(
            "SELECT partition, seq, athlete, source, id, stream_seq, body FROM events ORDER BY partition, seq"
        )
        numbers = Counter(row["partition"] for row in rows)
        for place in range(PARTITIONS):
            assert [row["seq"] for row in rows if row["partition"] == place] == list(range(1, numbers[place] + 1)), "a gap"
            assert heads[place][1] == numbers[place], "a head that is not its history's length"
        sealed = await envelopes(self.connection, [(TENANT, athlete) for athlete in self.there])
        kept = {(row["source"], row["id"]): row for row in rows}
        first: dict[tuple[str, str], Sent] = {}
        others: set[tuple[tuple[str, str], bytes]] = set()
        for one in self.stream:
            holder = first.setdefault(one.name, one)
            if heads[one.partition][0] < one.stream_seq or one.athlete in self.erased:
                continue
            assert one.name in kept, "acknowledged, read, and lost"
            assert kept[one.name]["stream_seq"] == holder.stream_seq, "acknowledged, read, and not the one in history"
            assert one.athlete not in ATHLETES or sealed.body(TENANT, one.athlete, kept[one.name]["body"]) == holder.body, (
                "its bytes changed"
            )
            if one.digest != holder.digest:
                others.add((one.name, one.digest))
        told = [row for row in rows if row["stream_seq"] is not None and row["source"] != LATE]
        assert len(told) == len({row["stream_seq"] for row in told}) and all((row["source"], row["id"]) in first for row in told)
        conflicts = await self.connection.fetch(
            "SELECT source, id, athlete, body FROM event_conflicts WHERE athlete = ANY($1::text[])", self.there
        )
        seen = [
            ((row["source"], row["id"]), content_digest(orjson.loads(sealed.body(TENANT, row["athlete"], row["body"]))))
            for row in conflicts
        ]
        assert sorted(seen) == sorted(others), "other contents under a key are kept once each"

    async def _decided_as_a_fresh_fold_does(self) -> None:
        keys = [(TENANT, athlete) for athlete in self.there]
        pasts = await replays.pasts(self.connection, keys) if keys else []
        made = 0
        for past in pasts:
            assert list(known_then(past, self.packs, {})) == [], "history decided again says something else"
            made += len(past.decisions)
        known = await histories(self.connection, keys)
        courses = await self.connection.fetch("SELECT athlete, course, seq, state FROM courses")
        opens = await envelopes(self.connection, keys)
        for row in courses:
            athlete = restored(self.packs, known[TENANT, row["athlete"]])
            state = opens.body(TENANT, row["athlete"], row["state"])
            assert state != row["state"] and athlete.state(row["course"]) == orjson.loads(state), (
                "the projection is not what history folds to"
            )
        waiting = await outbox.waiting(self.connection, range(PARTITIONS), 10_000)
        told = Counter(
            (one.tenant, body["course"], body["seq"]) for one in waiting if (body := orjson.loads(one.body))["kind"] == "decision"
        )
        assert sum(told.values()) == len(told) == made, "each decision leaves once"

    async def _verified(self) -> list[str]:
        transaction = self.connection.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        try:
            return (await Share(self.connection, Keyring(self.settings.secret_key_bytes), 0, 1).verify()).faults
        finally:
            await transaction.rollback()


def replace_user(settings: Settings) -> Database:
    """As the role that owns the schema."""
    return Database.of(settings.model_copy(update={"database_url": settings.owner_database_url}))

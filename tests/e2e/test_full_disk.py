"""Law nothing-lost on full disks: ingest says 503 in words, and once there is room everything goes on without anybody's hands."""

import asyncio
import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from services.cli.stack import Stack
from shared import auth, db
from tests.e2e.history import connected
from tests.e2e.load import PAUSE_S, REPEAT_AFTER_S, SOURCE, Place, event
from tests.e2e.rounds import OVERRIDES
from tests.seeds import chance

PLACE = Place("full", "a0", "c0-0", "knee")
ROOM = 1_000
"""Bytes that a file may have while the disk is full: every write fails, PostgreSQL's log of writes included."""
WITHIN_S = 180

# As the user that the server runs as: only that one, or a greater power than root has in a container, may set its limits.
LIMITER = """
import os, resource, sys
os.setgroups([]) if os.getuid() == 0 else None
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
for line in sys.stdin:
    pid, room = map(int, line.split())
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    except ProcessLookupError:
        pass
"""


class Sender:
    """Sends numbered events, each until it is acknowledged; `refused` counts what the answers said meanwhile."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"}
        self._sending: asyncio.Task[None]
        self.acknowledged: list[str] = []
        self.refused: Counter[str] = Counter()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        self._sending = asyncio.create_task(self._send())
        try:
            yield
        finally:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    async def more(self, count: int = 20) -> None:
        """Waits until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        await self._until(lambda: len(self.acknowledged) >= wanted, "nothing is acknowledged")

    async def refusal(self) -> None:
        """Waits until one more was refused in words."""
        wanted = self.refused.total() + 1
        await self._until(lambda: self.refused.total() >= wanted, "nothing is refused")

    async def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = monotonic() + WITHIN_S
        while not holds():
            assert monotonic() < deadline, f"{otherwise}; refused were {dict(self.refused)}"
            assert not self._sending.done(), self._sending.exception()
            await asyncio.sleep(0.05)

    async def _send(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            for number in range(100_000):
                body = event(PLACE, number)
                await self._until_taken(http, body)
                await asyncio.sleep(PAUSE_S)

    async def _until_taken(self, http: aiohttp.ClientSession, body: dict[str, Any]) -> None:
        while True:
            if await self._is_taken(http, body):
                self.acknowledged.append(body["id"])
                return
            await asyncio.sleep(REPEAT_AFTER_S)

    async def _is_taken(self, http: aiohttp.ClientSession, body: dict[str, Any]) -> bool:
        with suppress(TimeoutError, aiohttp.ClientError):
            async with http.post(f"{self._url}/v1/events", json=body, headers=self._headers) as answer:
                if answer.status == 202:
                    return True
                said = await answer.json(content_type=None)
                assert answer.status == 503 and answer.headers["Retry-After"], said
                self.refused[said["detail"]] += 1
        return False


@asynccontextmanager
async def full(pid: Callable[[], int | None]) -> AsyncIterator[None]:
    """The disk of the process, of its children and of every successor is full inside."""
    owner = psutil.Process(pid() or 0)
    words = [sys.executable, "-I", "-S", "-c", LIMITER, str(owner.uids().real), str(owner.gids().real)]
    limiter = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE)
    assert limiter.stdin is not None
    said = limiter.stdin

    def limit(room: int) -> None:
        with suppress(psutil.Error):
            server = psutil.Process(pid() or 0)
            for one in (server, *server.children(recursive=True)):
                said.write(b"%d %d\n" % (one.pid, room))

    async def again() -> None:
        while True:
            limit(ROOM)
            await asyncio.sleep(0.02)

    limiting = asyncio.create_task(again())
    try:
        yield
    finally:
        limiting.cancel()
        await asyncio.wait([limiting])
        limit(resource.RLIM_INFINITY)
        said.close()
        assert await asyncio.wait_for(limiter.wait(), 60) == 0


async def stored(stack: Stack, sender: Sender) -> None:
    """Waits until everything acknowledged is in history, and has its decision or its refusal; once each."""
    deadline = monotonic() + WITHIN_S
    while True:
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            async with connected(stack.settings) as connection:
                rows = await connection.fetch(
                    "SELECT e.id, count(DISTINCT e.seq) AS times FROM events AS e JOIN event_outcomes AS o USING (tenant, source, id)"
                    " WHERE e.source = $1 GROUP BY e.id",
                    SOURCE,
                )
                found = {row["id"]: row["times"] for row in rows}
                if set(sender.acknowledged) <= found.keys():
                    assert set(found.values()) == {1}
                    return
        assert monotonic() < deadline, "acknowledged events are not in history"
        await asyncio.sleep(0.1)


async def statement_fault(stack: Stack, begun: bool) -> None:
    """Every insert into history fails as one does that finds no room for its rows, while the log of writes still has some."""
    connection = await asyncpg.connect(stack.settings.owner_database_url.replace("+asyncpg", ""))
    if begun:
        await connection.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END$$"
        )
        await connection.execute("CREATE TRIGGER no_room BEFORE INSERT ON events EXECUTE FUNCTION no_room()")
    else:
        await connection.execute("DROP FUNCTION no_room() CASCADE")
    await connection.close()


@pytest.mark.law("nothing-lost")
@pytest.mark.timeout(900)
async def test_a_full_disk_is_told_in_words_and_room_brings_everything_back_without_hands(data_dir):
    told: list[str] = []
    async with Stack(OVERRIDES, data_dir, watch=True, tell=told.append) as stack:
        assert stack.servers is not None
        nats, postgres = stack.servers.nats, stack.servers.postgres
        database = db.engine(stack.settings, pool_size=1)
        async with database.begin() as conn:
            key = (await auth.create_key(conn, PLACE.tenant, "integrator", "full disk"))[1]
        await database.dispose()
        sender, drawn = Sender(stack.ingest_url, key), chance("full disks")
        async with sender.at_work():
            await sender.more(drawn.randint(5, 40))
            async with full(lambda: nats.pid):
                for _ in range(drawn.randint(1, 3)):
                    await sender.refusal()
            await sender.more(drawn.randint(5, 40))
            assert any("NATS cannot write any more" in line for line in told), told
            assert set(sender.refused) <= {
                said for said in sender.refused if said.startswith(("the bus does not confirm events now", "the bus has no room"))
            }
            await statement_fault(stack, True)
            await sender.more()
            await statement_fault(stack, False)
            await sender.more()
            async with full(lambda: postgres.pid):
                # Ingest writes nothing there: where it can still tell a good key from a bad one, its word is as good as before.
                await refused(f"{stack.notify_url}/v1/endpoints", key)
            await sender.more()
        await stored(stack, sender)
        await stack.ready()


async def refused(url: str, key: str) -> None:
    """Asks for an endpoint until it is refused in words; what the database cannot write is never confirmed."""
    deadline = monotonic() + WITHIN_S
    said = "nothing"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        while True:
            asked, headers = {"url": "https://hooks.example.org/in"}, {"Authorization": f"Bearer {key}"}
            with suppress(TimeoutError, aiohttp.ClientError):
                async with http.post(url, json=asked, headers=headers) as answer:
                    said = await answer.json(content_type=None)
                    if answer.status == 503 and "database does not answer" in said["detail"]:
                        return
            assert monotonic() < deadline, said
            await asyncio.sleep(0.1)

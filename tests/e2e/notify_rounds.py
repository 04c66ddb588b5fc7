"""Notify and PostgreSQL killed again and again under notices, before a receiver that counts; and what must hold at the end."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import asyncpg
import orjson
from sqlalchemy import text

from services.cli.stack import Stack
from shared import auth, db
from shared.bus import Bus, BusError, decision_subject
from shared.placing import partition, pseudonym
from tests.e2e.receiver import Receiver
from tests.e2e.rounds import OVERRIDES

TENANT: Final = "killed"
COURSES: Final = 12
AHEAD: Final = 150
"""Notices beyond what is waited for, so that a slow machine is not given more to do than a quick one."""
PROGRESS_S: Final = 180
SETTLED_S: Final = 180


@dataclass
class Notices:
    """Decisions put straight on the bus, each once for sure: what was not confirmed is repeated under its number."""

    stack: Stack
    published: int = 0
    allowed: int = AHEAD
    latest: dict[str, int] = field(default_factory=dict)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        bus = await Bus.connect(self.stack.settings, "milepost-kill-test")
        try:
            while not self.stopped.is_set():
                if self.published >= self.allowed:
                    await asyncio.sleep(0.05)
                    continue
                course = f"course-{self.published % COURSES}"
                seq = self.latest.get(course, 0) + 1
                await self._publish(bus, course, seq)
                self.latest[course] = seq
                self.published += 1
                await asyncio.sleep(0.01)
        finally:
            await bus.close()

    async def _publish(self, bus: Bus, course: str, seq: int) -> None:
        body: dict[str, Any] = {
            "id": f"{course}-d{seq}", "course": course, "subject": course, "seq": seq, "action": "hold", "from_step": "W1",
            "to_step": f"W{seq}", "running": "as_dosed", "urgency": "routine", "not_before": None, "summary": "Hold.", "answer": None,
            "supersedes": None, "as_of": "2026-03-01T11:00:00Z", "as_at": "2026-03-01T11:00:01Z",
        }  # fmt: skip
        row = {"outbox": 10**9 + self.published, "kind": "decision", "tenant": TENANT, "athlete": course, "course": course, "cause": {}}
        subject = decision_subject(partition(TENANT, course), pseudonym(self.stack.settings.pseudonym_key_bytes, TENANT, course))
        while True:
            try:
                await bus.publish(subject, orjson.dumps(row | {"body": body}))
                return
            except BusError:
                await asyncio.sleep(0.1)

    async def more(self, count: int) -> None:
        """Waits until so many more were published."""
        wanted, deadline = self.published + count, monotonic() + PROGRESS_S
        self.allowed = wanted + AHEAD
        while self.published < wanted:
            assert monotonic() < deadline, "notices do not flow"
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Judged:
    """What a run found. `faults` is empty when every notice arrived, effectively once and in order."""

    faults: list[str]
    kills: int
    published: int
    heard: int
    repeated: int
    seconds: float


async def kill_loop(data_dir: Path, seed: int, kills: int, tell: Callable[[str], None] = lambda line: None) -> Judged:
    """Kills notify, PostgreSQL or both `kills` times, in an order and at moments that `seed` settles."""
    begin, chance = monotonic(), random.Random(seed)
    async with Receiver() as receiver, Stack({**OVERRIDES, "notice_coalesce_s": 0.05}, data_dir) as stack:
        await _subscribe(stack, receiver)
        notices = Notices(stack)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(notices.run())
            for number in range(kills):
                await notices.more(chance.randint(20, 120))
                parts = (["postgres"], ["notify"], ["postgres", "notify"])[number % 3]
                for part in parts:
                    await stack.kill(part)
                tell(f"killed {' and '.join(parts)} after {notices.published} notices, {len(receiver.counts)} heard")
                await asyncio.sleep(chance.random())
                for part in parts:
                    await stack.restart(part)
            await notices.more(40)
            notices.stopped.set()
        await stack.ready()
        faults = await _settled(stack, receiver, notices)
        repeated = sum(count - 1 for count in receiver.counts.values() if count > 1)
        return Judged(faults, kills, notices.published, len(receiver.counts), repeated, monotonic() - begin)


async def _subscribe(stack: Stack, receiver: Receiver) -> None:
    database = db.engine(stack.settings, pool_size=1)
    async with database.begin() as conn:
        key = (await auth.create_key(conn, TENANT, "integrator", "kill test"))[1]
    await database.dispose()
    async with aiohttp.ClientSession() as http:
        asked, headers = {"url": receiver.url(TENANT), "payload": "full"}, {"Authorization": f"Bearer {key}"}
        async with http.post(f"{stack.notify_url}/v1/endpoints", json=asked, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            receiver.secrets[TENANT] = (await answer.json())["secret"]


async def _settled(stack: Stack, receiver: Receiver, notices: Notices) -> list[str]:
    """The faults that stand once nothing is under way; what is still pending when the time is over is one."""
    deadline = monotonic() + SETTLED_S
    while faults := await _faults(stack, receiver, notices):
        if monotonic() > deadline:
            return faults
        await asyncio.sleep(0.2)
    return []


async def _faults(stack: Stack, receiver: Receiver, notices: Notices) -> list[str]:
    database = db.engine(stack.settings, pool_size=1)
    try:
        async with database.connect() as conn:
            query = "SELECT n.id, d.state, d.because FROM notices n LEFT JOIN deliveries d ON d.notice = n.id WHERE n.tenant = :tenant"
            kept = list(await conn.execute(text(query), {"tenant": TENANT}))
    except (OSError, asyncpg.PostgresError):
        return ["the database does not answer"]
    finally:
        await database.dispose()
    found = [f"webhooks could not be believed: {receiver.forged[:3]}"] if receiver.forged else []
    if twice := [notice for notice, count in Counter(row.id for row in kept).items() if count > 1]:
        found.append(f"notices with several deliveries to one endpoint: {twice[:3]}")
    for row in kept:
        if row.state == "delivered" and not receiver.counts.get(row.id):
            found.append(f"{row.id} counts as delivered and never arrived")
        elif row.state not in ("delivered", "cancelled"):
            found.append(f"{row.id} stands as {row.state}: {row.because}")
        elif row.state == "cancelled" and not str(row.because).startswith("newer notice "):
            found.append(f"{row.id} was cancelled because {row.because!r}")
    if strange := receiver.counts.keys() - {row.id for row in kept}:
        found.append(f"{len(strange)} webhooks arrived that no notice stands for")
    heard: dict[str, list[int]] = defaultdict(list)
    for arrival in receiver.first_heard:
        heard[arrival.data["course"]].append(arrival.data["seq"])
    for course, latest in notices.latest.items():
        if heard[course] != sorted(set(heard[course])):
            found.append(f"{course} was told out of order or under several ids: {heard[course]}")
        if heard[course][-1:] != [latest]:
            found.append(f"{course} was last told {heard[course][-1:]}, and {latest} is the latest")
    return found

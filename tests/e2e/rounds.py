"""One round: a whole stack under load, each of its processes killed with SIGKILL in turn, and everything judged at the end."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp

from services.cli.stack import Stack
from services.decision.audit.whole import verify_database
from shared import auth, db
from tests.e2e import checker, history, replay
from tests.e2e.load import SOURCE, Load
from tests.e2e.receiver import Receiver

PARTS: Final = ("ingest", "worker", "decision", "notify", "nats", "postgres")
STARTING: Final = ("nats", "postgres", "worker", "ingest", "decision", "notify")
TENANTS: Final = ("north", "south")
PROGRESS_S: Final = 30
SETTLED_S: Final = 60

OVERRIDES: Final[dict[str, Any]] = {
    "ingest_port": 0,
    "decision_port": 0,
    "notify_port": 0,
    "allow_loopback_webhooks": True,
    "notice_coalesce_s": 0.2,
    "retry_schedule_s": (0.0, *(0.2,) * 40),
    "lease_s": 3.0,
}


@dataclass(frozen=True)
class Judged:
    """What a round found. `faults` is empty when every law held."""

    faults: list[str]
    killed: list[str]
    acknowledged: int
    repeated: int
    decisions: int
    webhooks: int
    seconds: float


async def kill_round(data_dir: Path, seed: int, tell: Callable[[str], None] = lambda line: None) -> Judged:
    """Runs one round in a directory that does not exist yet; `seed` settles the order of the kills and the shape of the load."""
    begin = monotonic()
    async with Receiver() as receiver, Stack(OVERRIDES, data_dir) as stack:
        keys = await _keys(stack)
        await _subscribe(stack, receiver, {tenant: keys["integrator", tenant] for tenant in TENANTS})
        load = Load(stack.ingest_url, {tenant: keys["clinician", tenant] for tenant in TENANTS}, seed)
        tell(f"up after {monotonic() - begin:.1f} s")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            killed = await _kill_each(stack, load, random.Random(seed), tell)
            load.stop()
        tell(f"{len(load.acknowledged)} acknowledged after {monotonic() - begin:.1f} s, {load.repeated} requests repeated")
        await stack.ready()
        found = await history.at_rest(stack.settings, SOURCE, len(set(load.acknowledged)), SETTLED_S)
        tell(f"at rest after {monotonic() - begin:.1f} s")
        proven = await verify_database(stack.settings, (), 1)
        sent = checker.Sent(load.acknowledged, load.contents, load.courses, load.conflicting)
        heard = checker.Heard(receiver.first_heard, receiver.counts, receiver.forged)
    faults = [*checker.faults(sent, found, heard), *replay.differences(found), *proven.faults]
    seconds = monotonic() - begin
    return Judged(faults, killed, len(load.acknowledged), load.repeated, len(found.decisions), len(heard.counts), seconds)


async def _kill_each(stack: Stack, load: Load, chance: random.Random, tell: Callable[[str], None]) -> list[str]:
    """Kills every part once, some two at a time, each only once the load flows again; returns the order."""
    order = chance.sample(PARTS, len(PARTS))
    waiting = list(order)
    while waiting:
        together = [waiting.pop(0) for _ in range(min(len(waiting), chance.choice((1, 1, 1, 2))))]
        await load.acknowledged_more(chance.randint(20, 150), PROGRESS_S)
        for part in together:
            await stack.kill(part)
        tell(f"killed {' and '.join(together)} after {len(load.acknowledged)} acknowledged events")
        # A service refuses to start on a server that is away, and decision is not ready without a worker.
        for part in sorted(together, key=STARTING.index):
            await stack.restart(part)
    await load.acknowledged_more(20, PROGRESS_S)
    return order


async def _keys(stack: Stack) -> dict[tuple[str, str], str]:
    database = db.engine(stack.settings, pool_size=1)
    async with database.begin() as conn:
        wanted = [(role, tenant) for role in ("clinician", "integrator") for tenant in TENANTS]
        keys = {(role, tenant): (await auth.create_key(conn, tenant, role, "kill test"))[1] for role, tenant in wanted}
    await database.dispose()
    return keys


async def _subscribe(stack: Stack, receiver: Receiver, keys: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as http:
        for tenant, key in keys.items():
            asked = {"url": receiver.url(tenant), "payload": "full"}
            async with http.post(f"{stack.notify_url}/v1/endpoints", json=asked, headers={"Authorization": f"Bearer {key}"}) as answer:
                assert answer.status == 201, await answer.text()
                receiver.secrets[tenant] = (await answer.json())["secret"]

"""One round: a whole stack under load, each of its processes killed and paused in turn, and everything judged at the end."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp

from services.cli.stack import Stack
from services.decision.audit.whole import verify_database
from services.embedded import EmbeddedServers
from shared import auth, db
from shared.settings import load as load_settings
from tests.e2e import checker, history, replay
from tests.e2e.faults import Faults
from tests.e2e.load import SOURCE, Load
from tests.e2e.receiver import Receiver
from tests.e2e.schedule import Step, schedule
from tests.integration.ports import free_ports
from tests.integration.test_bus_cluster import Node, formed

TENANTS: Final = ("north", "south")
SETTLED_S: Final = 180

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
    steps: list[Step]
    acknowledged: int
    repeated: int
    decisions: int
    webhooks: int
    seconds: float


async def fault_round(
    data_dir: Path, seed: int, further: int = 0, cluster: bool = False, tell: Callable[[str], None] = lambda line: None
) -> Judged:
    """Runs one round in a directory that does not exist yet; `seed` settles what is done, when, and the shape of the load.

    `further` steps come after every part was killed and paused once. With `cluster`, the bus is three servers with three replicas.
    """
    begin, steps = monotonic(), schedule(seed, further, cluster)
    async with AsyncExitStack() as held:
        receiver = await held.enter_async_context(Receiver())
        stack, servers, nodes = await _started(held, data_dir, cluster)
        keys = await _keys(stack)
        await _subscribe(stack, receiver, {tenant: keys["integrator", tenant] for tenant in TENANTS})
        load = Load(stack.ingest_url, {tenant: keys["clinician", tenant] for tenant in TENANTS}, seed)
        tell(f"up after {monotonic() - begin:.1f} s")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            await Faults(stack, servers, nodes, load, OVERRIDES["lease_s"] + 0.5, tell).do(steps)
            load.stop()
        tell(f"{len(load.acknowledged)} acknowledged after {monotonic() - begin:.1f} s, {load.repeated} requests repeated")
        await stack.ready()
        found = await history.at_rest(stack.settings, SOURCE, len(set(load.acknowledged)), SETTLED_S)
        tell(f"at rest after {monotonic() - begin:.1f} s")
        proven = await verify_database(stack.settings, (), 1)
        sent = checker.Sent(load.acknowledged, load.contents, load.courses, load.conflicting)
        heard = checker.Heard(receiver.first_heard, receiver.counts, receiver.forged)
    faults = [*checker.faults(sent, found, heard), *replay.differences(found), *proven.faults]
    counts = len(load.acknowledged), load.repeated, len(found.decisions), len(heard.counts)
    return Judged(faults, steps, *counts, monotonic() - begin)


async def _started(held: AsyncExitStack, data_dir: Path, cluster: bool) -> tuple[Stack, EmbeddedServers, list[Node]]:
    if not cluster:
        stack = await held.enter_async_context(Stack(OVERRIDES, data_dir))
        assert stack.servers is not None
        return stack, stack.servers, []
    servers = await held.enter_async_context(EmbeddedServers(data_dir / "servers"))
    ports = free_ports(9)
    nodes = [Node(data_dir, f"n{n}", (ports[n], ports[3 + n], ports[6 + n]), ports[6:]) for n in range(3)]
    for node in nodes:
        held.callback(node.kill)
        node.start()
    fields: dict[str, Any] = servers.fields()
    cluster_url = ",".join(f"nats://127.0.0.1:{node.client}" for node in nodes)
    fields |= dict.fromkeys(("nats_url", "owner_nats_url", "eraser_nats_url"), cluster_url)
    fields["nats_monitor_url"] = ",".join(f"http://127.0.0.1:{node.monitor}" for node in nodes)
    await (await formed(load_settings(**fields))).close()
    stack = await held.enter_async_context(Stack(OVERRIDES | fields, data_dir / "stack"))
    return stack, servers, nodes


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

"""Signed webhooks to receivers on loopback: how many leave per second, how soon one does, and what a dead endpoint costs the others."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE
from time import monotonic, time
from typing import Any

import aiohttp
import asyncpg
import orjson
import psutil

from shared.bus import Bus, decision_subject
from shared.placing import partition, pseudonym
from tests.bench import posts
from tests.bench.figures import Figure, quantiles
from tests.bench.site import Site

FLOOD = tuple(f"hooks{number}" for number in range(4))
STEADY, CROWD = "steady", "crowd"
TENANTS = (*FLOOD, STEADY, CROWD)
COURSES = 1500
OFFERED_PER_S = 500
SECONDS = 6
ENDPOINTS = 10
TICK_S = 0.01
AT_ONCE = 64


class Receiver:
    """The receiver's process, and the endpoints that lead to it."""

    def __init__(self, site: Site, http: aiohttp.ClientSession, port: int) -> None:
        self._site = site
        self._http = http
        self.url = f"http://127.0.0.1:{port}"

    async def endpoint(self, tenant: str, path: str) -> str:
        headers = {"Authorization": f"Bearer {self._site.keys[tenant, 'integrator']}"}
        asked = {"url": f"{self.url}{path}"}
        async with self._http.post(f"{self._site.stack.notify_url}/v1/endpoints", json=asked, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["id"])

    async def forget(self, tenant: str, endpoint: str) -> None:
        headers = {"Authorization": f"Bearer {self._site.keys[tenant, 'integrator']}"}
        async with self._http.delete(f"{self._site.stack.notify_url}/v1/endpoints/{endpoint}", headers=headers) as answer:
            assert answer.status == 204, await answer.text()

    async def said(self, path: str = "/") -> Any:
        async with self._http.get(f"{self.url}{path}") as answer:
            return await answer.json()

    async def count(self, wanted: int, within_s: float) -> Any:
        """What it says once so many have come."""
        async with asyncio.timeout(within_s):
            while True:
                seen = await self.said()
                if seen["count"] >= wanted:
                    return seen
                await asyncio.sleep(0.05)


@asynccontextmanager
async def receiving(site: Site) -> AsyncIterator[Receiver]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.receiver", stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None and process.stdin is not None
    port = int(await process.stdout.readline())
    try:
        async with aiohttp.ClientSession() as http:
            yield Receiver(site, http, port)
    finally:
        process.stdin.close()
        await process.wait()


async def measure(site: Site) -> list[Figure]:
    """The flood, the steady stream, and the crowd without and with one endpoint that never answers."""
    bus = await Bus.connect(site.stack.settings, "milepost-bench")
    try:
        return [await _flood(site, bus), *await _steady(site, bus), *await _crowd(site, bus)]
    finally:
        await bus.close()


async def _flood(site: Site, bus: Bus) -> Figure:
    """Decisions of as many courses as there are notices, straight on DECISIONS; rate between the first and the last arrival. Beside it the
    same number of bare posts, by the same client to the same receiver."""
    messages = [_message(site, tenant, number, 10**9) for number in range(COURSES) for tenant in FLOOD]
    async with receiving(site) as receiver:
        posting_s = await posts.post(f"{receiver.url}/bare", len(messages), AT_ONCE, len(FLOOD))
        floor = await receiver.said()
    async with receiving(site) as receiver:
        for tenant in FLOOD:
            await receiver.endpoint(tenant, f"/{tenant}")
        before = _cpu_s(site, await receiver.said())
        for at in range(0, len(messages), 500):
            await bus.publish_batch(messages[at : at + 500])
        seen = await receiver.count(len(messages), 90)
        after = _cpu_s(site, seen)
    used = {part: (after[part] - before[part]) / len(messages) * 1000 for part in after}
    bare = {"client": posting_s / len(messages) * 1000, "receiver": floor["cpu_s"] / len(messages) * 1000}
    note = (
        f"each attempt stored, every write fsynced; ms of processor per delivery: {_each(used)}; "
        f"floor: the same signed posts and no store: {_each(bare)}"
    )
    return Figure(f"webhooks delivered, {len(FLOOD)} endpoints", "webhooks", _rate(seen), floor=_rate(floor), target=2000, note=note)


def _each(ms: dict[str, float]) -> str:
    return f"{sum(ms.values()):.3f} ({', '.join(f'{part} {one:.3f}' for part, one in ms.items())})"


def _rate(seen: Any) -> float:
    return float((seen["count"] - 1) / (seen["last"] - seen["first"]))


def _cpu_s(site: Site, seen: Any) -> dict[str, float]:
    """Processor time so far of the parts that a delivery needs; the feeder is this process, which puts decisions on the bus."""
    used = site.cpu_s()
    times = psutil.Process().cpu_times()
    return {part: used[part] for part in ("notify", "postgres", "nats")} | {"receiver": seen["cpu_s"], "feeder": times.user + times.system}


async def _steady(site: Site, bus: Bus) -> list[Figure]:
    async with receiving(site) as receiver:
        await receiver.endpoint(STEADY, "/steady")
        before = _cpu_s(site, await receiver.said())
        sent, arrivals = await _offered(site, bus, receiver, STEADY, OFFERED_PER_S, 2 * 10**9, ["/steady"])
        after = _cpu_s(site, await receiver.said())
    ms = quantiles(_took(sent, arrivals))
    used = {part: (after[part] - before[part]) / len(sent) * 1000 for part in after}
    verdict = "reached" if ms["p95"] < 250 else "missed"
    note = f"p95 < 250 ms: {verdict}; ms of processor per delivery: {_each(used)}"
    return [Figure(f"stored decision to first byte, {OFFERED_PER_S}/s", "", ms=ms, note=note), *await _stages(site, sent, arrivals)]


async def _stages(site: Site, sent: dict[str, float], arrivals: dict[str, float]) -> list[Figure]:
    """Where the time went, by what history keeps of each delivery: when its notice was made and when its first attempt began."""
    database = await asyncpg.connect(site.database)
    rows = await database.fetch(
        "SELECT n.course, extract(epoch FROM n.created_at)::float8 AS made, extract(epoch FROM a.started_at)::float8 AS began "
        "FROM notices n JOIN deliveries d ON d.notice = n.id JOIN attempts a ON a.delivery = d.id AND a.n = 1 WHERE n.tenant = $1",
        STEADY,
    )
    await database.close()
    came = {name.rpartition("-")[2]: at for name, at in arrivals.items()}
    left = {name.rpartition("-")[2]: at for name, at in sent.items()}
    stages: dict[str, list[float]] = {"on the bus, until notify takes it": [], "told, until its attempt begins": [], "signed and sent": []}
    for row in rows:
        place = row["course"].rpartition("-")[2]
        for stage, seconds in zip(stages, (row["made"] - left[place], row["began"] - row["made"], came[place] - row["began"]), strict=True):
            stages[stage].append(seconds * 1000)
    return [Figure(f"  of it: {stage}", "", ms=quantiles(values)) for stage, values in stages.items()]


async def _crowd(site: Site, bus: Bus) -> list[Figure]:
    paths = [f"/{number}" for number in range(ENDPOINTS - 1)]
    async with receiving(site) as receiver:
        for path in paths:
            await receiver.endpoint(CROWD, path)
        tenth = await receiver.endpoint(CROWD, f"/{ENDPOINTS - 1}")
        rate = OFFERED_PER_S // ENDPOINTS
        well = quantiles(_took(*await _offered(site, bus, receiver, CROWD, rate, 3 * 10**9, paths)))
        await receiver.forget(CROWD, tenth)
        await receiver.endpoint(CROWD, "/dead")
        dead = quantiles(_took(*await _offered(site, bus, receiver, CROWD, rate, 4 * 10**9, paths)))
    moved = dead["p95"] / well["p95"] - 1
    return [
        Figure(f"the same, {rate}/s to {ENDPOINTS} endpoints that live", "", ms=well),
        Figure("the nine, with the tenth dead", "", ms=dead, note=f"p95 moved by {moved:+.0%}, at most +10 % wanted"),
    ]


async def _offered(
    site: Site, bus: Bus, receiver: Receiver, tenant: str, per_s: int, first: int, paths: list[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Decisions at this rate: when each was on its way to the bus and when it came, by path and decision, in seconds since 1970."""
    sent: dict[str, float] = {}
    begin, count = monotonic(), 0
    while (elapsed := monotonic() - begin) < SECONDS:
        due = range(count, min(int(elapsed * per_s) + 1, SECONDS * per_s))
        for number in due:
            sent |= {f"{path} {tenant}-{first + number}": time() for path in paths}
        if due:
            await bus.publish_batch([_message(site, tenant, number, first) for number in due])
        count += len(due)
        await asyncio.sleep(TICK_S)
    async with asyncio.timeout(60):
        while True:
            arrivals = await receiver.said("/arrivals")
            if sent.keys() <= arrivals.keys():
                return sent, arrivals
            await asyncio.sleep(0.1)


def _took(sent: dict[str, float], arrivals: dict[str, float]) -> list[float]:
    """From a decision on its way to the bus to its first byte at the receiver, in ms."""
    return [(arrivals[name] - at) * 1000 for name, at in sent.items()]


def _message(site: Site, tenant: str, number: int, first: int) -> tuple[str, bytes]:
    place = first + number
    athlete, key = f"athlete-{place}", site.stack.settings.pseudonym_key_bytes
    decision: dict[str, Any] = {
        "id": f"{tenant}-{place}", "course": f"course-{place}", "subject": athlete, "seq": 1, "action": "hold", "from_step": "W1",
        "to_step": "W1", "running": "as_dosed", "urgency": "routine", "not_before": None, "summary": "Hold.", "answer": None,
        "supersedes": None, "as_of": "2026-03-01T11:00:00Z", "as_at": "2026-03-01T11:00:01Z",
    }  # fmt: skip
    row = {"outbox": place * len(TENANTS) + TENANTS.index(tenant), "kind": "decision", "tenant": tenant, "athlete": athlete}
    row |= {"course": decision["course"], "cause": {}, "body": decision}
    return decision_subject(partition(tenant, athlete), pseudonym(key, tenant, athlete)), orjson.dumps(row)

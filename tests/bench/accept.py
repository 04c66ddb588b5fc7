"""How fast ingest says 202, next to how fast the bare bus confirms the same payloads. The worker is away meanwhile."""

import asyncio
from time import perf_counter

import orjson

from shared.bus import Bus
from tests.bench.figures import Figure, quantiles
from tests.bench.histories import batches, clinic
from tests.bench.observer import Observer
from tests.bench.sender import Answered, send
from tests.bench.site import BATCH, NDJSON, SINGLE, Site

SECONDS = 3.0
TOGETHER = 500
ATHLETES = 500


async def measure(site: Site) -> list[Figure]:
    """Singles at three levels of concurrency, batches at two, lines; then what the worker alone takes from what waits."""
    await site.stack.kill("worker")
    figures = []
    bus = await Bus.connect(site.stack.settings, "milepost-bench")
    for connections in (1, 8, 64):
        raws = clinic(f"one{connections}-", ATHLETES, 20)
        answered = await send(site.task([orjson.dumps(raw) for raw in raws], 1, connections, SECONDS, SINGLE))
        floor = await _floor_single(bus, site.messages(clinic(f"bare{connections}-", ATHLETES, 4)), connections)
        figures.append(_figure(f"accept single, {connections} at a time", answered, 1, floor, None))
    floor = await _floor_batch(bus, site.messages(clinic("bare-batch-", ATHLETES, 30)))
    for connections in (1, 4):
        raws = clinic(f"many{connections}-", ATHLETES, 60)
        answered = await send(site.task(batches(raws, TOGETHER), TOGETHER, connections, SECONDS, BATCH))
        figures.append(_figure(f"accept batches of {TOGETHER}, {connections} at a time", answered, TOGETHER, floor, 5000))
    raws = clinic("lines-", ATHLETES, 40)
    bodies = [b"\n".join(map(orjson.dumps, raws[at : at + TOGETHER])) for at in range(0, len(raws), TOGETHER)]
    answered = await send(site.task(bodies, TOGETHER, 4, SECONDS, NDJSON))
    figures.append(_figure(f"accept {TOGETHER} lines, 4 at a time", answered, TOGETHER, floor, None))
    await bus.close()
    return figures


async def drain(site: Site, seconds: float) -> Figure:
    """What the worker stores while nothing else runs, from the backlog that `measure` left."""
    await site.stack.restart("worker")
    async with Observer(site.stack.settings) as seen:
        await seen.reached(500, 30)
        before, begin = seen.stored, perf_counter()
        await seen.after(seconds)
        rate = (seen.stored - before) / (perf_counter() - begin)
    return Figure("backlog to stored decision, worker and relay", "events", rate, note="fsynced, both engines")


def _figure(name: str, answered: list[Answered], events_each: int, floor: float, target: float | None) -> Figure:
    refused = sum(1 for one in answered if one.status != 202)
    spent = max(one.done for one in answered) - min(one.sent for one in answered)
    rate = (len(answered) - refused) * events_each / spent
    note = f"{refused} not accepted" if refused else ""
    return Figure(name, "events", rate, quantiles([(one.done - one.sent) * 1000 for one in answered]), floor, target, note)


async def _floor_single(bus: Bus, messages: list[tuple[str, bytes]], together: int) -> float:
    waiting = iter(messages)
    begin, count = perf_counter(), 0

    async def run() -> None:
        nonlocal count
        for message in waiting:
            await bus.publish(*message)
            count += 1
            if perf_counter() - begin > SECONDS / 2:
                return

    await asyncio.gather(*(run() for _ in range(together)))
    return count / (perf_counter() - begin)


async def _floor_batch(bus: Bus, messages: list[tuple[str, bytes]]) -> float:
    begin, count = perf_counter(), 0
    for at in range(0, len(messages), TOGETHER):
        await bus.publish_batch(messages[at : at + TOGETHER])
        count += TOGETHER
        if perf_counter() - begin > SECONDS:
            break
    return count / (perf_counter() - begin)

"""The worker process: one lane of partitions, its relay and its ticker. `python -m services.decision.worker [--lane K]`."""

import argparse
import asyncio
import gc
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.athletes import Athletes
from services.decision.desk import Desk, SecondOpinion
from services.decision.engines.durable import PackRefused, SecondEngineMissing
from services.decision.engines.reference import ReferenceEngine
from services.decision.forgetting import Forgetting
from services.decision.keys import AthleteKeys
from services.decision.lane import Lane
from services.decision.lease import Lease, partitions_of
from services.decision.notary import Notary
from services.decision.packs import PacksRefused, Published, TenantPacks
from services.decision.proving import Prover
from services.decision.reader import Reader
from services.decision.relay import Relay
from services.decision.rules.library import PackLibrary
from services.decision.second import Second
from services.decision.store.connection import Connection, borrowed
from services.decision.ticker import Ticker
from shared import db, starting
from shared.bus import Bus, BusError
from shared.durability import Durability
from shared.proof import Keyring
from shared.settings import Settings, SettingsFault, load, require
from shared.stopping import told_ends
from shared.telemetry import configure_logs

_log = structlog.get_logger("milepost.decision")


class Worker:
    """Everything one lane needs, wired. Connections and engines are handed in and stay their owner's."""

    def __init__(self, settings: Settings, engine: AsyncEngine, bus: Bus, packs: TenantPacks, second: SecondOpinion, lane: int = 0) -> None:
        self.partitions = partitions_of(lane, settings.lanes)
        self.lease = Lease(engine, self.partitions, settings.lease_s)
        self.relay = Relay(engine, bus, self.partitions, settings.pseudonym_key_bytes)

        async def open_reader(partitions: Sequence[int], start: int) -> Reader:
            return await Reader.open(bus, f"{lane}-of-{settings.lanes}", partitions, start, settings.fetch_size)

        async def renew_packs(connection: Connection) -> None:
            if not isinstance(packs, Published):
                return
            if await packs.refresh(connection):
                packs.expired()
            if isinstance(second, Second):
                await second.hold(packs.by_hash)

        ring = Keyring(settings.secret_key_bytes)
        keys, forgetting = AthleteKeys(ring), Forgetting(ring, settings.pseudonym_key_bytes)
        self.notary = Notary(engine, ring, self.partitions, settings.checkpoint_s, seals=lane == 0)
        self.prover = Prover(engine, ring, self.partitions, settings.checkpoint_s)
        self.desk = Desk(Athletes(packs, settings.athletes_in_memory), second, renew_packs)
        self.lane = Lane(
            engine, open_reader, self.desk, keys, self.lease, Ticker(), settings.fetch_size, self.relay.wake, renew_packs, forgetting
        )

    async def run(self) -> None:
        """Serves until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lane.run())
            tasks.create_task(self.relay.run())
            tasks.create_task(self.notary.run())
            tasks.create_task(self.prover.run())


async def serve(settings: Settings, lane: int) -> None:
    """Runs lane `lane` until SIGTERM or SIGINT, then gives its partitions back. Raises what the servers are refused for."""
    require(settings, "database_url", "nats_url", "nats_monitor_url", "pseudonym_key", "secret_key")
    packs = Published(PackLibrary(ReferenceEngine()), ReferenceEngine())
    told_ends(asyncio.current_task())
    async with AsyncExitStack() as stack:
        engine = db.engine(settings, pool_size=5, abandoned_after_s=settings.lease_s)
        stack.push_async_callback(engine.dispose)

        async def prepared(engine: AsyncEngine) -> None:
            await db.verify(engine)
            with db.reached():
                async with borrowed(engine) as connection:
                    await packs.record_shipped(connection)
                    await packs.refresh(connection)

        bus = await starting.connected(stack, settings, engine, f"milepost-decision-{lane}", prepared)
        packs.expired()
        second = Second(packs.by_hash)
        stack.push_async_callback(second.close)
        await second.start()
        durability = Durability(engine, bus)
        await stack.enter_async_context(durability.held())
        await _until_told(Worker(settings, engine, bus, packs, second, lane), durability)


async def _until_told(worker: Worker, durability: Durability) -> None:
    running = asyncio.create_task(durability.while_kept(worker.run))
    told_ends(running)
    try:
        await running
    except asyncio.CancelledError:
        _log.info("the worker ends", partitions=len(worker.partitions))


def _collect_seldom() -> None:
    """Folded athletes are many small objects that live long and hold no cycles; looking through all of them stopped the lane for 200 ms."""
    gc.set_threshold(50_000, 20, 200)


def main(arguments: Sequence[str] | None = None) -> int:
    """The process. Exit 0 when told to stop, 1 when it cannot start or go on."""
    parser = argparse.ArgumentParser(prog="python -m services.decision.worker", description="Decides what EVENTS brings.")
    parser.add_argument("--lane", type=int, default=0, help="which of MILEPOST_LANES lanes this process serves, from 0")
    parser.add_argument("--metrics-port", type=int, default=0, help="serve Prometheus metrics there; 0 serves none")
    options = parser.parse_args(arguments)
    lane: int = options.lane
    try:
        settings = load()
        configure_logs("decision-worker", settings.log_level)
        if not 0 <= lane < settings.lanes:
            raise SettingsFault(f"--lane {lane}: expected 0 to {settings.lanes - 1}, as MILEPOST_LANES is {settings.lanes}")
        if options.metrics_port:
            measures.serve(settings.host, options.metrics_port)
        _collect_seldom()
        uvloop.run(serve(settings, lane))
    except asyncio.CancelledError:
        # Told to stop before it had started.
        return 0
    except (SettingsFault, db.DatabaseRefused, BusError, SecondEngineMissing, PackRefused, PacksRefused) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

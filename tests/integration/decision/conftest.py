"""A worker of all partitions, on the real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.engines.reference import ReferenceEngine
from services.decision.packs import TenantPacks
from services.decision.rules.library import PackLibrary
from services.decision.ticker import LOOK_EVERY_S, Ticker
from services.decision.worker import Worker
from shared.bus import Bus
from shared.settings import Settings
from shared.telemetry import configure_logs
from tests.integration.decision.feeding import Agreeing, Run

TENANT = count(1)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    configure_logs("decision-worker", "error")


@pytest.fixture(scope="module")
def packs() -> PackLibrary:
    return PackLibrary(ReferenceEngine())


@pytest.fixture
def tenant() -> str:
    return f"clinic-{next(TENANT)}"


class Silent(Ticker):
    """Says nothing of any moment that passed."""

    def wait_s(self) -> float:
        return LOOK_EVERY_S

    def is_due(self, idle: bool) -> bool:
        return False


@pytest.fixture
def run(settings: Settings, engine: AsyncEngine, bus: Bus, packs: PackLibrary) -> Run:
    """`async with run() as worker`: a worker of all partitions serves inside.

    The days of most events of tests are past, and time itself may speak of them at any moment: between two events, where they come one by
    one, or behind the last, before the worker ends. What is not to depend on when it does runs with `time_speaks=False`.
    """

    @asynccontextmanager
    async def running(
        second: Agreeing | None = None, packs: TenantPacks = packs, time_speaks: bool = True, **changes: Any
    ) -> AsyncIterator[Worker]:
        own = settings.model_copy(update={"lease_s": 2.0, **changes})
        worker = Worker(own, engine, bus, packs, second or Agreeing())
        if not time_speaks:
            worker.lane._ticker = Silent()
        task = asyncio.create_task(worker.run())
        try:
            await asyncio.wait_for(worker.lane.serving.wait(), 60)
            yield worker
        finally:
            task.cancel()
            await asyncio.wait([task])

    return running

"""The HTTP application of decision: routes, readiness, and the connections they use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from fastapi import Depends, FastAPI

from services.decision import measures
from services.decision.api import (
    answer_pages,
    answers,
    audit,
    courses,
    erasure,
    events,
    explained,
    export,
    migration,
    overrides,
    pack_life,
    pack_runs,
    protocols,
    recommendations,
    replays,
)
from services.decision.api.forgotten import ErasedMeanwhile
from services.decision.cursors import Cursors
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle.backtest import Backtests
from services.decision.lifecycle.keeper import keep
from services.decision.lifecycle.office import Office
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.shadow import accompany
from services.decision.lifecycle.trials import Trials
from services.decision.packs import Published
from services.decision.reconciler import Reconciler
from services.decision.rules.library import PackLibrary
from services.decision.store import leases, outbox
from services.decision.store.connection import Database, borrowed
from services.decision.unscrubbed import Unscrubbed
from shared import db, problems, starting, telemetry
from shared.bus import EVENTS
from shared.durability import Durability
from shared.proof import Keyring
from shared.settings import Settings

DESCRIPTION = "Recommendations for athletes who return to running: the decision in force, its explanation, and the history behind it."


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects when it starts, and refuses to start on servers that do not keep the durability contract."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            engine = db.engine(settings)
            stack.push_async_callback(engine.dispose)
            bus = await starting.connected(stack, settings, engine, "milepost-decision-api")
            durability = Durability(engine, bus)
            await stack.enter_async_context(durability.held())
            app.state.engine, app.state.bus, app.state.durability = engine, bus, durability
            pool = Pool(settings.bench_processes)
            stack.callback(pool.close)
            app.state.office = Office(app.state.packs, pool, settings.approval_days)
            app.state.backtests = Backtests(engine, app.state.packs, pool, app.state.office)
            stack.push_async_callback(app.state.backtests.close)
            app.state.trials = Trials(engine, pool, app.state.office)
            stack.push_async_callback(app.state.trials.close)
            app.state.replays = replays.Replays(engine, Database.of(settings), app.state.packs, pool)
            stack.push_async_callback(app.state.replays.close)
            for work in (
                app.state.replays.watch,
                Reconciler(engine, bus).run,
                Unscrubbed(engine, timedelta(seconds=settings.scrub_within_s)).run,
                partial(keep, engine, app.state.packs, app.state.office),
                partial(accompany, engine, app.state.packs, pool),
            ):
                stack.push_async_callback(_ended, asyncio.create_task(durability.while_kept(work)))
            yield

    app = FastAPI(
        title="Milepost decision",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(problems.each_key_once)],
    )
    app.state.settings = settings
    app.state.packs = Published(PackLibrary(ReferenceEngine()), ReferenceEngine())
    app.state.ring = Keyring(settings.secret_key_bytes)
    app.state.exports = asyncio.Semaphore(export.AT_ONCE)
    app.state.cursors = Cursors(settings.pseudonym_key_bytes)
    app.add_middleware(ErasedMeanwhile)
    problems.install(app)
    telemetry.install(app, "decision")
    rooms = (audit, courses, explained, recommendations, answers, answer_pages, overrides, events, protocols, erasure)
    for room in (*rooms, pack_life, pack_runs, migration, replays, export):
        app.include_router(room.router)
    app.include_router(telemetry.health_router(_checks(app)))
    return app


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


def _checks(app: FastAPI) -> dict[str, telemetry.Check]:
    async def database() -> None:
        await app.state.durability.database()

    async def bus() -> None:
        await app.state.durability.bus()

    async def partitions() -> None:
        async with borrowed(app.state.engine) as connection:
            unowned = await leases.unowned(connection)
            stored = await leases.checkpoint(connection)
            measures.OUTBOX.set(await outbox.length(connection))
        measures.LAG.set(max(0, await app.state.bus.last_seq(EVENTS) - stored))
        if unowned:
            raise telemetry.NotReady(f"{unowned} of the partitions are not served: start a worker for every lane")

    return {"database": database, "bus": bus, "partitions": partitions}

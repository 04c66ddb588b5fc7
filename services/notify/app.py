"""The HTTP application of notify, and the tasks that tell and deliver beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify.api import acknowledgements, deliveries, endpoints, notices, policy, stream
from services.notify.bodies import LimitedBodies
from services.notify.coalesce import Coalescer
from services.notify.consume import Consumer
from services.notify.deliver import Deliverer, utc_now
from services.notify.escalate import Escalator
from services.notify.guard import Rules
from services.notify.lead import lead
from services.notify.store.telling import Kept
from services.notify.supervise import Supervised
from services.notify.vault import Vault
from services.notify.watch import Watch
from shared import db, problems, starting, telemetry
from shared.bus import Bus
from shared.durability import Durability
from shared.settings import Settings

DESCRIPTION = "Webhook endpoints, what is sent to them, and every attempt, byte for byte. Webhooks follow Standard Webhooks 1.0."


def create_app(settings: Settings) -> FastAPI:
    """The application; it connects when it starts, and refuses to start on servers that do not keep the durability contract."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            engine = db.engine(settings)
            stack.push_async_callback(engine.dispose)
            bus = await starting.connected(stack, settings, engine, "milepost-notify")
            durability = Durability(engine, bus)
            await stack.enter_async_context(durability.held())
            app.state.engine, app.state.durability = engine, durability
            app.state.watch = Watch(engine)
            stack.push_async_callback(app.state.watch.close)
            leading = Supervised("lead", lambda: durability.while_kept(lambda: _lead(app, engine, bus)))
            app.state.tasks["lead"] = leading
            task = asyncio.create_task(leading.run(), name="lead")
            stack.push_async_callback(_ended, task)
            yield

    app = FastAPI(
        title="Milepost notify",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(problems.each_key_once)],
    )
    app.state.settings = settings
    app.state.vault = Vault(settings.secret_key_bytes)
    app.state.rules = Rules(settings.webhook_ports, settings.allow_loopback_webhooks)
    app.state.tasks = {}
    app.add_middleware(LimitedBodies)
    problems.install(app)
    telemetry.install(app, "notify")
    for room in (endpoints, deliveries, notices, acknowledgements, policy, stream):
        app.include_router(room.router)
    app.include_router(telemetry.health_router(_checks(app)))
    return app


async def _lead(app: FastAPI, engine: AsyncEngine, bus: Bus) -> None:
    settings: Settings = app.state.settings
    deliverer = Deliverer(engine, settings, app.state.vault)

    def kept(news: Kept) -> None:
        if news.endpoints or news.held:
            deliverer.hint(news.endpoints, news.held)

    coalescer = Coalescer(engine, utc_now, kept)
    consumer = Consumer(engine, bus, settings, utc_now, kept, coalescer.wake)
    escalator = Escalator(engine, utc_now, kept)
    works = {"consumer": consumer.run, "coalescer": coalescer.run, "escalator": escalator.run, "deliverer": deliverer.run}
    tasks = [Supervised(name, work) for name, work in works.items()]

    async def work() -> None:
        app.state.tasks.update({task.name: task for task in tasks})
        try:
            async with asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task.run(), name=task.name)
        finally:
            for task in tasks:
                app.state.tasks.pop(task.name, None)

    await lead(engine, work, lambda endpoint: deliverer.hint([endpoint]))


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _checks(app: FastAPI) -> dict[str, telemetry.Check]:
    async def database() -> None:
        await app.state.durability.database()

    async def bus() -> None:
        await app.state.durability.bus()

    async def tasks() -> None:
        # A process that stands by has the lead's task only, and is ready all the same.
        for task in list(app.state.tasks.values()):
            await task.check()

    return {"database": database, "bus": bus, "tasks": tasks}

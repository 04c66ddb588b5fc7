"""The HTTP application of ingest: routes, readiness, and the connections they use."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI

from services.ingest.api import documents, events, files
from services.ingest.intake import Intake
from services.ingest.publish import Publisher
from services.ingest.reading import FitReaders
from services.ingest.reception import Reception
from shared import db, problems, starting, telemetry
from shared.durability import Durability
from shared.events import TYPES
from shared.events.schema import adapter
from shared.settings import Settings

DESCRIPTION = "Takes events and training files of athletes who return to running; says 202 once they are on disk."


def now() -> datetime:
    """The clock of ingest."""
    return datetime.now(UTC)


def create_app(settings: Settings, clock: Callable[[], datetime] = now) -> FastAPI:
    """The application. It connects when it starts, and then raises `db.DatabaseRefused` or `shared.bus.BusError`, each one sentence,
    for servers that do not keep the durability contract, or do not answer in `start_wait_s`. `clock` gives aware datetimes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            engine = db.engine(settings)
            stack.push_async_callback(engine.dispose)
            bus = await starting.connected(stack, settings, engine, "milepost-ingest")
            durability = Durability(engine, bus)
            await stack.enter_async_context(durability.held())
            publisher = Publisher(bus, settings.ingest_queue_limit, settings.group_commit_ms / 1000, settings.group_commit_events)
            publisher.start()
            stack.push_async_callback(publisher.stop)
            readers = FitReaders(settings.fit_workers, settings.fit_timeout_s, settings.fit_max_records)
            stack.push_async_callback(readers.close)
            for event_type in TYPES:
                # Compiled now, not by the first event of each type.
                adapter(event_type)
            app.state.engine, app.state.durability, app.state.readers = engine, durability, readers
            intake = Intake(settings, clock)
            limits = settings.max_event_bytes, settings.ndjson_max_lines
            app.state.reception = Reception(intake, publisher, *limits, permit=durability.permit)
            yield

    app = FastAPI(title="Milepost ingest", version="1", description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings
    problems.install(app)
    telemetry.install(app, "ingest")
    app.include_router(events.router)
    app.include_router(files.router)
    app.include_router(telemetry.health_router(_checks(app)))
    _describe(app)
    return app


def _checks(app: FastAPI) -> dict[str, telemetry.Check]:
    async def bus() -> None:
        await app.state.durability.bus()

    async def database() -> None:
        await app.state.durability.database()

    return {"bus": bus, "database": database}


def _describe(app: FastAPI) -> None:
    """Add the event types to the components of the OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"].update(documents.schemas())
        return document

    app.openapi = openapi  # type: ignore[method-assign]

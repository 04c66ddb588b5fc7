"""`milepost migrate`: schema and streams of servers that `milepost up` does not look after."""

import asyncio

import typer

from services.cli.terminal import say
from shared import db
from shared.bus import Bus
from shared.settings import Settings, load, require

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Brings schema and streams up to date, the schema as the role that owns it. `milepost up` does so by itself."""
    settings = load()
    require(settings, "database_url", "owner_database_url", "nats_url", "nats_monitor_url")
    asyncio.run(bring_up_to_date(settings))
    say(f"The schema is at revision {db.newest_revision()}, and the streams are there.")


async def bring_up_to_date(settings: Settings) -> None:
    """Before the services, of which some only look: raises `DatabaseRefused`, `BusRefused` or `BusUnavailable`."""
    await db.migrate(settings)
    own = settings.model_copy(update={"nats_url": settings.owner_nats_url or settings.nats_url})
    bus = await Bus.connect(own, "milepost-migrate")
    try:
        await bus.ensure_streams()
    finally:
        await bus.close()

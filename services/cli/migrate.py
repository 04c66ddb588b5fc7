"""`milepost migrate`: the schema of a database that `milepost up` does not look after."""

import asyncio

import typer

from services.cli.terminal import say
from shared.db import migrate as bring_up_to_date, newest_revision
from shared.settings import load, require

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Brings the schema up to date, as the role that owns it. `milepost up` does so by itself."""
    settings = load()
    require(settings, "database_url", "owner_database_url")
    asyncio.run(bring_up_to_date(settings))
    say(f"The schema is at revision {newest_revision()}.")

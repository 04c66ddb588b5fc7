"""`milepost checkpoints`: the latest signed checkpoint of every tree, for a witness to keep."""

import asyncio

import asyncpg
import orjson
import typer

from services.cli.installation import settings_of
from services.cli.terminal import say
from services.decision.audit.whole import driver_url
from services.decision.store import trees
from shared.settings import Settings

app = typer.Typer(help="Writes the latest signed checkpoint of every tree, for a witness to keep.")


@app.command()
def checkpoints() -> None:
    """One JSON object per line: `tree`, `partition`, `size` and `note`, the signed checkpoint (C2SP signed note)."""
    settings = settings_of("checkpoints")
    for one in asyncio.run(_latest(settings)):
        say(orjson.dumps(one._asdict()).decode())


async def _latest(settings: Settings) -> list[trees.Signed]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(driver_url(settings), timeout=10)
    try:
        return await trees.latest(connection)
    finally:
        await connection.close(timeout=5)

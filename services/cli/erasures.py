"""`milepost erasures`: who was erased, by pseudonym; scrubbing of old bytes; and erasing again after a backup was restored."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from services.cli.installation import settings_of
from services.cli.terminal import EXIT_FAULT, complain, say, stop
from services.decision import scrubbing
from services.decision.eraser import opened
from services.decision.erasing import Later
from services.decision.store import erasures
from services.decision.store.connection import Database
from services.decision.store.erasures import Erasure
from shared import db
from shared.bus import event_subject
from shared.settings import Settings

app = typer.Typer(help="Who was erased, old bytes scrubbed, and erasures done again after a restore.", no_args_is_help=True)

NEEDED = ("eraser_database_url", "eraser_nats_url", "nats_monitor_url", "pseudonym_key", "secret_key")


@app.command("list")
def show() -> None:
    """Everybody who was erased, one JSON object a line, by pseudonym only. Keep it apart from the data: `reapply` takes it."""
    for one in asyncio.run(_every(settings_of("erasures list", "secret_key"))):
        say(orjson.dumps(_told(one)).decode())


@app.command()
def scrub(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for transactions and readers of the log that hold old bytes.")] = 60,
    if_needed: Annotated[bool, typer.Option("--if-needed", help="Leave at once where every erasure was scrubbed: for a schedule.")] = False,
) -> None:
    """Rewrites every table that erasures touched and removes old segments of the log, so that no byte of the erased is left on the disk.

    Locks each table while it is rewritten: run it at a quiet hour. Refuses, and says who, while somebody holds old rows or old log.
    """
    settings = settings_of("erasures scrub", "owner_database_url")
    try:
        done = asyncio.run(scrubbing.scrub(settings.owner_database_url, wait, complain, if_needed))
    except scrubbing.NotScrubbed as why:
        stop(f"milepost erasures scrub: {why}")
    except db.FAULTS as fault:
        stop(f"milepost erasures scrub: {_line(fault)}; is the database running, and its roles up to date?", EXIT_FAULT)
    if done is None:
        say("nothing to scrub: every erasure that was carried out has been")
        return
    say(f"{done.erasures} erasures scrubbed: no old byte of theirs is left in the database's files")
    for one in done.outside:
        say(f"Outside them: {one}")


@app.command()
def reapply(
    kept: Annotated[Path | None, typer.Argument(help="What `milepost erasures list` wrote, where the keys were restored too.")] = None,
) -> None:
    """Erases again whom a restored backup brought back. Stop the services first; they refuse to start on data older than the erasures."""
    settings = settings_of("erasures reapply", *NEEDED)
    try:
        lines = [] if kept is None else [_read(line) for line in kept.read_bytes().splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        stop(f"{kept}: cannot be read ({_line(fault)}); give the file that `milepost erasures list` wrote")
    try:
        found, again = asyncio.run(_reapply(settings, lines))
    except Later as why:
        stop(f"milepost erasures reapply: {why}", EXIT_FAULT)
    except db.FAULTS as fault:
        stop(f"milepost erasures reapply: {_line(fault)}; are database and bus running?", EXIT_FAULT)
    if again:
        complain(
            f"{again} erasures are not in this history and were put on the bus again; they take their place in it when a worker starts"
        )
    say(f"{found} athletes erased again; `milepost erasures scrub` removes what their rows leave on the disk")


async def _every(settings: Settings) -> list[Erasure]:
    connection = await Database.of(settings).connect()
    try:
        return await erasures.every(connection)
    finally:
        await connection.close(timeout=5)


async def _reapply(settings: Settings, lines: list[Erasure]) -> tuple[int, int]:
    own = settings.model_copy(update={"database_url": settings.eraser_database_url})
    async with AsyncExitStack() as stack:
        connection = await Database.of(own).connect()
        stack.push_async_callback(connection.close, timeout=5)
        for one in lines:
            await erasures.keep(connection, one)
        eraser, _ = await opened(stack, settings, is_current=False)
        known = await erasures.every(connection)
        there = await erasures.in_history(connection)
        missing = [one for one in known if (one.tenant, one.pseudonym) not in there]
        found = await eraser.sweep()
        for one in missing:
            # Behind whatever the bus still has of them: the lane refuses all of that once it stored this.
            await eraser.bus.publish(event_subject(one.partition, one.pseudonym), one.event)
        await erasures.asked_again(connection, missing)
        return found, len(missing)


def _told(one: Erasure) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "pseudonym": one.pseudonym,
        "partition": one.partition,
        "event": orjson.loads(one.event),
        "requested_at": one.requested_at,
        "erased_at": one.erased_at,
        "scrubbed_at": one.scrubbed_at,
    }


def _read(line: bytes) -> Erasure:
    told = orjson.loads(line)
    erased = told["erased_at"]
    return Erasure(
        told["tenant"],
        told["pseudonym"],
        int(told["partition"]),
        orjson.dumps(told["event"], option=orjson.OPT_SORT_KEYS),
        datetime.fromisoformat(told["requested_at"]),
        None if erased is None else datetime.fromisoformat(erased),
        None,
        0,
    )


def _line(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]

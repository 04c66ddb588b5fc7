"""`milepost replay`: decides stored history again and compares, byte for byte."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.cli.installation import settings_of
from services.cli.terminal import EXIT_FAULT, complain, is_interactive, out, say, stop
from services.decision.audit import replay as replaying
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.store import Source
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import load_pack
from services.decision.store import replays
from services.decision.store.connection import Database, borrowed
from services.decision.store.replays import Kept, Replay
from shared import db
from shared.events.forms import instant
from shared.settings import Settings

app = typer.Typer(help="Decides stored history again and compares.")

ACTOR = "milepost replay"
SHOWN = 200


@app.command()
def replay(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    athlete: Annotated[str | None, typer.Option(help="Only this athlete.")] = None,
    since: Annotated[str | None, typer.Option(help="Only decisions made at or after this moment (RFC 3339).")] = None,
    until: Annotated[str | None, typer.Option(help="Only decisions made at or before this moment (RFC 3339).")] = None,
    view: Annotated[
        Literal["known", "corrected"], typer.Option(help="known: as it was known then, byte for byte. corrected: as all is known now.")
    ] = "known",
    protocol: Annotated[Path | None, typer.Option(help="A pack file in place of every recorded version of its protocol.")] = None,
    processes: Annotated[int, typer.Option(min=0, help="How many processes share the work; 0 takes one per processor.")] = 0,
    resume: Annotated[str | None, typer.Option(help="Goes on with this replay, which was cut off.")] = None,
) -> None:
    """Exit 1 on any difference; each is shown with what was decided and what would be decided now, side by side."""
    for name, text in (("since", since), ("until", until)):
        if text is not None and instant(text) is None:
            stop(f"milepost replay: --{name} {text!r}: expected a moment with its offset, as in 2026-03-02T07:00:00Z")
    source = None if protocol is None else _source(protocol)
    asked = replaying.Asked(athlete, since, until, view, None if protocol is None else str(protocol))
    settings = settings_of("replay", "secret_key")
    done, found = asyncio.run(_run(settings, tenant, asked, source, processes or os.cpu_count() or 1, resume))
    for line in _told(found):
        say(line)
    if done.differences > len(found):
        say(f"… and {done.differences - len(found)} more; GET /v1/audit/replays/{done.id} pages through them")
    erased = f", {done.erased} athletes erased" if done.erased else ""
    say(f"replay {done.id}: {done.decisions:,} decisions of {done.done:,} athletes{erased}, {done.differences:,} differences")
    if done.differences:
        raise typer.Exit(EXIT_FAULT)


async def _run(
    settings: Settings, tenant: str | None, asked: replaying.Asked, source: Source | None, processes: int, resume: str | None
) -> tuple[Replay, list[Kept]]:
    engine, pool = db.engine(settings, pool_size=2), Pool(processes)
    try:
        await db.verify(engine)
        async with borrowed(engine) as connection:
            try:
                id = resume or await replaying.start(connection, tenant, ACTOR, asked)
            except replays.NoSuchAthlete:
                stop(f"milepost replay: --athlete {asked.athlete}: nothing is known of such an athlete, or they were erased")
        complain(f"replay {id}; --resume {id} goes on with it when it is cut off")
        await replaying.run(engine, Database.of(settings), pool, id, source, _progress)
        async with borrowed(engine) as connection:
            done = await replays.read(connection, id)
            if done is None:
                stop(f"milepost replay: there is no replay {id}")
            return done, await replays.differences(connection, id, 0, SHOWN)
    finally:
        pool.close()
        await engine.dispose()


def _progress(replay: Replay) -> None:
    if is_interactive():
        out.print(f"{replay.done:,} of {replay.athletes:,} athletes, {replay.differences:,} differences", end="\r")


def _source(path: Path) -> Source:
    try:
        pack = load_pack(path)
    except FaultyPack as faulty:
        stop(str(faulty))
    except OSError as fault:
        stop(f"{path}: cannot be read: {fault.strerror}")
    return Source(pack.source.raw, tuple(floor.raw for floor in pack.floors))


def _told(found: Iterable[Kept]) -> Iterable[str]:
    for one in replaying.shown(list(found)):
        place = f"{one['tenant']} {one['course'] or one['subject']} {one['seq']}"
        yield f"{place}: {one['what']}{' differs in ' + ', '.join(one['fields']) if one['fields'] else ''}"
        for side in ("stored", "again"):
            yield f"    {side:7}{_side(one[side])}"


def _side(record: Any) -> str:
    if record is None:
        return "nothing"
    if "action" not in record:
        return " ".join(str(value) for value in record.values() if value is not None)
    rules = ", ".join(f"{reason['rule']}={reason['outcome']}" for reason in record["reasons"])
    return f"{record['action']} {record['from_step']} to {record['to_step']}, running {record['running']}: {record['summary']} [{rules}]"

"""`milepost export`: everything that history holds of one athlete, as one file."""

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import asyncpg
import typer
from sqlalchemy.exc import SQLAlchemyError

from services.cli.installation import settings_of
from services.cli.terminal import EXIT_FAULT, complain, is_interactive, stop
from services.decision.engines.reference import ReferenceEngine
from services.decision.export import NothingKnown, as_csv, as_json, gather
from services.decision.packs import PacksRefused, Published
from services.decision.rules.library import PackLibrary
from services.decision.store.connection import borrowed, snapshot
from shared import db
from shared.settings import Settings
from shared.tenancy import see_only

app = typer.Typer(help="Writes everything that history holds of one athlete.")


@app.command()
def export(
    athlete: Annotated[str, typer.Argument(help="The athlete's id, as in `subject` of the events.")],
    tenant: Annotated[str, typer.Option(help="Whose athlete.")],
    format: Annotated[Literal["json", "csv"], typer.Option(help="csv: a zip with one file per table.")] = "json",
    out: Annotated[Path | None, typer.Option(help="The file to write, readable by you alone; without one, standard output.")] = None,
) -> None:
    """Events, decisions in plain words, answers, what was told to whom, terms, rule packs; docs/export.md says what each column means."""
    if out is None and format == "csv" and is_interactive():
        stop("milepost export: a zip is not for a terminal; name a file with --out, or send standard output into one")
    settings = settings_of("export", "secret_key", "pseudonym_key")
    try:
        if out is None:
            asyncio.run(_write(settings, tenant, athlete, format, sys.stdout.buffer))
        else:
            _into(out, settings, tenant, athlete, format)
    except NothingKnown as fault:
        why = "was erased: nothing of theirs can be read any more" if fault.erased else "is not known"
        stop(f"milepost export: the athlete {why}, tenant {tenant!r}; expected the `subject` of an event that was received")
    except PacksRefused as fault:
        stop(f"milepost export: {fault}; run the release that published it, or a later one", EXIT_FAULT)
    except (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError) as fault:
        stop(f"milepost export: cut off: {str(fault).splitlines()[0]}", EXIT_FAULT)


def _into(path: Path, settings: Settings, tenant: str, athlete: str, format: str) -> None:
    """Writes the whole file or none: half of one would look like all there is."""
    part = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            asyncio.run(_write(settings, tenant, athlete, format, file))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    complain(f"{path}: {path.stat().st_size:,} bytes")


async def _write(settings: Settings, tenant: str, athlete: str, format: str, file: BinaryIO) -> None:
    engine = db.engine(settings, pool_size=1)
    try:
        await db.verify(engine)
        library = Published(PackLibrary(ReferenceEngine()), ReferenceEngine())
        async with borrowed(engine) as connection, snapshot(connection):
            await library.refresh(connection)
            await see_only(connection, tenant)
            async with aclosing(gather(connection, library, settings.pseudonym_key_bytes, tenant, athlete)) as records:
                written = as_csv(records) if format == "csv" else as_json(records, tenant, athlete)
                async with aclosing(written) as pieces:
                    async for piece in pieces:
                        file.write(piece)
    finally:
        await engine.dispose()

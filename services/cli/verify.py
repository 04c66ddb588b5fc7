"""`milepost verify`: the whole database against its proofs, or one dossier, which needs nothing else."""

import asyncio
from pathlib import Path
from time import perf_counter
from typing import Annotated

import orjson
import typer

from services.cli.installation import settings_of
from services.cli.terminal import EXIT_FAULT, complain, say, stop
from services.decision.audit.check import check
from services.decision.audit.points import read_witness
from services.decision.audit.verify import Found, told
from services.decision.audit.whole import verify_database
from shared import db
from shared.proof.stretches import STRETCH

app = typer.Typer(help="Holds history, or a dossier, against its proofs.")


@app.command()
def verify(
    dossier: Annotated[Path | None, typer.Argument(help="A dossier to check offline; without one, the whole database is.")] = None,
    key: Annotated[
        str | None, typer.Option(help="The public key that must have signed the dossier, as GET /v1/audit/key shows it.")
    ] = None,
    witness: Annotated[Path | None, typer.Option(help="Checkpoints kept elsewhere, as `milepost checkpoints` wrote them.")] = None,
    every_row: Annotated[bool, typer.Option("--every-row", help="Check row by row also what was proven before; takes longer.")] = False,
    processes: Annotated[int, typer.Option(min=0, help="How many processes share the work; 0 takes one per processor.")] = 0,
) -> None:
    """Holds the whole database, or a dossier, against its proofs. Exit 1 when anything was changed; each change is named."""
    if dossier is not None:
        _check(dossier, key)
        return
    notes = [] if witness is None else _witness(witness)
    settings = settings_of("verify", "secret_key")
    begin = perf_counter()
    try:
        found = asyncio.run(verify_database(settings, notes, processes, None if every_row else STRETCH))
    except db.FAULTS as fault:
        stop(f"milepost verify: the database does not answer: {str(fault).splitlines()[0]}; is it up to date and running?", EXIT_FAULT)
    for sentence in told(found):
        complain(sentence)
    say(summary(found, perf_counter() - begin))
    if found.faults:
        raise typer.Exit(EXIT_FAULT)


def summary(found: Found, seconds: float) -> str:
    """One line on what was seen."""
    verdict = "history is what was written" if not found.faults else f"{len(found.faults) + found.more} faults"
    extra = [f"{found.erased:,} rows of erased athletes proven by their commitments"] if found.erased else []
    extra += [f"{found.unproven:,} events older than the proofs"] if found.unproven else []
    extra += [f"{found.quick:,} stretches as they were proven"] if found.quick else []
    if found.slow:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found.slow.items()))
        extra.append(f"{found.slow.total():,} row by row ({why})")
    seen = [f"{found.events:,} events", f"{found.rows:,} rows", f"{found.checkpoints:,} checkpoints", *extra]
    return f"{verdict}: {', '.join(seen)}; {seconds:.1f} s"


def _witness(path: Path) -> list[str]:
    try:
        with path.open("rb") as lines:
            return read_witness(lines)
    except OSError as fault:
        stop(f"{path}: cannot be read: {fault.strerror}; give the file that `milepost checkpoints` wrote")
    except ValueError as fault:
        stop(f"{path}: {fault}")


def _check(path: Path, key: str | None) -> None:
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as fault:
        stop(f"{path}: cannot be read: {fault.strerror}; give the file that GET /v1/courses/COURSE/dossier answered")
    except orjson.JSONDecodeError as fault:
        stop(f"{path}:{fault.lineno}: not JSON; give the file that GET /v1/courses/COURSE/dossier answered")
    if not isinstance(found, dict):
        stop(f"{path}: not a dossier; give the file that GET /v1/courses/COURSE/dossier answered")
    judged = check(found, key)
    for sentence in judged.held:
        say(sentence)
    for sentence in judged.faults:
        complain(f"{path}: {sentence}")
    if judged.faults:
        raise typer.Exit(EXIT_FAULT)
    say("The dossier holds." if key else "The dossier holds; that its key is the clinic's, compare with GET /v1/audit/key.")

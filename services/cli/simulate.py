"""`milepost simulate FILE`: one CloudEvent per line in, one decision per line out; no server, no database, the same bytes always."""

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import EXIT_BAD_INPUT, complain, stop
from services.decision.engines.durable import PackRefused, SecondEngine, SecondEngineMissing
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import PackLibrary
from services.decision.simulation import FaultyLine, FaultyLines, Simulation

EXIT_NO_SECOND_ENGINE = 3
NAMED = 20
"""Faulty lines that are named; the others are counted."""

app = typer.Typer(add_completion=False)


@app.command()
def simulate(
    file: Annotated[str, typer.Argument(help="CloudEvents, one JSON object per line, in arrival order; - is standard input.")],
    protocol: Annotated[list[Path] | None, typer.Option(help="A pack file to use beside the shipped ones.")] = None,
) -> None:
    """Decides over a file of events and writes one decision per line as JSON, in the order made.

    Stops at the first line that is faulty or refused, with exit 2; that line is named, and those behind it whose form is at fault too.
    """
    try:
        packs = PackLibrary(ReferenceEngine(), also=protocol or ())
    except FaultyPack as faulty:
        stop(str(faulty), EXIT_BAD_INPUT)
    try:
        with SecondEngine(packs.by_hash) as second:
            _simulate(file, Simulation(packs, second))
    except SecondEngineMissing as missing:
        stop(str(missing), EXIT_NO_SECOND_ENGINE)
    except PackRefused as refused:
        stop(str(refused), EXIT_BAD_INPUT)


def _simulate(file: str, simulation: Simulation) -> None:
    try:
        for decision in simulation.run(_lines(file)):
            sys.stdout.buffer.write(decision + b"\n")
    except FaultyLine as fault:
        sys.stdout.buffer.flush()
        complain(_told(file, fault))
        for one in islice(fault.rest, NAMED - 1):
            complain(_told(file, one))
        if more := sum(1 for _ in fault.rest):
            complain(f"{file}: {more} more faulty line{'s' if more > 1 else ''}")
        raise typer.Exit(EXIT_BAD_INPUT) from None
    except FaultyLines as faults:
        sys.stdout.buffer.flush()
        told = [f"{file}:{line}: {path}: parked to the end: {reason}; send what it waits for" for line, path, reason in faults.waiting]
        stop("\n".join(told), EXIT_BAD_INPUT)
    sys.stdout.buffer.flush()


def _told(file: str, fault: FaultyLine) -> str:
    return f"{file}:{fault.line}: {fault.path}: {fault.sentence}"


def _lines(file: str) -> Iterable[bytes]:
    if file == "-":
        yield from sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as source:
            yield from source
    except OSError as error:
        stop(f"{file}: cannot be read: {error.strerror}; give the path of a file of events, or - for standard input", EXIT_BAD_INPUT)

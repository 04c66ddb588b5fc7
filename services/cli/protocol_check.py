"""`milepost protocol check`: every fault and every finding of pack files, at its place, with the athlete who shows it and the fix."""

import json
import sys
import textwrap
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from services.cli.installation import settings_of
from services.cli.pack_files import files_of
from services.cli.terminal import EXIT_BAD_INPUT, EXIT_FAULT, is_interactive, out, say, stop
from services.decision.lifecycle.store import Source
from services.decision.lifecycle.stored import StoredHistory
from services.decision.rules.check import Finding, Lived, check_file
from services.decision.rules.check.running import History
from services.decision.rules.library import FLOORS, Pack
from services.decision.store.connection import Database
from shared import db

COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
WIDTH = 110


def check(
    packs: Annotated[list[str] | None, typer.Argument(help="Paths of pack files or pack ids; all shipped packs if none.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one finding a line.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Also what is no fault: overlaps, gaps, grades.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail as errors do.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Look at the stored decisions of the installation too.")] = False,
    tenant: Annotated[str | None, typer.Option(help="With --history: only this tenant's.")] = None,
) -> None:
    """Checks packs and proves their safety laws; exits 1 with file, line, column and the fix for each error, 0 where there is none.

    Each finding begins with its place, as compilers print it, and names its check; docs/checks has a page for each. Warnings exit 0
    unless --strict is given. With --history it is also told which rules no stored decision met, which conditions all of them met and
    which steps none left; without, that none was looked at.
    """
    if tenant is not None and not history:
        stop("milepost protocol check: --tenant says whose history is read: give --history too")
    failing = ("error", "warning") if strict else ("error",)
    faulty = False
    for file in files_of("protocol check", packs):
        found = check_file(file, datetime.now(UTC).date(), _looking(tenant) if history else None)
        faulty = faulty or any(finding.severity in failing for finding in found)
        if as_json:
            for finding in found:
                say(json.dumps(finding.as_json(), ensure_ascii=False))
            continue
        for finding in found:
            if finding.severity != "info" or notes or finding.waived or (history and _of_history(finding)):
                _show(finding)
        _sum_up(file, found, notes, history)
    if faulty:
        raise typer.Exit(EXIT_FAULT)


def _of_history(finding: Finding) -> bool:
    """What history says of the pack's own rules; of the floor's with the notes."""
    return "stored decision" in finding.sentence and Path(finding.file).stem not in FLOORS


def _looking(tenant: str | None) -> History:
    database = Database.of(settings_of("protocol check --history", "secret_key"))

    def lived(pack: Pack) -> Lived:
        text = Source(pack.source.raw, tuple(floor.raw for floor in pack.floors))
        try:
            return StoredHistory(database, {pack.protocol.hash: text}, tenant).lived(pack.protocol)
        except db.FAULTS as fault:
            why = (str(fault) or type(fault).__name__).splitlines()[0]
            stop(f"milepost protocol check: the database does not answer: {why}; is it up to date and running?", EXIT_BAD_INPUT)
        except BrokenProcessPool:
            stop("milepost protocol check: a process that decided again ended; is there memory enough? Try --tenant", EXIT_BAD_INPUT)

    return lived


def _show(finding: Finding) -> None:
    details = [("", finding.athlete), ("fix: ", finding.fix), ("", finding.waived)]
    lines = [_folded(lead, said) for lead, said in details if said]
    if not is_interactive():
        stream = sys.stderr if finding.severity == "error" else sys.stdout
        print("\n".join([str(finding), *lines]), file=stream, flush=True)
        return
    place = Text(f"{finding.file}:{finding.line}:{finding.column}: ", style="bold")
    kind = Text(f"{finding.severity} {finding.code}", style=COLOURS[finding.severity])
    out.print(place + kind + Text(f" {finding.path}: {finding.sentence}"))
    for line in lines:
        out.print(Text(line, style="dim"))


def _folded(lead: str, said: str) -> str:
    return textwrap.fill(lead + said, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


def _sum_up(file: Path, found: tuple[Finding, ...], notes: bool, history: bool) -> None:
    counted = Counter(finding.severity for finding in found)
    parts = [f"{counted[kind]} {kind}{'s' * (counted[kind] != 1)}" for kind in ("error", "warning") if counted[kind]]
    told = ", ".join(parts) or "no fault found, every safety law proved"
    if counted["info"] and not notes:
        told += f"; {counted['info']} notes (--notes)"
    say(f"{file}: {told}{'' if history else '; no stored decision was looked at (--history)'}")

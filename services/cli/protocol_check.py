"""`milepost protocol check`: every fault and every finding of pack files, at its place, with the athlete who shows it and the fix."""

import json
import sys
import textwrap
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from services.cli.terminal import EXIT_FAULT, is_interactive, out, say
from services.decision.rules.check import Finding, check_file

COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
WIDTH = 110


def check(
    files: Annotated[list[Path], typer.Argument(help="Pack files.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one finding a line.")] = False,
    notes: Annotated[bool, typer.Option("--notes", help="Also what is no fault: overlaps, gaps, grades.")] = False,
) -> None:
    """Checks pack files and proves their safety laws; exits 1 with file, line, column and the fix for each error.

    Each finding begins with its place, as compilers print it, and names its check; docs/checks has a page for each.
    """
    faulty = False
    for file in files:
        found = check_file(file, datetime.now(UTC).date())
        faulty = faulty or any(finding.severity == "error" for finding in found)
        if as_json:
            for finding in found:
                say(json.dumps(finding.as_json(), ensure_ascii=False))
            continue
        for finding in found:
            if finding.severity != "info" or notes or finding.waived:
                _show(finding)
        _sum_up(file, found, notes)
    if faulty:
        raise typer.Exit(EXIT_FAULT)


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


def _sum_up(file: Path, found: tuple[Finding, ...], notes: bool) -> None:
    counted = Counter(finding.severity for finding in found)
    parts = [f"{counted[kind]} {kind}{'s' * (counted[kind] != 1)}" for kind in ("error", "warning") if counted[kind]]
    told = ", ".join(parts) or "no fault found, every safety law proved"
    if counted["info"] and not notes:
        told += f"; {counted['info']} notes (--notes)"
    say(f"{file}: {told}")

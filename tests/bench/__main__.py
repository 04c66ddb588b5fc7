"""`python -m tests.bench [SECTION …]`: prints the figures and writes them to .milepost/bench."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from rich.console import Console

from shared.telemetry.logs import configure_logs
from tests.bench import accept, chain, machine, proofs, proven, pure, rules, webhooks
from tests.bench.figures import Figure, as_json, console, table
from tests.bench.site import TENANT, Site, running

SECTIONS = ("pure", "rules", "proofs", "accept", "chain", "webhooks", "proven")
RESULTS = Path(".milepost") / "bench"


class Report:
    """Prints each section as it is done."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self.sections: dict[str, list[Figure]] = {}

    def add(self, title: str, figures: Sequence[Figure]) -> None:
        self.sections[title] = list(figures)
        self._out.print(table(title, figures), "")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Says on standard error what goes on, and how long it took."""
        begin = monotonic()
        print(f"{what} …", file=sys.stderr, flush=True)
        yield
        print(f"{what}: {monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


async def measure(home: Path, sections: Sequence[str], report: Report) -> None:
    if "pure" in sections:
        with report.doing("folding and deciding"):
            report.add("Decide, without servers", pure.measure())
    if "proofs" in sections:
        with report.doing("checking and proving packs"):
            report.add("Check and prove a pack, every check and safety law", proofs.measure())
    if "rules" in sections:
        with report.doing("judging a table of rules beside its peers"):
            report.add("A table of rules: the engines and their peers, same questions, same answers", rules.measure())
    if "accept" in sections:
        with report.doing("accepting"):
            async with running(home / "accept") as site:
                report.add("Accept: HTTP to disk on the bus; floor: the bare bus, same payloads", await accept.measure(site))
                report.add("Backlog", [await accept.drain(site, 8.0)])
    if "proven" in sections:
        with report.doing("proving history"):
            async with running(home / "proven") as site:
                report.add("History: verified, replayed, appended", await proven.measure(site))
    if "chain" in sections or "webhooks" in sections:
        with report.doing("the whole chain"):
            async with running(home / "chain", (TENANT, *webhooks.TENANTS)) as site:
                await _chain(site, sections, report)


async def _chain(site: Site, sections: Sequence[str], report: Report) -> None:
    memory = site.memory_mb()
    told = ", ".join(f"{name} {mb:.0f}" for name, mb in memory.items())
    report.add("Memory, idle", [Figure("resident memory in MB, children included", "", note=f"{sum(memory.values()):.0f}: {told}")])
    if "chain" in sections:
        # Half a minute after an athlete was last heard of, time itself speaks of what has passed: the many athletes come last.
        report.add("Length of the course", await chain.long_courses(site))
        figures = [await chain.offered(site), await chain.saturated(site)]
        report.add("Accept to stored decision; floor: the bare append of the same rows", figures)
    if "webhooks" in sections:
        report.add("Notify", await webhooks.measure(site))


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.2f}" for name, number in value.items())
    return str(value)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[], help="which to run (default: all)")
    asked = parser.parse_args().sections or SECTIONS
    configure_logs("bench", "WARNING")
    out, begin = console(), monotonic()
    home = Path(tempfile.mkdtemp(prefix="milepost-bench-"))
    os.chmod(home, 0o711)
    try:
        facts = machine.described(home)
        out.print("\n".join(f"{name:12} {_told(value)}" for name, value in facts.items()), "", highlight=False)
        report = Report(out)
        asyncio.run(measure(home, asked, report))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    file = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps({"at": now.isoformat(), "machine": facts, "sections": as_json(report.sections)}, indent=1))
    out.print(f"{monotonic() - begin:.0f} s; written to {file}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

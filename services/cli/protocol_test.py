"""`milepost protocol test`: tells a pack's stories, holds it against its recorded cases, and asks whether they would notice a slip."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from services.cli.pack_files import files_of
from services.cli.terminal import EXIT_FAULT, complain, say
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.library import Pack, load_pack
from services.decision.rules.testing.cases import place_of, written
from services.decision.rules.testing.completing import complete
from services.decision.rules.testing.killing import Fate
from services.decision.rules.testing.verdicts import judged, part, share_of_stories, stories_part, tested

SAMPLED = 60
"""Mutants by which the stories alone are scored unless all are asked for: each is told in full."""
PARTS = 16
"""Pieces in which a pack's mutants are handed out: progress is told after each."""


def test(
    packs: Annotated[list[str] | None, typer.Argument(help="Pack ids or paths of pack files; all shipped packs if none.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Write the cases anew with what the packs answer now.")] = False,
    mutants: Annotated[bool, typer.Option(help="Put small faults into the pack and list those that no test notices.")] = True,
    stories_alone: Annotated[
        bool, typer.Option("--stories-alone", help="Score the stories alone by every mutant, not by every n-th; takes a minute or more.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes for the mutants; 0: one per core.")] = 0,
) -> None:
    """Tells the stories, replays the recorded cases, scores the mutants; exits 1 where one ends otherwise or goes unnoticed."""
    files = files_of("protocol test", packs)
    failed = False
    with _workers(jobs if mutants else 1) as workers:
        for file in files:
            try:
                pack = load_pack(file)
                if accept:
                    _accept(pack, file)
                faults = _told(pack, file)
                if mutants:
                    faults += _scored(pack, file, workers, stories_alone)
            except FaultyPack as faulty:
                faults = faulty.faults
            for fault in faults:
                complain(str(fault))
            failed = failed or bool(faults)
    if failed:
        raise typer.Exit(EXIT_FAULT)


def _accept(pack: Pack, file: Path) -> None:
    """Writes the cases with what the pack answers now, and says how many lines that changed."""
    target = place_of(file)
    before = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    text = written(pack.protocol, complete(pack.protocol))
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    now = text.splitlines()
    kept, had = dict.fromkeys(before), dict.fromkeys(now)
    new, gone = sum(line not in kept for line in now), sum(line not in had for line in before)
    say(f"{target}: {new} lines new, {gone} gone; read the difference before you keep it")


def _told(pack: Pack, file: Path) -> list[PackFault]:
    protocol, found = pack.protocol, tested(pack, file)
    say(f"{protocol.id}@{protocol.version}: {found.stories} stories and {found.cases} cases told, {len(found.faults)} end otherwise")
    say(f"  conditions: {found.coverage.seen} of {found.coverage.wanted} states seen deciding (each met, not met, unknown)")
    for missing in found.coverage.missing:
        say(f"    never seen deciding: {missing}")
    return list(found.faults)


def _scored(pack: Pack, file: Path, workers: Executor | None, stories_alone: bool) -> list[PackFault]:
    fates = _fates(part, file, workers)
    score, faults = judged(pack, fates)
    by_case, by_story, equal = score.count("case"), score.count("story"), score.count("equivalent")
    say(
        f"  mutants: {score.share:.1%} noticed with the recorded borders: {by_case} by these, {by_story} by a story where no border does, "
        f"{len(score.survivors)} survive; {equal} more proved to change nothing"
    )
    every = 1 if stories_alone else max(1, len(fates) // SAMPLED)
    alone = _fates(stories_part, file, workers) if stories_alone else stories_part(file, 0, every)
    of = "" if every == 1 else f" (of every {every}th; --stories-alone tries all)"
    say(f"  mutants: {share_of_stories(score, alone):.1%} noticed by the stories alone{of}: borders notice change, stories what is wrong")
    for name in score.survivors:
        say(f"    survives: {name}")
    return faults


def _fates(of: Callable[[Path, int, int], list[Fate]], file: Path, workers: Executor | None) -> list[Fate]:
    if workers is None:
        return of(file, 0, 1)
    found: list[Fate] = []
    for done, future in enumerate(as_completed([workers.submit(of, file, number, PARTS) for number in range(PARTS)]), 1):
        found += future.result()
        if sys.stderr.isatty():
            print(f"\r  mutants: {done * 100 // PARTS} % ", end="" if done < PARTS else "\r", file=sys.stderr, flush=True)
    return found


@contextmanager
def _workers(jobs: int) -> Iterator[Executor | None]:
    """Processes, or none where one core is enough."""
    count = jobs or os.cpu_count() or 1
    if count == 1:
        yield None
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as workers:
        yield workers

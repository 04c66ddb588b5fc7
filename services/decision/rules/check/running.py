"""Runs every check over a pack, turns what could not be settled into errors, and applies the pack's waivers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from services.decision.core.protocol import Protocol
from services.decision.rules.check import (
    bound,
    cost,
    dead,
    gap,
    grade,
    live,
    overlap,
    safe_01,
    safe_02,
    safe_03,
    safe_04,
    safe_05,
    safe_06,
    safe_07,
    safe_08,
    safe_09,
    safe_10,
    safe_11,
    safe_12,
    safe_13,
    safe_14,
    subsumed,
    vacuous,
)
from services.decision.rules.check.finding import Case, Check, Finding
from services.decision.rules.check.lived import Lived
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import Pack, load_pack
from services.decision.rules.prove.solver import Unproved

CHECKS: dict[str, Check] = {
    module.CODE: module.check
    for module in (
        *(bound, cost, live, dead, vacuous, subsumed, overlap, gap, grade),
        *(safe_01, safe_02, safe_03, safe_04, safe_05, safe_06, safe_07),
        *(safe_08, safe_09, safe_10, safe_11, safe_12, safe_13, safe_14),
    )
}
AT_READING = ("FORM", "TYPE", "UNIT", "INSTR", "CYCLE")
"""Checks that stand while a pack is read and compiled: what fails them never becomes a protocol."""

NEVER_WAIVED = (*AT_READING, "COST", "BOUND", "SAFE-06", "SAFE-12", "SAFE-14")
"""Red flags, engine faults, waivers themselves, and what no engine could run."""

FIRST = ("BOUND", "COST")

ORDER = ("error", "warning", "info")

History = Callable[[Pack], Lived]
"""What the pack's rules say at stored decisions."""


def check_file(path: Path, on: date | None = None, history: History | None = None) -> tuple[Finding, ...]:
    """Every finding of a pack file, the gravest first. A file that cannot be compiled has its faults only."""
    try:
        pack = load_pack(path)
    except FaultyPack as faulty:
        return tuple(Finding(f.code, "error", f.file, f.line, f.column, f.path, f.sentence) for f in faulty.faults)
    return check_pack(pack, on, None if history is None else history(pack))


def check_pack(pack: Pack, on: date | None = None, lived: Lived | None = None) -> tuple[Finding, ...]:
    """Every finding of a loaded pack, the gravest first. Without a date nothing is said to be past; without `lived` no history was seen."""
    return run(Case(pack.protocol, pack, on, lived))


def check_protocol(protocol: Protocol, on: date | None = None) -> tuple[Finding, ...]:
    """The same for a pack that exists only as compiled; places are its id and paths."""
    return run(Case(protocol, None, on))


def run(case: Case, checks: Sequence[str] = tuple(CHECKS)) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for code in checks:
        found += [_waived(case, finding) for finding in _run_one(case, code)]
        if code in FIRST and any(finding.severity == "error" for finding in found):
            break  # What no engine could run is not proved either: that could take for ever.
    return tuple(sorted(found, key=lambda finding: (ORDER.index(finding.severity), finding.file, finding.line, finding.column)))


def _run_one(case: Case, code: str) -> Iterator[Finding]:
    try:
        yield from CHECKS[code](case)
    except Unproved as unproved:
        said = f"{unproved.question} was neither proved nor refuted within its bound; what is not proved does not hold"
        yield Finding(
            code, "error", *case.at("rules"), said, fix="Split the pack, or take out alternatives (`any`) that no source asks for."
        )


def _waived(case: Case, finding: Finding) -> Finding:
    if case.pack is None or finding.severity == "info" or finding.code in NEVER_WAIVED:
        return finding
    for waiver in case.pack.source.text.waivers:
        if waiver.check == finding.code and waiver.at in ("", finding.path) and (case.on is None or case.on <= waiver.until):
            return replace(finding, severity="info", waived=f"waived by {waiver.owner} until {waiver.until}: {waiver.reason}")
    return finding

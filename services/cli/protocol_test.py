"""`milepost protocol test`: tells a pack's stories and holds it against its recorded cases."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import EXIT_FAULT, complain, say, stop
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.library import FLOORS, SHIPPED, Pack, load_pack
from services.decision.rules.testing.cases import made, place_of, read_cases, replayed, written
from services.decision.rules.testing.stories import tell_all


def test(
    packs: Annotated[list[str] | None, typer.Argument(help="Pack ids or paths of pack files; all shipped packs if none.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Write the cases anew with what the packs answer now.")] = False,
) -> None:
    """Tells the stories, replays the recorded cases; exits 1 where one ends otherwise."""
    files = [_file_of(name) for name in packs] if packs else sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)
    failed = False
    for file in files:
        try:
            pack = load_pack(file)
            if accept:
                _accept(pack, file)
            faults = _tested(pack, file)
        except FaultyPack as faulty:
            faults = faulty.faults
        for fault in faults:
            complain(str(fault))
        failed = failed or bool(faults)
    if failed:
        raise typer.Exit(EXIT_FAULT)


def _file_of(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    file = SHIPPED / f"{name.partition('@')[0]}.yaml"
    if name in FLOORS or not file.exists():
        known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS))
        stop(f"milepost protocol test: there is no pack {name}; there are {known}, or give the path of a pack file")
    return file


def _accept(pack: Pack, file: Path) -> None:
    """Writes the cases with what the pack answers now, and says how many lines that changed."""
    target = place_of(file)
    before = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    text = written(pack.protocol, made(pack.protocol))
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")
    kept = dict.fromkeys(before)
    now = text.splitlines()
    new, gone = sum(line not in kept for line in now), sum(line not in dict.fromkeys(now) for line in before)
    say(f"{target}: {new} lines new, {gone} gone; read the difference before you keep it")


def _tested(pack: Pack, file: Path) -> list[PackFault]:
    protocol = pack.protocol
    told, faults = tell_all(pack, ReferenceEngine())
    cases = read_cases(protocol, place_of(file))
    wrong = replayed(protocol, cases)
    say(f"{protocol.id}@{protocol.version}: {len(told)} stories and {len(cases.cases)} cases, {len(faults) + len(wrong)} end otherwise")
    return [*faults, *wrong]

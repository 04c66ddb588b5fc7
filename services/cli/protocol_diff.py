"""`milepost protocol diff`: what changes between two packs, by text and by meaning, the more permissive first."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import EXIT_FAULT, say, stop
from services.decision.core.protocol import Protocol
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.difference import Difference, difference
from services.decision.rules.faults import FaultyPack
from services.decision.rules.library import PackLibrary, load
from services.decision.rules.prove import Unproved


def diff(
    a: Annotated[str, typer.Argument(help="The pack as it was: a path, an id or id@version.")],
    b: Annotated[str, typer.Argument(help="The pack as it is to be.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Shows for whom the verdict changes between two packs. Exits 0 where nothing changes, 1 where something does, 2 for bad input."""
    old, new = _find(a), _find(b)
    try:
        found = difference(old, new)
    except Unproved as unproved:
        stop(f"milepost protocol diff: {unproved.question} was not settled within its bound; take the packs as differing everywhere")
    if as_json:
        say(json.dumps(_as_json(old, new, found), ensure_ascii=False))
    else:
        _show(old, new, found)
    if found:
        raise typer.Exit(EXIT_FAULT)


def _show(old: Protocol, new: Protocol, found: Difference) -> None:
    say(f"{old.id}@{old.version} {old.hash[:19]} becomes {new.id}@{new.version} {new.hash[:19]}")
    if not found:
        say("They say the same: no rule, no setting and no verdict changes.")
        return
    changed = found.changes
    parts = (
        ("Text", found.text),
        ("More permissive", [one.words for one in changed if one.more_permissive]),
        ("More conservative", [one.words for one in changed if not one.more_permissive]),
    )
    for title, lines in parts:
        say(f"\n{title}" if lines else f"\n{title}: nothing")
        for line in lines:
            say(f"  {line}")
    if not found.complete:
        say("\nMore regions differ than are listed here; take the rest as more permissive.")


def _as_json(old: Protocol, new: Protocol, found: Difference) -> dict[str, object]:
    changed = found.changes
    return {
        "old": {"id": old.id, "version": old.version, "hash": old.hash},
        "new": {"id": new.id, "version": new.version, "hash": new.hash},
        "text": list(found.text),
        "changes": [{"id": one.id, "words": one.words, "more_permissive": one.more_permissive} for one in changed],
        "complete": found.complete,
    }


def _find(name: str) -> Protocol:
    if name.endswith((".yaml", ".yml")):
        try:
            return load(Path(name))
        except FaultyPack as faulty:
            stop(str(faulty))
    packs = PackLibrary(ReferenceEngine())
    found = packs.resolve(name)
    if found is None:
        stop(f"milepost protocol diff: there is no pack {name}; there are {', '.join(packs.names())}, or give the path of a pack file")
    return found

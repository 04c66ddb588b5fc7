"""`milepost protocol diff`: what changes between two packs, by text, by meaning and by history, the more permissive first."""

import json
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from typing import Annotated

import typer

from services.cli.installation import settings_of
from services.cli.pack_files import pack_of
from services.cli.terminal import EXIT_BAD_INPUT, EXIT_FAULT, say, stop
from services.decision.core.protocol import Protocol
from services.decision.lifecycle.backtest import UNOBSERVED
from services.decision.lifecycle.store import Source
from services.decision.lifecycle.stored import StoredHistory
from services.decision.rules.difference import Difference, Direction, PastDecisions, difference
from services.decision.rules.library import Pack
from services.decision.rules.prove import Unproved
from services.decision.store.connection import Database
from shared import db

SHOWN = 20


def diff(
    a: Annotated[str, typer.Argument(help="The pack as it was: a path, an id, id@version or a content hash, shipped or published here.")],
    b: Annotated[str, typer.Argument(help="The pack as it is to be.")],
    history: Annotated[bool, typer.Option("--history", help="Which stored decisions of A's courses would differ, too.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Whose published packs and, with --history, whose decisions are meant.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Shows for whom the verdict changes between two packs. Exits 0 where nothing changes, 1 where something does, 2 for bad input."""
    packs = pack_of("protocol diff", a, tenant), pack_of("protocol diff", b, tenant)
    old, new = (pack.protocol for pack in packs)
    past = _stored(packs, tenant) if history else None
    try:
        found = difference(old, new, past)
    except db.FAULTS as fault:
        why = (str(fault) or type(fault).__name__).splitlines()[0]
        stop(f"milepost protocol diff: the database does not answer: {why}; is it up to date and running?", EXIT_BAD_INPUT)
    except BrokenProcessPool:
        stop("milepost protocol diff: a process that decided again ended; is there memory enough? Try --tenant", EXIT_BAD_INPUT)
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
    else:
        _show_rules(found)
    if found.past is not None:
        _show_past(old, found.past)


def _show_rules(found: Difference) -> None:
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


def _show_past(old: Protocol, past: PastDecisions) -> None:
    total, counts = sum(past.counts.values()), past.counts
    if not total and not past.unread:
        say(f"\nHistory: no stored decision is of a course under {old.id}")
        return
    freer, stricter, never = (counts[name] for name in ("more_permissive", "more_conservative", "not_comparable"))
    say(
        f"\nHistory: of {total:,} stored decisions of {past.athletes:,} athletes, {freer:,} would be more permissive,"
        f" {stricter:,} more conservative, {never:,} cannot be compared"
    )
    if past.made_otherwise:
        say(f"  {past.made_otherwise:,} of them were made under other content than the first pack's: there both packs decided again")
    titles: tuple[tuple[str, Direction], ...] = (
        ("Decisions more permissive", "more_permissive"),
        ("Decisions more conservative", "more_conservative"),
        ("Decisions that cannot be compared", "not_comparable"),
    )
    for title, direction in titles:
        listed = past.of(direction)[:SHOWN]
        say(f"\n{title}" if listed else f"\n{title}: none")
        for one in listed:
            say(f"  {one.tenant} {one.course} {one.seq}, {one.as_of}: {one.was} -> {one.would_be or 'nothing'} [{one.because}]")
        if counts[direction] > len(listed):
            say(f"  … and {counts[direction] - len(listed):,} more")
    if past.unread:
        say(f"\n{len(past.unread):,} athletes could not be followed and are not counted: {past.unread[0]}")
    say(f"\n{UNOBSERVED}")


def _as_json(old: Protocol, new: Protocol, found: Difference) -> dict[str, object]:
    changed = found.changes
    return {
        "old": {"id": old.id, "version": old.version, "hash": old.hash},
        "new": {"id": new.id, "version": new.version, "hash": new.hash},
        "text": list(found.text),
        "changes": [{"id": one.id, "words": one.words, "more_permissive": one.more_permissive} for one in changed],
        "complete": found.complete,
        **({} if found.past is None else {"history": {**asdict(found.past), "note": UNOBSERVED}}),
    }


def _stored(packs: tuple[Pack, Pack], tenant: str | None) -> StoredHistory:
    texts = {pack.protocol.hash: Source(pack.source.raw, tuple(floor.raw for floor in pack.floors)) for pack in packs}
    return StoredHistory(Database.of(settings_of("protocol diff --history", "secret_key")), texts, tenant)

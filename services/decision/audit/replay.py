"""Replays of history: spread over processes, in rounds that are kept with their place, so that a replay goes on where it was cut off."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import uuid4

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.audit.again import Difference, Past, corrected_now, known_then_abreast
from services.decision.core.protocol import Protocol
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.store import Source
from services.decision.packs import Published
from services.decision.rules.library import PackLibrary, load_recorded
from services.decision.store import replays
from services.decision.store.athletes import AthleteKey
from services.decision.store.connection import Connection, Database, borrowed, snapshot
from services.decision.store.replays import Kept, Replay, Unopened

AT_ONCE: Final = 16
"""Athletes in one piece of work."""
ABREAST: Final = 8
"""Histories of a piece that are decided again side by side, at most."""
ROWS: Final = 1_500
"""Events and decisions that lie open in memory for that, each with what is folded of it about 6 kB; a longer history is decided alone."""
PIECES: Final = 2
"""Pieces per process in one round."""
KEPT: Final = 10_000
"""Differences kept with both records; all are counted."""


class Asked(NamedTuple):
    """What is replayed and how; JSON in the replay's row. `pack` is a pack's source instead of the recorded one, by its id."""

    athlete: str | None = None
    since: str | None = None
    until: str | None = None
    view: str = "known"
    pack: str | None = None
    pack_hash: str | None = None


class Piece(NamedTuple):
    """Work for one process."""

    database: Database
    athletes: tuple[AthleteKey, ...]
    asked: Asked
    pack: Source | None


class Outcome(NamedTuple):
    erased: int
    decisions: int
    found: list[tuple[str, str, Difference]]


async def start(connection: Connection, tenant: str | None, actor: str, asked: Asked) -> str:
    """A new replay, to be run; its id. Raises `NoSuchAthlete`."""
    id = str(uuid4())
    await replays.begin(connection, id, tenant, actor, asked._asdict())
    return id


async def run(
    engine: AsyncEngine,
    database: Database,
    pool: Pool,
    id: str,
    pack: Source | None = None,
    tell: Callable[[Replay], None] = lambda replay: None,
) -> None:
    """Runs a replay to its end from wherever it is. `database` is where its processes read; `tell` hears of every round."""
    try:
        while True:
            async with borrowed(engine) as connection:
                replay = await replays.read(connection, id)
                if replay is None or replay.state != "running":
                    return
                asked = Asked(**replay.asked)
                after = (replay.after_tenant or "", replay.after_athlete or "")
                wanted = await replays.athletes(connection, replay.tenant, asked.athlete, after, AT_ONCE * PIECES * pool.size)
            if not wanted:
                break
            pieces = [Piece(database, tuple(wanted[at : at + AT_ONCE]), asked, pack) for at in range(0, len(wanted), AT_ONCE)]
            outcomes = await asyncio.gather(*(pool.run(work, piece) for piece in pieces))
            found = [one for outcome in outcomes for one in outcome.found]
            first = replay.differences + 1
            kept = [Kept(first + n, *one) for n, one in enumerate(found) if first + n <= KEPT]
            counts = (len(wanted), sum(one.erased for one in outcomes), sum(one.decisions for one in outcomes))
            async with borrowed(engine) as connection:
                if not await replays.progress(connection, id, replay, wanted, counts, kept, len(found)):
                    return
                now = await replays.read(connection, id)
            if now is not None:
                tell(now)
    except asyncio.CancelledError:
        raise  # Stays running: whoever starts next goes on from its place.
    except Exception as fault:
        async with borrowed(engine) as connection:
            await replays.end(connection, id, "failed", f"an internal fault ended it ({type(fault).__name__}); look at the log of decision")
        raise
    async with borrowed(engine) as connection:
        await replays.end(connection, id, "done", None)


def work(piece: Piece) -> Outcome:
    """One piece, in a process of its own."""
    return asyncio.run(_work(piece))


async def _work(piece: Piece) -> Outcome:
    connection = await piece.database.connect()
    try:
        packs = _published()
        await packs.refresh(connection)
        async with snapshot(connection):
            gone = await replays.erased(connection, piece.athletes)
            wanted = [key for key in piece.athletes if key not in gone]
            histories = await replays.unopened(connection, wanted) if wanted else []
    finally:
        await connection.close(timeout=5)
    others = {} if piece.pack is None else _other(piece.pack)
    found: list[tuple[str, str, Difference]] = []
    decisions = 0
    for some in _abreast(histories):
        count, differing = _decided(some, packs, piece.asked, others)
        decisions += count
        found += differing
    return Outcome(len(gone), decisions, found)


def _abreast(histories: Sequence[Unopened]) -> Iterator[list[Unopened]]:
    """In their order: as many together as may lie open at once."""
    some: list[Unopened] = []
    for one in histories:
        if some and (len(some) == ABREAST or sum(other.rows for other in some) + one.rows > ROWS):
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def _decided(
    some: Sequence[Unopened], packs: Published, asked: Asked, others: Mapping[str, Protocol]
) -> tuple[int, list[tuple[str, str, Difference]]]:
    """How many decisions these have, and what differs. They lie open no longer than this takes."""
    pasts = [one.open() for one in some]
    decisions = sum(_within(made.body, asked) for past in pasts for made in past.decisions)
    found = zip(pasts, differences(pasts, packs, asked, others), strict=True)
    return decisions, [(past.tenant, past.athlete, one) for past, differing in found for one in differing]


def differences(pasts: Sequence[Past], packs: Published, asked: Asked, others: Mapping[str, Protocol]) -> list[list[Difference]]:
    """What differs for each of these athletes, within the asked time."""
    libraries = [packs.of(past.tenant) for past in pasts]
    if asked.view == "known":
        found = known_then_abreast(pasts, libraries, others)
    else:
        found = [list(corrected_now(past, library, others)) for past, library in zip(pasts, libraries, strict=True)]
    return [[one for one in each if _within(one.stored or one.again, asked)] for each in found]


def _within(record: bytes | None, asked: Asked) -> bool:
    """Whether a decision was made in the asked time (`as_at`)."""
    if record is None or (asked.since is None and asked.until is None):
        return True
    at = orjson.loads(record).get("as_at")
    if at is None:
        return True
    moment = datetime.fromisoformat(at)
    since, until = (None if text is None else datetime.fromisoformat(text) for text in (asked.since, asked.until))
    return (since is None or moment >= since) and (until is None or moment <= until)


@lru_cache(maxsize=1)
def _published() -> Published:
    return Published(PackLibrary(ReferenceEngine()), ReferenceEngine())


@lru_cache(maxsize=4)
def _other(source: Source) -> dict[str, Protocol]:
    protocol = load_recorded("the other pack", source.pack, source.floors).protocol
    return {protocol.id: protocol}


def shown(kept: Sequence[Kept]) -> list[dict[str, Any]]:
    """Differences as they are told: both explanations side by side."""
    return [
        {
            "n": one.n,
            "tenant": one.tenant,
            "subject": one.athlete,
            "course": one.difference.course,
            "seq": one.difference.seq,
            "what": one.difference.what,
            "fields": list(one.difference.fields),
            "stored": _record(one.difference.stored),
            "again": _record(one.difference.again),
        }
        for one in kept
    ]


def _record(body: bytes | None) -> Any:
    return None if body is None else orjson.loads(body)

"""Stored history as the difference and the checks of packs ask for it: every decision of a pack's courses, made again.

Reads only, in one snapshot. Where the record is the old pack's own, it stands for it; elsewhere the old pack decides again as well.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from heapq import nsmallest
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from services.decision.core.protocol import Protocol
from services.decision.lifecycle import past, store
from services.decision.lifecycle.compare import (
    DIRECTIONS,
    DamagedDecision,
    Job,
    Outcome,
    Past as Athlete,
    body_of,
    compiled,
    decide_again,
    direction_of,
)
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.store import SHARED, Source
from services.decision.rules.check.lived import Lived
from services.decision.rules.difference import Direction, Past, PastDecisions
from services.decision.store.connection import Connection, Database
from services.decision.store.replays import erased

T = TypeVar("T")

AT_ONCE: Final = 8
"""Athletes in one piece of work."""
LISTED: Final = 1000
"""Past decisions that are listed of each direction; all are counted."""


class Told(NamedTuple):
    """What both packs make of one athlete's decisions; `fault` where the history could not be followed."""

    counts: Counter[Direction]
    differing: list[Past]
    made_otherwise: int
    fault: str | None


class StoredHistory:
    """The history of the database, of one tenant or of all. `texts` are the packs as written, by content hash."""

    def __init__(self, database: Database, texts: Mapping[str, Source], tenant: str | None = None) -> None:
        self._database = database
        self._texts = texts
        self._tenant = tenant

    def differing(self, old: Protocol, new: Protocol) -> PastDecisions:
        """Raises what the driver raises while the database does not answer, and `BrokenProcessPool`."""
        return asyncio.run(self.read(old, new))

    def lived(self, pack: Protocol) -> Lived:
        """What the pack's rules say at every decision of its courses. Raises as `differing` does."""
        return asyncio.run(self._within(pack.id, partial(_lived, self._texts[pack.hash], pack, self._tenant)))

    async def read(self, old: Protocol, new: Protocol) -> PastDecisions:
        """`differing` within a loop that runs already."""
        return await self._within(old.id, partial(_differing, self._texts[old.hash], self._texts[new.hash], old, self._tenant))

    async def _within(self, pack: str, work: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self._database.connect()
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(connection)
        finally:
            await connection.close(timeout=5)


async def _differing(old: Source, new: Source, before: Protocol, only: str | None, connection: Connection) -> PastDecisions:
    counts: Counter[Direction] = Counter()
    kept: dict[Direction, list[Past]] = {direction: [] for direction in DIRECTIONS}
    otherwise, unread = 0, list[str]()

    def take(found: Sequence[Told]) -> None:
        nonlocal otherwise
        for told in found:
            counts.update(told.counts)
            otherwise += told.made_otherwise
            unread.extend([] if told.fault is None else [told.fault])
            for direction, list_ in kept.items():
                these = [one for one in told.differing if one.direction == direction]
                list_[:] = nsmallest(LISTED, list_ + these, key=lambda one: (one.tenant, one.course, one.seq))

    def work(tenant: str, own: Mapping[str, Source], lived: Sequence[Athlete]) -> tuple[Any, ...]:
        return tenant, old, before.hash, Job(new, before.id, own, lived)

    count, gone = await _each(connection, before.id, only, decide_both, work, take)
    listed = tuple(one for direction in DIRECTIONS for one in kept[direction])
    unread += gone
    return PastDecisions(count, {direction: counts[direction] for direction in DIRECTIONS}, listed, otherwise, tuple(sorted(unread)))


async def _lived(source: Source, pack: Protocol, only: str | None, connection: Connection) -> Lived:
    found = Lived()

    def take(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.lived is not None:
                found.add(outcome.lived)

    def work(tenant: str, own: Mapping[str, Source], lived: Sequence[Athlete]) -> tuple[Any, ...]:
        return (Job(source, pack.id, own, lived),)

    found.of_athletes = (await _each(connection, pack.id, only, decide_again, work, take))[0]
    return found


async def _each(
    connection: Connection,
    pack: str,
    only: str | None,
    decide: Callable[..., list[T]],
    work: Callable[[str, Mapping[str, Source], Sequence[Athlete]], tuple[Any, ...]],
    take: Callable[[list[T]], None],
) -> tuple[int, list[str]]:
    """Every athlete with a course under the pack, decided again a few at a time, over processes where there are many. Gives how many there
    are, and who of them was erased.
    """
    tenants = [only] if only is not None else await past.tenants_on(connection, pack)
    athletes = {tenant: await past.athletes_on(connection, tenant, pack) for tenant in tenants}
    own = {tenant: await _own(connection, tenant) for tenant in tenants}
    pieces = iter(list(_pieces(athletes)))
    count = sum(len(names) for names in athletes.values())
    reading = asyncio.Lock()
    unread: list[str] = []
    pool = Pool(min(os.cpu_count() or 1, -(-count // AT_ONCE))) if count > AT_ONCE else None

    async def serve() -> None:
        for tenant, piece in pieces:
            async with reading:
                gone = await erased(connection, [(tenant, athlete) for athlete in piece])
                unread.extend(f"{athlete} of {tenant}: erased" for _, athlete in gone)
                lived = await past.pasts(connection, tenant, pack, [one for one in piece if (tenant, one) not in gone])
            asked = work(tenant, own[tenant], lived)
            take(decide(*asked) if pool is None else await pool.run(decide, *asked))

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(1 if pool is None else pool.size):
                tasks.create_task(serve())
    except ExceptionGroup as group:
        # One fault, as it would come without tasks: of the database, or of a process that ended.
        raise group.exceptions[0] from None
    finally:
        if pool is not None:
            pool.close()
    return count, unread


def decide_both(tenant: str, old: Source, hash: str, job: Job) -> list[Told]:
    """What the old pack, of content `hash`, and the job's candidate make of each athlete; never raises for what a history holds."""
    others = [one for one in job.athletes if _otherwise(one, hash)]
    again = {one.athlete: one for one in decide_again(replace(job, candidate=old, athletes=others))} if others else {}
    candidate = compiled(job.candidate)
    return [
        _told(tenant, hash, lived, again.get(lived.athlete), outcome, candidate)
        for lived, outcome in zip(job.athletes, decide_again(job), strict=True)
    ]


def _told(tenant: str, hash: str, lived: Athlete, again: Outcome | None, outcome: Outcome, candidate: Protocol) -> Told:
    fault = outcome.fault or (None if again is None else again.fault)
    if fault is not None:
        return Told(Counter(), [], 0, f"{lived.athlete} of {tenant}: {fault}")
    told = Told(Counter(), [], _otherwise(lived, hash), None)
    for n, one in enumerate(outcome.compared):
        direction, because, was = one.direction, one.because, one.before
        if again is not None:
            made = again.compared[n]
            if made.after is None:
                direction, because = "not_comparable", f"under the old pack: {made.because}"
            else:
                was = made.after
                if one.after is not None:
                    direction, changed = direction_of(orjson.loads(was), orjson.loads(one.after), candidate)
                    because = "; ".join(changed)
        told.counts[direction] += 1
        if direction != "same":
            before, after = orjson.loads(was), None if one.after is None else orjson.loads(one.after)
            would_be = None if after is None else after["summary"]
            found = Past(tenant, one.athlete, one.course, one.seq, before["as_of"], before["summary"], would_be, direction, because)
            told.differing.append(found)
    return told


def _otherwise(lived: Athlete, hash: str) -> int:
    """How many of the athlete's decisions were made under other content; none where one is damaged, which the fold tells."""
    try:
        return sum(body_of(made)["protocol"]["hash"] != hash for made in lived.decided)
    except DamagedDecision:
        return 0


async def _own(connection: Connection, tenant: str) -> dict[str, Source]:
    """Whatever other courses of the same athletes may stand on: what the tenant published, and what any release shipped."""
    recorded = [*await store.events(connection, tenant), *await store.events(connection, SHARED)]
    kinds = ("shipped", "published")
    return await store.sources(connection, list({(one.scope, one.pack, one.event.hash) for one in recorded if one.event.kind in kinds}))


def _pieces(athletes: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    for tenant, names in athletes.items():
        for first in range(0, len(names), AT_ONCE):
            yield tenant, names[first : first + AT_ONCE]

"""Stored history as the difference of two packs asks for it: every decision of the old pack's courses, as both would make it.

Reads only, in one snapshot. Where the record is the old pack's own, it stands for it; elsewhere the old pack decides again as well.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from typing import Final, NamedTuple

import orjson

from services.decision.core.protocol import Protocol
from services.decision.lifecycle import past, store
from services.decision.lifecycle.compare import DIRECTIONS, Job, Outcome, Past as Lived, compiled, decide_again, direction_of
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.store import SHARED, Source
from services.decision.rules.difference import Direction, Past, PastDecisions
from services.decision.store.connection import Connection, Database
from services.decision.store.replays import erased

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

    async def read(self, old: Protocol, new: Protocol) -> PastDecisions:
        """The same within a loop that runs already."""
        connection = await self._database.connect()
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _read(connection, self._texts[old.hash], self._texts[new.hash], old, self._tenant)
        finally:
            await connection.close(timeout=5)


async def _read(connection: Connection, old: Source, new: Source, before: Protocol, only: str | None) -> PastDecisions:
    tenants = [only] if only is not None else await past.tenants_on(connection, before.id)
    athletes = {tenant: await past.athletes_on(connection, tenant, before.id) for tenant in tenants}
    own = {tenant: await _own(connection, tenant) for tenant in tenants}
    pieces = iter(list(_pieces(athletes)))
    count = sum(len(names) for names in athletes.values())
    counts: Counter[Direction] = Counter()
    kept: dict[Direction, list[Past]] = {direction: [] for direction in DIRECTIONS}
    otherwise, unread = 0, list[str]()
    reading = asyncio.Lock()
    pool = Pool(min(os.cpu_count() or 1, -(-count // AT_ONCE))) if count > AT_ONCE else None

    async def serve() -> None:
        nonlocal otherwise
        for tenant, piece in pieces:
            async with reading:
                gone = await erased(connection, [(tenant, athlete) for athlete in piece])
                unread.extend(f"{athlete} of {tenant}: erased" for _, athlete in gone)
                lived = await past.pasts(connection, tenant, before.id, [one for one in piece if (tenant, one) not in gone])
            work = (tenant, old, before.hash, Job(new, before.id, own[tenant], lived))
            for told in decide_both(*work) if pool is None else await pool.run(decide_both, *work):
                counts.update(told.counts)
                otherwise += told.made_otherwise
                unread.extend([] if told.fault is None else [told.fault])
                for direction, list_ in kept.items():
                    found = [one for one in told.differing if one.direction == direction]
                    list_[:] = nsmallest(LISTED, list_ + found, key=lambda one: (one.tenant, one.course, one.seq))

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
    listed = tuple(one for direction in DIRECTIONS for one in kept[direction])
    return PastDecisions(count, {direction: counts[direction] for direction in DIRECTIONS}, listed, otherwise, tuple(sorted(unread)))


def decide_both(tenant: str, old: Source, hash: str, job: Job) -> list[Told]:
    """What the old pack, of content `hash`, and the job's candidate make of each athlete; never raises for what a history holds."""
    others = [one for one in job.athletes if any(_hash(made.body) != hash for made in one.decided)]
    again = {one.athlete: one for one in decide_again(replace(job, candidate=old, athletes=others))} if others else {}
    candidate = compiled(job.candidate)
    return [
        _told(tenant, hash, lived, again.get(lived.athlete), outcome, candidate)
        for lived, outcome in zip(job.athletes, decide_again(job), strict=True)
    ]


def _told(tenant: str, hash: str, lived: Lived, again: Outcome | None, outcome: Outcome, candidate: Protocol) -> Told:
    told = Told(Counter(), [], sum(_hash(made.body) != hash for made in lived.decided), None)
    fault = outcome.fault or (None if again is None else again.fault)
    if fault is not None:
        return Told(Counter(), [], 0, f"{lived.athlete} of {tenant}: {fault}")
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


def _hash(body: bytes) -> str:
    return str(orjson.loads(body)["protocol"]["hash"])


async def _own(connection: Connection, tenant: str) -> dict[str, Source]:
    """Whatever other courses of the same athletes may stand on: what the tenant published, and what any release shipped."""
    recorded = [*await store.events(connection, tenant), *await store.events(connection, SHARED)]
    kinds = ("shipped", "published")
    return await store.sources(connection, list({(one.scope, one.pack, one.event.hash) for one in recorded if one.event.kind in kinds}))


def _pieces(athletes: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    for tenant, names in athletes.items():
        for first in range(0, len(names), AT_ONCE):
            yield tenant, names[first : first + AT_ONCE]

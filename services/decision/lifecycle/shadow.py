"""Approved packs beside the live ones: the same facts at the same moments, into a table of their own. No notice goes out, no worker waits.

Reads history behind the workers. A decision that the shadow cannot follow is parked with its reason, once, and never tried again.
"""

import asyncio
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.lifecycle import past, store
from services.decision.lifecycle.backtest import AT_ONCE
from services.decision.lifecycle.compare import Difference, Job, Outcome, decide_again
from services.decision.lifecycle.past import Waiting
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.states import Revision
from services.decision.packs import Published
from services.decision.store.connection import borrowed
from shared.stopping import told_to_stop

LOOK_EVERY_S: Final = 1.0
DECISIONS: Final = 500
"""Decisions looked at in one round of one shadow."""

_log = structlog.get_logger("milepost.decision")


async def accompany(engine: AsyncEngine, packs: Published, pool: Pool) -> None:
    """Until cancelled. Several processes may: what one has written the others leave."""
    while not told_to_stop():
        for (tenant, pack), life in list(packs.lives.items()):
            revision = life.revision
            if revision is None or revision.state != "shadow":
                continue
            try:
                while await follow(engine, packs, pool, tenant, pack, revision):
                    pass
            except Exception as fault:
                _log.warning("a shadow could not follow; trying again", tenant=tenant, pack=pack, exc_info=fault)
        await asyncio.sleep(LOOK_EVERY_S)


async def follow(engine: AsyncEngine, packs: Published, pool: Pool, tenant: str, pack: str, revision: Revision) -> bool:
    """One round. False when there was nothing to look at."""
    assert revision.shadow is not None, "a shadow knows since when"
    async with borrowed(engine) as connection:
        waiting = await past.unshadowed(connection, tenant, pack, revision.hash, revision.shadow.behind, DECISIONS)
        if not waiting:
            return False
        candidate = await store.source_of(connection, tenant, pack, revision.hash)
        own = await past.own_packs(connection, packs, tenant)
    assert candidate is not None, "every draft keeps its text"
    athletes = list(waiting)
    for first in range(0, len(athletes), AT_ONCE):
        piece = athletes[first : first + AT_ONCE]
        async with borrowed(engine) as connection:
            histories, faults = await past.readable(connection, tenant, pack, piece)
        outcomes = await _decided(pool, Job(candidate, pack, own, histories)) if histories else []
        outcomes += [Outcome(athlete, (), why) for athlete, why in faults.items()]
        found = [one for outcome in outcomes for one in _of(outcome, waiting[outcome.athlete])]
        async with borrowed(engine) as connection:
            await past.keep_shadows(connection, tenant, pack, revision.hash, found)
    return True


async def _decided(pool: Pool, job: Job) -> list[Outcome]:
    """Where the process dies under the piece, each athlete alone: the one it dies of is parked."""
    try:
        return await pool.run(decide_again, job)
    except Exception as fault:
        if len(job.athletes) == 1:
            return [Outcome(job.athletes[0].athlete, (), f"{type(fault).__name__}: {fault}")]
    return [one for past in job.athletes for one in await _decided(pool, Job(job.candidate, job.over, job.own, [past]))]


def _of(outcome: Outcome, wanted: list[Waiting]) -> list[tuple[Difference, datetime]]:
    """A row for every decision that was waited for; bodies only where something differs."""
    compared = {(one.course, one.seq): one for one in outcome.compared}
    found = []
    for course, seq, as_of in wanted:
        why = outcome.fault or "the shadow decides nothing here"
        one = compared.get((course, seq)) or Difference("not_comparable", outcome.athlete, course, seq, b"", None, why)
        found.append((one._replace(after=None) if one.direction == "same" else one, as_of))
    return found

"""Runs of a draft over the stored history of a tenant: in processes of their own, with progress, to be cancelled at any time.

The run's row is the truth: whoever sets its state to `cancelled` stops it, in whichever process it runs.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.lifecycle import past
from services.decision.lifecycle.compare import DIRECTIONS, Difference, Job, Outcome, decide_again
from services.decision.lifecycle.office import NotPermitted, Office, Who
from services.decision.lifecycle.past import Run
from services.decision.lifecycle.pool import Pool
from services.decision.packs import Published
from services.decision.rules.check.lived import Lived
from services.decision.store.connection import Connection, borrowed

AT_ONCE: Final = 8
"""Athletes in one piece of work: their histories are in memory at the same time."""
KEPT: Final = 10_000
"""Differences that are kept to be opened; all are counted."""
SILENT_AFTER: Final = timedelta(seconds=120)
"""A running run of which nothing was heard for so long ended with its process."""
UNOBSERVED: Final = (
    "These are decisions, not outcomes: how the athletes would have fared under the other rule was not observed, and sessions that it"
    " would not have recommended stand in the history all the same."
)

_log = structlog.get_logger("milepost.decision")


@dataclass(slots=True)
class _Tally:
    done: int = 0
    kept: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    athletes: Counter[str] = field(default_factory=Counter)
    lived: Lived = field(default_factory=Lived)

    def take(self, outcomes: Sequence[Outcome]) -> list[Difference]:
        """The differences to keep of these athletes."""
        found: list[Difference] = []
        for outcome in outcomes:
            self.done += 1
            if outcome.fault is not None:
                self.athletes["failed"] += 1
            if outcome.lived is not None:
                self.lived.add(outcome.lived)
            self.decisions.update(one.direction for one in outcome.compared)
            self.athletes.update({one.direction for one in outcome.compared} - {"same"})
            found += [one for one in outcome.compared if one.direction != "same"]
        found = found[: KEPT - self.kept]
        self.kept += len(found)
        return found

    def counts(self) -> dict[str, Any]:
        decisions = {direction: self.decisions[direction] for direction in DIRECTIONS}
        return {"decisions": decisions, "athletes": dict(sorted(self.athletes.items())), "kept": self.kept, "lived": self.lived.as_json()}


class Backtests:
    """The runs of this process."""

    def __init__(self, engine: AsyncEngine, packs: Published, pool: Pool, office: Office) -> None:
        self._engine = engine
        self._packs = packs
        self._pool = pool
        self._office = office
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str, over: str | None) -> Run:
        """Raises `NoSuchPack`, and `NotPermitted` when the hash is not that of the draft at hand."""
        candidate = await self._office.at_hand(connection, tenant, pack, hash)
        await self._packs.refresh(connection)
        over = over or pack
        athletes = await past.athletes_on(connection, tenant, over)
        now = datetime.now(UTC)
        counts = _Tally().counts()
        run = Run(str(uuid4()), pack, hash, over, who.id, "running", None, now, now, None, len(athletes), 0, counts)
        await past.begin(connection, tenant, run)
        own = await past.own_packs(connection, self._packs, tenant)
        task = asyncio.create_task(self._run(tenant, run, who, Job(candidate, over, own, ()), athletes))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return run

    async def close(self) -> None:
        """Stops what runs; the rows say so."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, tenant: str, run: Run, who: Who, job: Job, athletes: Sequence[str]) -> None:
        tally, state, because = _Tally(), "done", None
        try:
            if not await self._work(tenant, run, job, athletes, tally):
                return
        except asyncio.CancelledError:
            state, because = "failed", "the process that ran it was stopped"
            raise
        except Exception as fault:
            _log.error("a backtest failed", tenant=tenant, pack=run.pack, exc_info=fault)
            state, because = "failed", "an internal fault ended it; start it again, and look at the log of decision"
        finally:
            # In one transaction: whoever reads that it is done reads the step as well, and a process that ends in between leaves neither.
            async with borrowed(self._engine) as connection, connection.transaction():
                ended = await past.end(connection, tenant, run.id, state, because)
                if ended and state == "done":
                    await self._note(connection, tenant, run, who, tally)

    async def _work(self, tenant: str, run: Run, job: Job, athletes: Sequence[str], tally: _Tally) -> bool:
        """Every piece through the pool, `size` at a time. False when the run was cancelled."""
        pieces = _pieces(athletes)
        stopped = False
        writing = asyncio.Lock()

        async def serve() -> None:
            nonlocal stopped
            for piece in pieces:
                if stopped:
                    return
                async with borrowed(self._engine) as connection:
                    histories, faults = await past.readable(connection, tenant, run.over, piece)
                outcomes = await self._pool.run(decide_again, Job(job.candidate, job.over, job.own, histories)) if histories else []
                outcomes += [Outcome(athlete, (), why) for athlete, why in faults.items()]
                async with writing, borrowed(self._engine) as connection:
                    first = tally.kept
                    found = tally.take(outcomes)
                    going = await past.progress(connection, tenant, run.id, tally.done, tally.counts(), first, found)
                    stopped = stopped or not going

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._pool.size):
                tasks.create_task(serve())
        return not stopped

    async def _note(self, connection: Connection, tenant: str, run: Run, who: Who, tally: _Tally) -> None:
        """A finished run over the draft's own courses is a step of its life, even where there are none yet. One over the courses of another
        protocol is only as long as the draft's id has none of its own, and where somebody was there to look at. Before its tests none is.
        """
        if run.over != run.pack and (run.athletes == 0 or await past.athletes_on(connection, tenant, run.pack)):
            return
        body = {"run": run.id, "athletes": run.athletes, **{name: one for name, one in tally.counts().items() if name != "lived"}}
        try:
            await self._office.note(connection, tenant, run.pack, who, "simulated", run.hash, body)
        except NotPermitted as fault:
            _log.info("a backtest is no step of the pack's life", pack=run.pack, why=str(fault))


def _pieces(athletes: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(athletes), AT_ONCE):
        yield athletes[first : first + AT_ONCE]


def state_of(run: Run, now: datetime) -> tuple[str, str | None]:
    """The state as it is told, and why."""
    if run.state == "running" and now - run.seen_at > SILENT_AFTER:
        return "failed", "the process that ran it ended; start it again"
    return run.state, run.because

"""The tests of drafts, in processes of their own, with progress, to be cancelled at any time; what they say is a step of the pack's life.

As with backtests the run's row is the truth: whoever sets its state to `cancelled` stops it.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.lifecycle import past, store, trial
from services.decision.lifecycle.office import NotPermitted, Office, Who
from services.decision.lifecycle.past import Run
from services.decision.lifecycle.pool import Pool
from services.decision.store.connection import Connection, borrowed

_log = structlog.get_logger("milepost.decision")


@dataclass(slots=True)
class _Draft:
    tenant: str
    pack: str
    hash: str
    who: Who
    raw: bytes
    cases: str | None
    report: dict[str, Any] = field(default_factory=dict)


class Trials:
    """The runs of this process."""

    def __init__(self, engine: AsyncEngine, pool: Pool, office: Office) -> None:
        self._engine = engine
        self._pool = pool
        self._office = office
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str) -> Run:
        """Raises `NoSuchPack`, and `NotPermitted` when the hash is not that of the draft at hand, or it has not passed its checks."""
        source = await self._office.to_be_tested(connection, tenant, pack, who, hash)
        draft = _Draft(tenant, pack, hash, who, source.pack, await store.cases_of(connection, tenant, pack, hash))
        now = datetime.now(UTC)
        run = Run(str(uuid4()), pack, hash, pack, who.id, "running", None, now, now, None, 0, 0, {})
        await past.begin(connection, tenant, run, "test")
        task = asyncio.create_task(self._run(run, draft))
        self._running[run.id] = task
        task.add_done_callback(lambda _: self._running.pop(run.id, None))
        return run

    async def wait(self, id: str, seconds: float) -> None:
        """Until the run ends, and no longer than this."""
        task = self._running.get(id)
        if task is not None:
            await asyncio.wait([task], timeout=seconds)

    async def close(self) -> None:
        """Stops what runs; the rows say so."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, run: Run, draft: _Draft) -> None:
        state, because = "done", None
        try:
            report = await self._work(run, draft)
            if report is None:
                return
            async with borrowed(self._engine) as connection:
                await self._office.note(connection, draft.tenant, draft.pack, draft.who, "tested", draft.hash, report)
        except asyncio.CancelledError:
            state, because = "failed", "the process that ran it was stopped"
            raise
        except NotPermitted as fault:
            state, because = "failed", str(fault)
        except Exception as fault:
            _log.error("the tests of a draft failed", tenant=draft.tenant, pack=draft.pack, exc_info=fault)
            state, because = "failed", "an internal fault ended it; start it again, and look at the log of decision"
        finally:
            async with borrowed(self._engine) as connection:
                await past.end(connection, draft.tenant, run.id, state, because)

    async def _work(self, run: Run, draft: _Draft) -> dict[str, Any] | None:
        """The report; None when the run was cancelled."""
        asked = draft.pack, draft.raw, draft.cases
        report = await self._pool.run(trial.begun, *asked)
        total: int = report["tries"]
        by_all: trial.Told = []
        by_stories: trial.Told = []
        for first in range(0, total, trial.AT_ONCE):
            async with borrowed(self._engine) as connection:
                if not await past.progress(connection, draft.tenant, run.id, first, {"cases": report["cases"]}, 0, (), of=total):
                    return None
            some, told = await self._pool.run(trial.tried, *asked, first)
            by_all += some
            by_stories += told
        return await self._pool.run(trial.scored, *asked, report, by_all, by_stories)

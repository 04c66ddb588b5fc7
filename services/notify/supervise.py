"""Keeps tasks at work: one that ends by a fault is logged and begun anew, after a wait that doubles while it keeps failing."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

import structlog

from services.notify import measures
from shared.stopping import told_to_stop
from shared.telemetry import NotReady

FIRST_WAIT_S: Final = 0.2
MOST_WAIT_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
"""A task that worked this long before its fault begins again with the first wait."""

_log = structlog.get_logger("milepost.notify.supervise")


class Supervised:
    """One task under supervision, and whether it is at work."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._work = work
        self._fault: str | None = None

    async def run(self) -> None:
        """Works until cancelled; no fault of the work leaves here."""
        wait_s = FIRST_WAIT_S
        while True:
            begin = monotonic()
            try:
                work = asyncio.ensure_future(self._work())
                try:
                    # At work until shown otherwise, but a fault is not forgotten before the work has lasted a moment.
                    await asyncio.wait({work}, timeout=wait_s)
                    if not work.done():
                        self._fault = None
                    await work
                finally:
                    if not work.done():
                        work.cancel()
                        await asyncio.gather(work, return_exceptions=True)
                self._fault = "it ended"
            except Exception as fault:
                if told_to_stop():
                    # The fault came in place of the cancellation; going on would leave whoever waits for the end waiting for ever.
                    raise asyncio.CancelledError from fault
                self._fault = type(fault).__name__
                _log.error("a task failed and begins anew", kind=self.name, exc_info=True, retry_in_s=wait_s)
            if told_to_stop():
                raise asyncio.CancelledError
            measures.RESTARTS.labels(self.name).inc()
            if monotonic() - begin >= STEADY_AFTER_S:
                wait_s = FIRST_WAIT_S
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, MOST_WAIT_S)

    async def check(self) -> None:
        """For readiness: raises `NotReady` while the task is between a fault and work."""
        if self._fault is not None:
            raise NotReady(f"{self.name} failed ({self._fault}) and is being begun anew")

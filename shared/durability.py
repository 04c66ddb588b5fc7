"""The durability contract while a service runs: both servers are looked at again and again, and while either breaks it nothing is written.

A breach of the database makes every connection of the service read-only; a breach of the bus refuses every publish. Work that goes on by
itself is ended and begun anew once the contract is kept: a checkpoint must never run ahead of a bus that may forget what it confirmed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog
from prometheus_client import Gauge
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db
from shared.bus import Bus, BusError, BusRefused
from shared.stopping import told_to_stop
from shared.telemetry import REGISTRY, NotReady

EVERY_S: Final = 5.0
"""How often the servers are looked at; a new connection is looked at before it is used, whenever it comes."""
AGAIN_S: Final = 0.5

NODES_DOWN: Final = Gauge(
    "milepost_bus_nodes_down", "Nodes of the NATS cluster that the last look left out because they are down", registry=REGISTRY
)

_log = structlog.get_logger("milepost.durability")


class ContractBroken(Exception):
    """Nothing may be confirmed or written now; one sentence says why."""


class Durability:
    """Both servers of one service, held to the contract inside `async with durability.held()`."""

    def __init__(
        self, engine: AsyncEngine, bus: Bus, every_s: float | None = None, verify: Callable[..., Awaitable[None]] = db.verify
    ) -> None:
        """`verify(engine, again=True)` raises what the database is refused for; it takes a connection of `engine` beside those that
        work."""
        self._engine = engine
        self._verify = verify
        self._bus = bus
        self._every_s = EVERY_S if every_s is None else every_s
        self._database: db.DatabaseRefused | None = None
        self._faults = 0
        """How often the database was found to break the contract."""
        self._kept = asyncio.Event()
        self._kept.set()
        self._broken = asyncio.Event()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Looks again and again inside; the engine's connections follow what was found."""
        event.listen(self._engine.sync_engine, "connect", self._connected)
        event.listen(self._engine.sync_engine, "checkout", self._checked_out)
        watching = [asyncio.create_task(self._watch_database()), asyncio.create_task(self._bus.guard(self._every_s, self._looked))]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            event.remove(self._engine.sync_engine, "connect", self._connected)
            event.remove(self._engine.sync_engine, "checkout", self._checked_out)

    @property
    def is_broken(self) -> bool:
        """Whether either server breaks the contract, as it was found last."""
        return self._broken.is_set()

    def permit(self) -> None:
        """Raises `ContractBroken` while either server breaks the contract."""
        if (fault := self._database or self._bus.breach) is not None:
            raise ContractBroken(str(fault))

    async def while_kept(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does `work`; ends it where the contract breaks, and begins it anew once it is kept again."""
        while not told_to_stop():
            await self._kept.wait()
            working = asyncio.ensure_future(work())
            broken = asyncio.create_task(self._broken.wait())
            try:
                await asyncio.wait({working, broken}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    await working
                    return
            finally:
                broken.cancel()
                working.cancel()
                await asyncio.gather(working, broken, return_exceptions=True)

    async def database(self) -> None:
        """For readiness: raises `NotReady` when the database does not answer or breaks the contract."""
        try:
            await self._look()
        except db.DatabaseUnreachable as fault:
            raise NotReady("the database does not answer") from fault
        if self._database is not None:
            raise NotReady(str(self._database))

    async def bus(self) -> None:
        """For readiness: raises `NotReady` when the bus does not answer or breaks the contract."""
        try:
            await self._bus.check()
        except BusRefused as fault:
            raise NotReady(str(fault)) from fault
        except BusError as fault:
            raise NotReady(f"the bus cannot be used: {fault}") from fault

    async def _watch_database(self) -> None:
        while not told_to_stop():
            # Unreachable says nothing of the contract; writing fails by itself where the database does not answer.
            with suppress(db.DatabaseUnreachable):
                await self._look()
            await asyncio.sleep(self._every_s if self._database is None else min(self._every_s, AGAIN_S))

    async def _look(self) -> None:
        faults = self._faults
        try:
            await self._verify(self._engine, again=True)
        except db.DatabaseUnreachable:
            raise
        except db.DatabaseRefused as fault:
            self._found(fault)
        except Exception as fault:
            # Nobody would look any more, and what was seen last would be believed for ever.
            if self._database is None:
                _log.error("the database could not be looked at", exc_info=fault)
            self._found(db.DatabaseRefused(f"the database could not be looked at ({type(fault).__name__}); the log says more"))
        else:
            # What was asked before another look found the breach says nothing against it.
            if faults == self._faults:
                self._found(None)

    def _found(self, fault: db.DatabaseRefused | None) -> None:
        self._faults += fault is not None
        if fault is not None and self._database is None:
            _log.error("nothing is written any more: the database breaks its durability contract", reason=str(fault))
        elif fault is None and self._database is not None:
            _log.info("the database keeps its durability contract again")
        self._database = fault
        self._looked()

    def _looked(self) -> None:
        NODES_DOWN.set(len(self._bus.down))
        if self._database is None and self._bus.breach is None:
            self._broken.clear()
            self._kept.set()
        else:
            self._kept.clear()
            self._broken.set()

    def _connected(self, connection: Any, _: Any) -> None:
        """A new connection may lead to a server that came back with other settings: it is asked before anything goes over it."""
        try:
            fault = connection.run_async(db.broken_setting)
        except BaseException:
            # The pool does not know it yet and would leave it open.
            connection.driver_connection.terminate()
            raise
        if fault is not None:
            self._found(fault)

    def _checked_out(self, connection: Any, record: Any, _: Any) -> None:
        wanted = self._database is not None
        if record.info.get("read_only", False) is not wanted:
            connection.run_async(lambda driver: driver.execute(f"SET default_transaction_read_only = {'on' if wanted else 'off'}"))
            record.info["read_only"] = wanted

"""A service's servers at its start: one that does not answer yet is waited for, one that breaks the contract is refused at once.

A server that was just started again answers in a moment, and on a machine without a supervisor nobody would start the service again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Final, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import db
from shared.bus import Bus, BusUnavailable
from shared.settings import Settings
from shared.stopping import told_to_stop

AGAIN_S: Final = 0.2

_T = TypeVar("_T")
_log = structlog.get_logger("milepost.starting")


class Patience:
    """How long the servers of one start may take to answer, all together: `wait_s` seconds from now, with at least one look at each."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._until = monotonic() + wait_s
        self._said: set[str] = set()

    async def answered(self, server: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What `ask` returns; asks again while it raises that `server` does not answer now, which is said once in the log.

        Raises what it is refused for at once, and what kept it from answering once the time is over.
        """
        while True:
            try:
                answer = await ask()
            except (BusUnavailable, db.DatabaseUnreachable) as fault:
                if isinstance(fault, db.DatabaseUnreachable) and not fault.may_pass:
                    raise
                if monotonic() >= self._until:
                    # 0 seconds: nobody waited, and the fault says it all.
                    why = f"{server} did not answer within {self._wait_s:g} s: {fault}" if server in self._said else str(fault)
                    raise type(fault)(why) from fault
                if server not in self._said:
                    _log.warning(f"waiting for {server} to answer", reason=str(fault), limit=self._wait_s)
                    self._said.add(server)
            else:
                if not told_to_stop():
                    return answer
            if told_to_stop():
                # The interruption itself got lost in a client library.
                raise asyncio.CancelledError
            await asyncio.sleep(AGAIN_S)


async def connected(
    stack: AsyncExitStack,
    settings: Settings,
    engine: AsyncEngine,
    name: str,
    verify: Callable[[AsyncEngine], Awaitable[None]] = db.verify,
    wait_s: float | None = None,
) -> Bus:
    """The bus, connected to as `name` until `stack` ends. It and `engine`'s database keep the durability contract.

    Waits `wait_s` seconds (None: `settings.start_wait_s`) for servers that do not answer yet. Raises `DatabaseRefused`, `BusRefused` or
    `BusUnavailable`, each one sentence.
    """
    patience = Patience(settings.start_wait_s if wait_s is None else wait_s)
    await patience.answered("the database", lambda: verify(engine))
    bus = await patience.answered("the bus", lambda: Bus.connect(settings, name))
    stack.push_async_callback(bus.close)
    await patience.answered("the bus", bus.verify)
    return bus

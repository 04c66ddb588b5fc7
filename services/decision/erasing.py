"""Carries out erasures: the bus cleared of the athlete with overwriting, then everything in the database in one transaction.

Each step may be cut off anywhere and is then done again from the start; what is gone already is passed over.
"""

import asyncio
import base64
from time import monotonic
from typing import Any, Final

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.store import erase, erasures
from services.decision.store.connection import Connection, borrowed
from services.decision.store.erasures import Erasure
from services.decision.store.remains import ERASED, Remains
from shared.bus import DECISIONS, EVENTS, Bus
from shared.bus.streams import decision_subject, event_subject
from shared.crash import point
from shared.placing import pseudonym
from shared.proof import Keyring

LOOK_EVERY_S: Final = 1.0
DRAIN_S: Final = 30.0
"""How long waiting messages may take to leave for the bus, and notify to end with those it has read."""
LOOK_AGAIN_S: Final = 0.05
_NO_MESSAGE: Final = 10037
_NO_CONSUMER: Final = 10014

_log = structlog.get_logger("milepost.eraser")


class Later(Exception):
    """The erasure cannot be carried out yet; the text says what it waits for."""


class Eraser:
    """`engine` and `bus` are the eraser's own: nobody else's credentials may delete."""

    def __init__(self, engine: AsyncEngine, bus: Bus, ring: Keyring, pseudonym_key: bytes) -> None:
        self._engine = engine
        self.bus = bus
        self._remains = Remains(ring.remains)
        self._key = pseudonym_key

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.carry_out()
            except Exception as fault:
                _log.warning("erasures could not be looked up; trying again", exc_info=fault)
            await asyncio.sleep(LOOK_EVERY_S)

    async def carry_out(self) -> int:
        """Every erasure that waits, in the order asked for; how many were carried out. One that cannot be holds up no other.

        Raises what the database raises when it cannot be asked for them.
        """
        async with borrowed(self._engine) as connection:
            found = await erasures.waiting(connection)
        done = 0
        for one in found:
            told = {"tenant": one.tenant, "pseudonym": one.pseudonym}
            try:
                async with borrowed(self._engine) as connection:
                    await self._erase(connection, one, await self._names(connection, one))
            except Later as why:
                _log.info("an erasure waits", reason=str(why), **told)
            except Exception as fault:
                _log.warning("an erasure could not be carried out; trying again", exc_info=fault, **told)
            else:
                done += 1
                _log.info("an athlete was erased", **told)
        return done

    async def sweep(self) -> int:
        """Looks in every table for anybody who was erased, as after restoring a backup, and erases them again; how many were found.

        For while no service runs.
        """
        async with borrowed(self._engine) as connection:
            known = {(one.tenant, one.pseudonym): one for one in await erasures.every(connection)}
            there: dict[tuple[str, str], list[str]] = {}
            for tenant, athlete in await erasures.named_anywhere(connection):
                key = (tenant, pseudonym(self._key, tenant, athlete))
                if key in known:
                    there.setdefault(key, []).append(athlete)
            for key, one in known.items():
                await self._erase(connection, one, there.get(key, []), at_rest=True)
        return len(there)

    async def _names(self, connection: Connection, one: Erasure) -> list[str]:
        named = await erasures.named_in_keys(connection, one.tenant)
        # Under a pseudonym as its name stands the record of an erasure: that is not erased.
        kept = set(await erasures.pseudonyms(connection))
        return [a for a in named if a not in kept and pseudonym(self._key, one.tenant, a) == one.pseudonym]

    async def _erase(self, connection: Connection, one: Erasure, names: list[str], at_rest: bool = False) -> None:
        """`at_rest`: no service runs, so nothing is under way."""
        for athlete in () if at_rest else names:
            await self._drained(connection, one.tenant, athlete)
        point(45)
        cleared = await self.bus.last_seq(EVENTS)
        await self._clear(EVENTS, event_subject(one.partition, one.pseudonym))
        await self._clear(DECISIONS, decision_subject(one.partition, one.pseudonym))
        point(46)
        if names and not at_rest:
            await self._read_out()
        for athlete in names:
            await erase.erase(connection, self._remains, one.tenant, athlete, one.pseudonym)
        await erase.done(connection, one.tenant, one.pseudonym, cleared)
        point(49)

    async def _drained(self, connection: Connection, tenant: str, athlete: str) -> None:
        """What was decided before leaves for the bus first: a message under way could else follow after everything was cleared."""
        deadline = monotonic() + DRAIN_S
        while await connection.fetchval("SELECT EXISTS (SELECT 1 FROM outbox WHERE tenant = $1 AND athlete = $2)", tenant, athlete):
            if monotonic() > deadline:
                raise Later("messages of the athlete wait for the bus; is the worker running?")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _read_out(self) -> None:
        """Notify ends with what it has read; what it has not read is gone. One that is not running has nothing under way."""
        deadline = monotonic() + DRAIN_S
        while monotonic() < deadline:
            info = await self.bus.api(f"CONSUMER.INFO.{DECISIONS}.notify", missing=_NO_CONSUMER)
            if info is None or not info["num_ack_pending"]:
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _clear(self, stream: str, subject: str) -> None:
        """Deletes every message of the subject, its bytes overwritten, but the one that asks for the erasure: it names nobody."""
        seq = 1
        while True:
            body = {"next_by_subj": subject, "seq": seq}
            found: Any = await self.bus.api(f"STREAM.MSG.GET.{stream}", body, missing=_NO_MESSAGE)
            if found is None:
                return
            seq = int(found["message"]["seq"])
            if stream != EVENTS or not _asks(found["message"]["data"]):
                await self.bus.api(f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": False})
            seq += 1


def _asks(data: str) -> bool:
    try:
        return bool(orjson.loads(base64.b64decode(data)).get("type") == ERASED)
    except (ValueError, AttributeError):
        return False

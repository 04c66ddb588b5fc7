"""Carries out erasures: the bus cleared of the athlete with overwriting, then everything in the database in one transaction.

Each step may be cut off anywhere and is then done again from the start; what is gone already is passed over.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import asyncpg
import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision import measures
from services.decision.store import erase, erasures
from services.decision.store.connection import Connection, borrowed
from services.decision.store.erasures import Erasure
from services.decision.store.remains import ERASED, Remains
from shared.bus import DECISIONS, EVENTS, Bus, BusUnavailable
from shared.bus.streams import decision_subject, event_subject
from shared.crash import point
from shared.placing import PARTITIONS, pseudonym
from shared.proof import Keyring
from shared.stopping import told_to_stop

LOOK_EVERY_S: Final = 1.0
PATIENCE_S: Final = 2.0
"""How long one look waits for somebody else before it goes on to the next erasure; it waits again with every look, without limit."""
LOOK_AGAIN_S: Final = 0.05
SAY_AGAIN_S: Final = 60.0
_NO_MESSAGE: Final = 10037
_NO_CONSUMER: Final = 10014

_log = structlog.get_logger("milepost.eraser")


class Later(Exception):
    """The erasure cannot be carried out yet; the text says what it waits for, `on` in one word: outbox, bus, notify or locks."""

    def __init__(self, on: str, text: str) -> None:
        super().__init__(text)
        self.on = on


class Eraser:
    """`engine` and `bus` are the eraser's own: nobody else's credentials may delete."""

    def __init__(self, engine: AsyncEngine, bus: Bus, ring: Keyring, pseudonym_key: bytes) -> None:
        self._engine = engine
        self.bus = bus
        self._remains = Remains(ring.remains)
        self._key = pseudonym_key
        self._seen = dict.fromkeys(range(PARTITIONS), 0)
        """Up to where in each partition's history nothing came late that is still on the bus."""
        self._begun: set[tuple[str, str]] = set()
        """Whose messages are being deleted, or were, and nobody saw since that every node of the bus was there."""
        self._said: dict[tuple[str, str], tuple[str, float]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while not told_to_stop():
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
            lengths = await erasures.lengths(connection)
            found = [*await erasures.waiting(connection), *await erasures.late(connection, self._seen)]
        waits = Counter[str]()
        for n, one in enumerate(found):
            told = {"tenant": one.tenant, "pseudonym": one.pseudonym}
            try:
                async with borrowed(self._engine) as connection:
                    await self._erase(connection, one, await self._names(connection, one))
            except Later as why:
                waits[why.on] += 1
                self._say(one, str(why))
                if why.on == "bus" and (one.tenant, one.pseudonym) not in self._begun:
                    # What the bus lacks before anything is deleted, it lacks for all, and each would ask a mute server for seconds.
                    waits["bus"] += len(found) - n - 1
                    break
            except Exception as fault:
                waits["fault"] += 1
                _log.warning("an erasure could not be carried out; trying again", exc_info=fault, **told)
            else:
                self._said.pop((one.tenant, one.pseudonym), None)
                _log.info("an athlete was erased", **told)
        if not waits:
            self._seen = lengths
        for on in measures.ERASURES_WAIT_ON:
            measures.ERASURES_WAITING.labels(on).set(waits[on])
        return len(found) - waits.total()

    def _say(self, one: Erasure, why: str) -> None:
        """What an erasure waits for: when that changes, and once a minute."""
        who, now = (one.tenant, one.pseudonym), monotonic()
        said, at = self._said.get(who, ("", now))
        if said != why or now - at >= SAY_AGAIN_S:
            self._said[who] = (why, now)
            _log.warning("an erasure waits", reason=why, tenant=one.tenant, pseudonym=one.pseudonym)

    async def sweep(self) -> int:
        """Looks in every table for anybody who was erased, as after restoring a backup, and erases them again; how many were found.

        For while no service runs.
        """
        async with borrowed(self._engine) as connection:
            known = {(one.tenant, one.pseudonym): one for one in await erasures.every(connection)}
            there: dict[tuple[str, str], list[str]] = {}
            # Under a pseudonym as its name stands the record of an erasure: that is not erased.
            kept = {one.pseudonym for one in known.values()}
            for tenant, athlete in await erasures.named_anywhere(connection):
                key = (tenant, pseudonym(self._key, tenant, athlete))
                if key in known and athlete not in kept:
                    there.setdefault(key, []).append(athlete)
            for key, one in known.items():
                await self._erase(connection, one, there.get(key, []), at_rest=True)
        return len(there)

    async def _names(self, connection: Connection, one: Erasure) -> list[str]:
        # Under a pseudonym as its name stands the record of an erasure: that is not erased.
        kept = set(await erasures.pseudonyms(connection))
        for named in (erasures.named_in_keys, erasures.named_in_history):
            there = await named(connection, one.tenant)
            if found := [a for a in there if a not in kept and pseudonym(self._key, one.tenant, a) == one.pseudonym]:
                return found
        return []

    async def _erase(self, connection: Connection, one: Erasure, names: list[str], at_rest: bool = False) -> None:
        """`at_rest`: no service runs, so nothing is under way."""
        for athlete in () if at_rest else names:
            await self._drained(connection, one.tenant, athlete)
        name = one.tenant, one.pseudonym
        with self._asking_the_bus(name):
            await self._everywhere()
            point(45)
            cleared = await self.bus.last_seq(EVENTS)
            self._begun.add(name)
            await self._clear(EVENTS, event_subject(one.partition, one.pseudonym))
            await self._clear(DECISIONS, decision_subject(one.partition, one.pseudonym))
            await self._everywhere()
            self._begun.discard(name)
        point(46)
        if names and not at_rest:
            await self._told(connection)
        for athlete in names:
            try:
                await erase.erase(connection, self._remains, one.tenant, athlete, one.pseudonym)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as fault:
                raise Later(
                    "locks", "another transaction holds tables that the erasure changes; does notify or the notary stand still?"
                ) from fault
        await erase.done(connection, one.tenant, one.pseudonym, one.partition, cleared)
        point(49)

    async def _drained(self, connection: Connection, tenant: str, athlete: str) -> None:
        """What was decided before leaves for the bus first: a message under way could else follow after everything was cleared."""
        deadline = monotonic() + PATIENCE_S
        while await connection.fetchval("SELECT EXISTS (SELECT 1 FROM outbox WHERE tenant = $1 AND athlete = $2)", tenant, athlete):
            if monotonic() > deadline:
                raise Later("outbox", "messages of the athlete wait for the bus; is the worker running?")
            await asyncio.sleep(LOOK_AGAIN_S)

    @contextmanager
    def _asking_the_bus(self, name: tuple[str, str]) -> Iterator[None]:
        """What the bus cannot do now the erasure waits for; from the first deletion on a node that is away may have missed some."""
        try:
            yield
        except BusUnavailable as fault:
            told = "every node is needed to erase"
            if name in self._begun:
                told = "a node of the cluster that was down meanwhile may have missed what was deleted"
            raise Later("bus", f"{fault}; {told} (deploy/README.md)") from fault

    async def _everywhere(self) -> None:
        """Waits until every server of the bus was looked at and has in its log on disk all that the streams' leaders had.

        Deleting reaches a replica by that log. One that was away until the others had shortened theirs is told which messages are gone, and
        overwrites none: so nothing is deleted while one is away. Raises `BusUnavailable` where one is.
        """
        await self.bus.verify()
        deadline = monotonic() + PATIENCE_S
        behind = await self._behind()
        while behind or self.bus.down:
            if self.bus.down or monotonic() > deadline:
                nodes = sorted(self.bus.down | {node for _, node in behind})
                raise BusUnavailable(f"{', '.join(nodes)} of the NATS cluster is down or behind")
            await asyncio.sleep(LOOK_AGAIN_S)
            # Whoever had all for a moment has what was asked for: under load there may never be a moment in which all have.
            behind &= await self._behind()

    async def _behind(self) -> set[tuple[str, str]]:
        """The streams and nodes where a replica has not confirmed all that the stream's leader has; of a server alone none."""
        found = set()
        for stream in (EVENTS, DECISIONS):
            group = (await self.bus.api(f"STREAM.INFO.{stream}")).get("cluster") or {}
            found |= {(stream, str(node["name"])) for node in group.get("replicas") or () if node.get("lag") or not node["current"]}
        return found

    async def _told(self, connection: Connection) -> None:
        """Waits until notify ended with all that the bus had handed out to it when it was cleared: until then it holds them in the open.

        What it has not read is gone. Where nobody tells, nobody has anything under way that could still be written: whoever lost the lead
        meanwhile is refused by the database, since the athlete's key is destroyed in the transaction that removes their notices.
        """
        deadline, handed = monotonic() + PATIENCE_S, None
        while True:
            info = await self.bus.api(f"CONSUMER.INFO.{DECISIONS}.notify", missing=_NO_CONSUMER)
            if info is None:
                return
            # How much is unconfirmed says nothing: deleting a message confirms all that was handed out before it.
            now = int(info["delivered"]["stream_seq"])
            handed = now if handed is None else min(handed, now)
            if await erasures.told_up_to(connection) >= handed or not await erasures.somebody_tells(connection):
                return
            if monotonic() > deadline:
                raise Later("notify", "notify has not ended with what it read; if it stands still, end it, and what it holds ends with it")
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

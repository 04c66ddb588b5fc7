"""The packs at hand: those shipped, which every tenant has, and those that each tenant published; compiled once, by content hash.

A pack that some course may stand on stays here whatever is published after it: `resolve` by hash finds it for ever.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby
from typing import Protocol as Port

import structlog

from services.decision import measures
from services.decision.core.athlete import Library
from services.decision.core.protocol import Protocol
from services.decision.core.question import Engine
from services.decision.core.verdict import Judge
from services.decision.lifecycle import store
from services.decision.lifecycle.states import Pack as PackLife, fold
from services.decision.lifecycle.store import SHARED, Recorded, Source
from services.decision.rules.library import HASH, PackLibrary
from services.decision.rules.recorded import at_hand
from services.decision.store.connection import Connection

_log = structlog.get_logger("milepost.decision")


class PacksRefused(Exception):
    """A course stands on a pack of which nothing is recorded; going on without it would decide otherwise than before."""


class TenantPacks(Port):
    """The packs of each tenant."""

    def of(self, tenant: str) -> Library: ...


class Published:
    """Everything published and shipped. `refresh` takes in what was published since, between two batches and never during one."""

    def __init__(self, shipped: PackLibrary, engine: Engine) -> None:
        self.shipped = shipped
        self.by_hash: dict[str, Protocol] = dict(shipped.by_hash)
        self.lives: dict[tuple[str, str], PackLife] = {}
        """(tenant, pack) to its life."""
        self.unread: dict[str, tuple[str, str, str]] = {}
        """By content hash what this release cannot run, and holds instead: scope, pack, why."""
        self._engine = engine
        self._judges: dict[str, Judge] = {}
        self._seen = -1

    def of(self, tenant: str) -> "PacksOf":
        return PacksOf(self, tenant)

    def judge(self, protocol: Protocol) -> Judge:
        if protocol.hash not in self._judges:
            self._judges[protocol.hash] = Judge(protocol, self._engine)
        return self._judges[protocol.hash]

    async def record_shipped(self, connection: Connection) -> None:
        """Writes the shipped packs down, so that a course that stands on one can go on after a release that ships another."""
        for pack in self.shipped.packs:
            await store.record_shipped(
                connection, pack.protocol.id, pack.protocol.hash, Source(pack.source.raw, tuple(floor.raw for floor in pack.floors))
            )

    async def refresh(self, connection: Connection) -> bool:
        """Whether anything was published, rolled back or retired since. A snapshot from before what is known already takes nothing back."""
        length = await store.length(connection)
        if length <= self._seen:
            return False
        recorded = await store.events(connection)
        await self._load(connection, _wanted(recorded))
        if length <= self._seen:
            return False
        self.lives = {
            key: fold(one.event for one in group)
            for key, group in groupby((one for one in recorded if one.scope != SHARED), key=lambda one: (one.scope, one.pack))
        }
        self._seen = length
        return True

    async def _load(self, connection: Connection, wanted: Iterable[tuple[str, str, str]]) -> None:
        missing = [key for key in wanted if key[2] not in self.by_hash]
        found = await store.sources(connection, missing)
        for scope, name, hash in missing:
            source = found.get(hash, Source(b"", ()))
            self.by_hash[hash], fault = at_hand(name, source.pack, source.floors, hash)
            if fault:
                self.unread[hash] = (scope, name, fault)
                measures.UNREAD_PACKS.set(len(self.unread))
                self._say(hash)

    def _say(self, hash: str) -> None:
        scope, name, fault = self.unread[hash]
        _log.error(
            "this release cannot run a recorded pack: every course on it holds, running withheld; run the release that published it,"
            " or a later one, or move its courses",
            tenant=scope,
            protocol=f"{name} ({hash})",
            reason=fault,
        )

    def expired(self, on: datetime | None = None) -> int:
        """How many of the live packs are past their last date; sets the metric. Says again what is held because it cannot be run."""
        today = (on or datetime.now(UTC)).date()
        live = {protocol.hash: protocol for protocol in self.shipped.protocols.values()}
        live |= {hash: self.by_hash[hash] for life in self.lives.values() if (hash := life.live) is not None and hash in self.by_hash}
        found = [protocol for protocol in live.values() if protocol.expires is not None and protocol.expires < today]
        measures.EXPIRED_PACKS.set(len(found))
        for hash in self.unread:
            self._say(hash)
        for protocol in found:
            _log.error("a live pack has expired: every course on it holds", protocol=f"{protocol.id}@{protocol.version}")
        return len(found)


def _wanted(recorded: Iterable[Recorded]) -> list[tuple[str, str, str]]:
    """Everything that was ever shipped or published."""
    kinds = ("shipped", "published")
    return list(dict.fromkeys((one.scope, one.pack, one.event.hash) for one in recorded if one.event.kind in kinds))


class PacksOf:
    """What one tenant's courses may follow: its own packs, and the shipped ones that it has none of the same id of."""

    def __init__(self, published: Published, tenant: str) -> None:
        self._published = published
        self._tenant = tenant

    def resolve(self, reference: str) -> Protocol | None:
        """By `id` (what is live), `id@version` (unless it was retired), or content hash (whatever became of it)."""
        by_hash, shipped = self._published.by_hash, self._published.shipped
        if reference.startswith(HASH):
            return by_hash.get(reference)
        name, _, version = reference.partition("@")
        life = self._published.lives.get((self._tenant, name))
        if life is None:
            return shipped.resolve(reference)
        if not version:
            return shipped.resolve(name) if life.live is None else by_hash.get(life.live)
        own = next((one for one in life.releases if one.version == version), None)
        if own is not None:
            return None if own.state == "retired" else by_hash.get(own.hash)
        return shipped.resolve(reference)

    def names(self) -> list[str]:
        """Ids of what is live."""
        own = [pack for (tenant, pack), life in self._published.lives.items() if tenant == self._tenant and life.live is not None]
        return sorted({*self._published.shipped.names(), *own})

    def judge(self, protocol: Protocol) -> Judge:
        return self._published.judge(protocol)

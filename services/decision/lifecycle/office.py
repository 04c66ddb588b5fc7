"""Carries out what people ask of a pack: each request becomes one event, or is refused in words and leaves nothing behind."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from services.decision.lifecycle import past, review, store
from services.decision.lifecycle.compare import Job
from services.decision.lifecycle.pool import Pool
from services.decision.lifecycle.states import AGREED, Kind, Pack, PackEvent, Revision, advance, fold, refusal
from services.decision.lifecycle.store import SHARED, Source, Taken
from services.decision.packs import Published
from services.decision.store.connection import Connection

TRIES: Final = 3
LOOKED_AT: Final = 100
"""Athletes whose stored decisions a check looks at; a backtest looks at all."""


class NotPermitted(Exception):
    """The pack's life does not allow it now; the text says why and what to do."""


class NoSuchPack(Exception):
    """The tenant never drafted a pack of this id."""


@dataclass(frozen=True, slots=True)
class Who:
    """A key, by its id and role."""

    id: str
    role: str


class Office:
    """One for the whole process. `valid_days` is how long an approval holds."""

    def __init__(self, packs: Published, pool: Pool, valid_days: int) -> None:
        self._packs = packs
        self._pool = pool
        self._valid_days = valid_days

    async def life(self, connection: Connection, tenant: str, pack: str) -> Pack:
        """Raises `NoSuchPack`."""
        found = fold(await store.events_of(connection, tenant, pack))
        if not found.seq:
            raise NoSuchPack(pack)
        return found

    async def draft(self, connection: Connection, tenant: str, who: Who, raw: bytes, cases: str | None = None) -> tuple[str, Pack]:
        """The pack's id and its life with the new draft at hand; `cases` are those recorded beside it.

        Raises `FaultyPack`, and `NotPermitted`.
        """
        found = await self._pool.run(review.read, "draft", raw)
        pack, hash, version = found["id"], found["hash"], found["version"]
        shipped = self._packs.shipped.resolve(f"{pack}@{version}")
        if shipped is not None:
            told = (
                "this is what is shipped" if shipped.hash == hash else f"version {version} is shipped with other content: raise the version"
            )
            raise NotPermitted(told)
        digest = hashlib.sha256(raw if cases is None else b"\0".join((raw, cases.encode()))).hexdigest()
        body = {"digest": digest, "version": version, "base": await self.base(connection, tenant, pack)}
        body |= {} if cases is None else {"cases": cases}
        return pack, await self._write(connection, tenant, pack, who, "drafted", hash, body, Source(raw, tuple(found["floors"])), new=True)

    async def base(self, connection: Connection, tenant: str, pack: str) -> str | None:
        """The content hash that new courses of the tenant get under this id now."""
        await self._packs.refresh(connection)
        live = self._packs.of(tenant).resolve(pack)
        return None if live is None else live.hash

    async def check(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str) -> Pack:
        source = await self._at_hand(connection, tenant, pack, hash)
        athletes = await past.athletes_on(connection, tenant, pack)
        lived, _ = await past.readable(connection, tenant, pack, athletes[:LOOKED_AT])
        job = Job(source, pack, await past.own_packs(connection, self._packs, tenant), lived)
        report = await self._pool.run(review.check, pack, source.pack, job, len(athletes))
        if report["content"] not in (None, hash):
            raise NotPermitted(f"the floor changed since this was drafted (its content is {report['content']} now): draft it again")
        return await self._write(connection, tenant, pack, who, "checked", hash, report)

    async def to_be_tested(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str) -> Source:
        """The text of the draft at hand, once its tests may follow. Raises `NoSuchPack` and `NotPermitted`."""
        source = await self._at_hand(connection, tenant, pack, hash)
        await self._permitted(connection, tenant, pack, who, "tested", hash, {"ok": True})
        return source

    async def submit(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str) -> Pack:
        """Into review, with every region where it differs from what is live."""
        source = await self._at_hand(connection, tenant, pack, hash)
        await self._permitted(connection, tenant, pack, who, "submitted", hash, {"base": None, "regions": []})
        base = await self.base(connection, tenant, pack)
        found = await self._pool.run(review.regions, await self._source(connection, tenant, pack, base), source)
        body = {"base": base, "regions": [region._asdict() for region in found]}
        return await self._write(connection, tenant, pack, who, "submitted", hash, body)

    async def approve(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str, acknowledged: list[str]) -> Pack:
        body = {"base": await self.base(connection, tenant, pack), "acknowledged": sorted(set(acknowledged))}
        return await self._write(connection, tenant, pack, who, "approved", hash, body)

    async def publish(
        self, connection: Connection, tenant: str, pack: str, who: Who, hash: str, due: datetime | None, planned: bool = False
    ) -> Pack:
        """Now, or planned for `due`. Everything is looked at again at the moment of publication; what is in the way is kept by name, and
        what was live stays. Raises `NotPermitted`.
        """
        if due is not None:
            return await self._write(connection, tenant, pack, who, "scheduled", hash, {"due": due.astimezone(UTC).isoformat()})
        source = await self._at_hand(connection, tenant, pack, hash)
        checked = await self._pool.run(review.check, pack, source.pack)
        # Mutants are not tried again: of the same content the same tests notice the same.
        tested = await self._pool.run(review.test, pack, source.pack, await store.cases_of(connection, tenant, pack, hash))
        body = {
            "base": await self.base(connection, tenant, pack),
            "content": checked["content"] or hash,
            "checked": checked["ok"],
            "tested": tested["ok"],
            "valid_days": self._valid_days,
            "planned": planned,
        }
        life = await self.life(connection, tenant, pack)
        why_not = refusal(life, PackEvent("published", who.id, who.role, hash, datetime.now(UTC), body))
        if why_not is not None and life.revision is not None and life.revision.state in AGREED:
            void = body["base"] != life.revision.base or body["content"] != hash
            await self._write(connection, tenant, pack, who, "unpublished", hash, {"reason": why_not, "void": void})
            raise NotPermitted(f"not published: {why_not}")
        return await self._write(connection, tenant, pack, who, "published", hash, body)

    async def roll_back(self, connection: Connection, tenant: str, pack: str, who: Who, to: str | None, reason: str) -> Pack:
        """To `to`, or to what was live before. One step, by one person."""
        life = await self.life(connection, tenant, pack)
        target = to or life.previous
        if target is None:
            raise NotPermitted("nothing was live before: name an older content that is more conservative, or retire this one")
        if target in self._packs.unread:
            raise NotPermitted(f"this release cannot run that content ({self._packs.unread[target][2]}): its courses would hold")
        conservative = target == life.previous
        if not conservative and life.live is not None:
            now, then = [await self._source(connection, tenant, pack, one) for one in (life.live, target)]
            conservative = now is not None and then is not None and await self._pool.run(review.more_conservative, now, then)
        body = {"more_conservative": conservative, "reason": reason, "from": life.live}
        return await self._write(connection, tenant, pack, who, "rolled_back", target, body)

    async def note(
        self, connection: Connection, tenant: str, pack: str, who: Who, kind: Kind, hash: str, body: Mapping[str, Any] | None = None
    ) -> Pack:
        """What needs nothing but to be written down: declined, retired, shadow_ended, unscheduled, rollback_reviewed, simulated."""
        return await self._write(connection, tenant, pack, who, kind, hash, body or {})

    async def shadow(self, connection: Connection, tenant: str, pack: str, who: Who, hash: str) -> Pack:
        """From the next decision on, beside what is live."""
        return await self._write(connection, tenant, pack, who, "shadowed", hash, {"behind": await store.heads(connection)})

    def due(self, now: datetime) -> list[tuple[str, str, Revision]]:
        """Publications whose moment has come: tenant, pack, revision. Of what `Published` knew when it was last refreshed."""
        planned = ((tenant, pack, life.revision) for (tenant, pack), life in self._packs.lives.items())
        return [(tenant, pack, one) for tenant, pack, one in planned if one is not None and one.due is not None and one.due <= now]

    async def at_hand(self, connection: Connection, tenant: str, pack: str, hash: str) -> Source:
        """The text of the draft at hand. Raises `NotPermitted` when that is another."""
        return await self._at_hand(connection, tenant, pack, hash)

    async def _at_hand(self, connection: Connection, tenant: str, pack: str, hash: str) -> Source:
        life = await self.life(connection, tenant, pack)
        if life.revision is None or life.revision.hash != hash:
            at_hand = "nothing" if life.revision is None else life.revision.hash
            raise NotPermitted(f"the draft at hand is {at_hand}: read it, and name that")
        found = await store.source_of(connection, tenant, pack, hash)
        assert found is not None, "every draft keeps its text"
        return found

    async def _source(self, connection: Connection, tenant: str, pack: str, hash: str | None) -> Source | None:
        """The text of what is or was live, of the tenant's own or shipped."""
        if hash is None:
            return None
        for shipped in self._packs.shipped.packs:
            if shipped.protocol.hash == hash:
                return Source(shipped.source.raw, tuple(floor.raw for floor in shipped.floors))
        own = await store.source_of(connection, tenant, pack, hash)
        return own or await store.source_of(connection, SHARED, pack, hash)

    async def _permitted(
        self, connection: Connection, tenant: str, pack: str, who: Who, kind: Kind, hash: str, body: Mapping[str, Any]
    ) -> None:
        """Before the work is done, whether its result could follow at all."""
        why_not = refusal(await self.life(connection, tenant, pack), PackEvent(kind, who.id, who.role, hash, datetime.now(UTC), body))
        if why_not is not None:
            raise NotPermitted(why_not)

    async def _write(
        self,
        connection: Connection,
        tenant: str,
        pack: str,
        who: Who,
        kind: Kind,
        hash: str,
        body: Mapping[str, Any],
        source: Source | None = None,
        new: bool = False,
    ) -> Pack:
        for _ in range(TRIES):
            life = fold(await store.events_of(connection, tenant, pack))
            if not life.seq and not new:
                raise NoSuchPack(pack)
            event = PackEvent(kind, who.id, who.role, hash, datetime.now(UTC), body)
            why_not = refusal(life, event)
            if why_not is not None:
                raise NotPermitted(why_not)
            try:
                await store.append(connection, tenant, pack, life.seq + 1, event, source)
            except Taken:
                continue
            return advance(life, event)
        raise NotPermitted("somebody else works on this pack at the same moment: read it again")

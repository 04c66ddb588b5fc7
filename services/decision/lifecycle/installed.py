"""Packs of an installation by name: what its tenants published, and what any release of it shipped."""

from services.decision.lifecycle import store
from services.decision.lifecycle.pack import Pack as Life
from services.decision.lifecycle.states import fold
from services.decision.lifecycle.store import SHARED, Recorded
from services.decision.rules.library import HASH, Pack, load_recorded
from services.decision.store.connection import Connection, Database


class SeveralTenants(Exception):
    """More than one tenant published a pack by this name; the text says which, and what to do."""


async def published(database: Database, name: str, tenant: str | None) -> Pack | None:
    """What `id` (what is live), `id@version` or a content hash names, of the tenant or of any; None where nobody published it.

    Raises `SeveralTenants`, and what the driver raises while the database does not answer.
    """
    connection = await database.connect()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _published(connection, name, tenant)
    finally:
        await connection.close(timeout=5)


async def _published(connection: Connection, name: str, tenant: str | None) -> Pack | None:
    found: dict[tuple[str, str], str] = {}
    for (scope, pack), events in _by_pack(await store.events(connection)).items():
        if scope != SHARED and tenant not in (None, scope):
            continue
        hash = _shipped(events, pack, name) if scope == SHARED else _named(fold(one.event for one in events), pack, name)
        if hash is not None:
            found[scope, pack] = hash
    own = {place: hash for place, hash in found.items() if place[0] != SHARED}
    if len(set(own.values())) > 1:
        scopes = ", ".join(sorted({scope for scope, _ in own}))
        raise SeveralTenants(f"{name} was published by {scopes}: say with --tenant whose is meant")
    for (scope, pack), hash in (own or found).items():
        source = await store.source_of(connection, scope, pack, hash)
        if source is not None:
            return load_recorded(name, source.pack, source.floors)
    return None


def _by_pack(events: list[Recorded]) -> dict[tuple[str, str], list[Recorded]]:
    found: dict[tuple[str, str], list[Recorded]] = {}
    for one in events:
        found.setdefault((one.scope, one.pack), []).append(one)
    return found


def _named(life: Life, pack: str, name: str) -> str | None:
    """The content that the name means in one tenant's pack."""
    if name.startswith(HASH):
        return name if life.release(name) is not None else None
    id, _, version = name.partition("@")
    if id != pack:
        return None
    return life.live if not version else next((one.hash for one in reversed(life.releases) if one.version == version), None)


def _shipped(events: list[Recorded], pack: str, name: str) -> str | None:
    """A pack of an earlier release goes by its hash alone: its version may have been shipped with other content later."""
    return name if any(one.event.hash == name for one in events) else None

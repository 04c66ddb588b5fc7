"""Keys in the database: create, find, list, revoke."""

import hmac
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.auth.keytext import KeyText
from shared.auth.roles import scopes_for
from shared.tables import api_keys

NAME_LIMIT: Final = 200
USE_NOTED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Principal:
    """Who asks: one key of one tenant. `role` is one of `ROLES`; `scopes` is what the key may do; `name` is what its owner called it."""

    key_id: str
    tenant: str
    role: str
    scopes: frozenset[str]
    name: str
    expires_at: datetime | None = None


@dataclass(frozen=True)
class KeyRecord:
    """What is known of a key; its secret is not."""

    id: str
    tenant: str
    name: str
    role: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyRefused(Exception):
    """A key that opens nothing; the text says why, without the key."""


async def create_key(
    conn: AsyncConnection,
    tenant: str,
    role: str,
    name: str,
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
) -> tuple[KeyRecord, str]:
    """A new key: its record, and its text, which exists nowhere else and is to be shown once.

    `scopes` default to the role's. Raises `ScopeRefused` for scopes the role may not have, ValueError for a faulty tenant, name or expiry.
    """
    granted = scopes_for(role, scopes)
    if not tenant or not tenant.isprintable() or len(tenant) > NAME_LIMIT:
        raise ValueError(f"tenant: expected 1 to {NAME_LIMIT} printable characters")
    if not name or not name.isprintable() or len(name) > NAME_LIMIT:
        raise ValueError(f"name: expected 1 to {NAME_LIMIT} printable characters")
    now = datetime.now(UTC)
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
        raise ValueError("expires_at: expected a moment in the future, with its offset from UTC")
    key = KeyText.new()
    row = {
        "id": key.id,
        "tenant": tenant,
        "name": name,
        "role": role,
        "scopes": sorted(granted),
        "created_at": now,
        "expires_at": expires_at,
    }
    await conn.execute(insert(api_keys).values(**row, secret_hash=key.digest()))
    return KeyRecord(key.id, tenant, name, role, tuple(sorted(granted)), now, expires_at, None, None), key.text


async def find_principal(conn: AsyncConnection, text: str, now: datetime) -> Principal:
    """Who the key in `text` belongs to at `now`. Raises `KeyRefused` when it is malformed, unknown, revoked or expired.

    Notes the use in `last_used_at`, at most once a minute.
    """
    try:
        key = KeyText.parse(text)
    except ValueError as fault:
        raise KeyRefused(str(fault)) from None
    row = (await conn.execute(select(api_keys).where(api_keys.c.id == key.id))).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.secret_hash), key.digest()):
        raise KeyRefused("the key is not known here: look whether it belongs to another installation")
    if row.revoked_at is not None and row.revoked_at <= now:
        raise KeyRefused("the key was revoked; ask for a new one")
    if row.expires_at is not None and row.expires_at <= now:
        raise KeyRefused("the key has expired; ask for a new one")
    long_ago = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < now - USE_NOTED_EVERY)
    if row.last_used_at is None or row.last_used_at < now - USE_NOTED_EVERY:
        # A database that cannot write now, full or read-only, can tell a good key from a bad one all the same.
        with suppress(DBAPIError):
            async with conn.begin_nested():
                await conn.execute(update(api_keys).where(api_keys.c.id == key.id, long_ago).values(last_used_at=now))
    return Principal(row.id, row.tenant, row.role, frozenset(row.scopes), row.name, row.expires_at)


async def list_keys(conn: AsyncConnection, tenant: str | None = None) -> list[KeyRecord]:
    """The keys of one tenant, or of all (for the operator's command line), oldest first."""
    query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
    if tenant is not None:
        query = query.where(api_keys.c.tenant == tenant)
    return [_record(row) for row in await conn.execute(query)]


async def revoke_key(conn: AsyncConnection, key_id: str, now: datetime) -> bool:
    """Revoke a key from `now` on; services follow within 5 s. False when there is no such key, or it was revoked before."""
    revoked = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    return (await conn.execute(revoked)).rowcount == 1


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        row.id, row.tenant, row.name, row.role, tuple(row.scopes), row.created_at, row.expires_at, row.revoked_at, row.last_used_at
    )

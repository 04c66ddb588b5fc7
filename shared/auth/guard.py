"""The FastAPI dependency that lets a request through only with a key that has the scope."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Annotated, Any, Final

import structlog
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.auth.keytext import KeyText
from shared.auth.roles import SCOPES
from shared.auth.store import KeyRefused, Principal, find_principal
from shared.problems import Problem

REMEMBERED_S: Final = 5.0
"""How long a key that was good is not looked up again; a revoked key may work that much longer."""
REMEMBERED_KEYS: Final = 10_000

_BEARER = HTTPBearer(scheme_name="key", bearerFormat="mp_live_…", description="An API key of Milepost", auto_error=False)

_log = structlog.get_logger("milepost.auth")


def requires(scope: str) -> Callable[..., Awaitable[Principal]]:
    """A dependency for routes that need `scope`: `principal: Annotated[Principal, Depends(requires("events:write"))]`.

    The app holds its `AsyncEngine` in `app.state.engine`. Answers 401 without a good key, 403 without the scope, 503 while the
    database cannot be asked. Raises ValueError at import for a scope that does not exist.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} does not exist; expected one of {', '.join(SCOPES)}")

    async def principal(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> Principal:
        if credentials is None:
            raise _unauthorized("no API key; send the header Authorization: Bearer mp_live_…")
        found = await _known(request.app.state, credentials.credentials)
        if scope not in found.scopes:
            detail = f"this key may not {SCOPES[scope]}: it lacks the scope {scope}; use a key that has it"
            raise Problem(403, "Scope missing", detail, "scope-missing")
        return found

    return principal


@dataclass
class _Remembered:
    until: float
    lookup: asyncio.Task[Principal]


async def _known(state: Any, text: str) -> Principal:
    """The key's principal, from memory or by one look-up that all who wait for the same key share."""
    try:
        KeyText.parse(text)
    except ValueError as fault:
        raise _unauthorized(str(fault)) from None
    memory: OrderedDict[bytes, _Remembered] = state._state.setdefault("keys_remembered", OrderedDict())
    digest = hashlib.sha256(text.encode()).digest()
    entry = memory.get(digest)
    if entry is None or entry.until <= monotonic():
        entry = _Remembered(monotonic() + REMEMBERED_S, asyncio.ensure_future(_look_up(state.engine, text)))
        # Every caller may have hung up before a refusal is there; it is then nobody's, and no fault.
        entry.lookup.add_done_callback(lambda lookup: lookup.cancelled() or lookup.exception())
        memory[digest] = entry
        memory.move_to_end(digest)
        while len(memory) > REMEMBERED_KEYS:
            memory.popitem(last=False)
    try:
        # Shielded: one caller that hangs up must not take the answer from the others.
        found = await asyncio.shield(entry.lookup)
    except Problem:
        if memory.get(digest) is entry:
            del memory[digest]
        raise
    if found.expires_at is not None and found.expires_at <= datetime.now(UTC):
        raise _unauthorized("the key has expired; ask for a new one")
    return found


async def _look_up(engine: AsyncEngine, text: str) -> Principal:
    try:
        async with engine.begin() as conn:
            return await find_principal(conn, text, datetime.now(UTC))
    except KeyRefused as fault:
        raise _unauthorized(str(fault)) from None
    except (SQLAlchemyError, OSError, TimeoutError) as fault:
        _log.warning("keys cannot be looked up", error=type(fault).__name__)
        detail = "keys cannot be checked now because the database does not answer; repeat the request after the time in Retry-After"
        raise Problem(503, "Not available", detail, "not-available", headers={"Retry-After": "2"}) from None


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "Key not accepted", detail, "key-not-accepted", headers={"WWW-Authenticate": "Bearer"})

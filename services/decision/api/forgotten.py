"""What routes answer of an athlete who was erased, or is to be: from the moment history has the request, nothing of theirs is shown."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.decision.store import erasures
from services.decision.store.bodies import NoKey
from services.decision.store.connection import Connection, bound
from shared import db
from shared.placing import pseudonym
from shared.problems import Problem

_ABOUT: Final = "about_athletes"
T = TypeVar("T")
P = TypeVar("P")


def pseudonym_of(request: Request, tenant: str, athlete: str) -> str:
    """The keyed hash by which an erased athlete is known."""
    key: bytes = request.app.state.settings.pseudonym_key_bytes
    return pseudonym(key, tenant, athlete)


def erased() -> Problem:
    detail = "the athlete was erased on request; nothing of theirs can be read: begin again under a new athlete identifier"
    return Problem(410, "Erased", detail, "erased")


async def refuse_erased(request: Request, connection: Connection, tenant: str, athlete: str) -> None:
    """Answers 410 for an athlete who was erased, or asked to be: now, and wherever the request is refused afterwards."""
    getattr(request.state, _ABOUT, []).append((tenant, athlete))
    if await is_erased(request, connection, tenant, athlete):
        raise erased()


async def is_erased(request: Request, connection: Connection, tenant: str, athlete: str) -> bool:
    return await erasures.of(connection, tenant, pseudonym_of(request, tenant, athlete)) is not None


async def without_erased(request: Request, connection: Connection, tenant: str, rows: Sequence[T], athlete: Callable[[T], str]) -> list[T]:
    """The rows but those of athletes who asked to be erased; nothing is left of those who were."""
    gone = await erasures.asked_for(connection, tenant)
    return [row for row in rows if not gone or pseudonym_of(request, tenant, athlete(row)) not in gone]


async def page_without_erased(
    request: Request,
    connection: Connection,
    tenant: str,
    read: Callable[[P], Awaitable[Sequence[T]]],
    after: P,
    limit: int,
    athlete: Callable[[T], str],
    place: Callable[[T], P],
) -> list[T]:
    """As `without_erased`, of a listing: the first `limit` rows behind `after`, where `read` gives as many in their order."""
    found: list[T] = []
    while True:
        rows = await read(after)
        found += await without_erased(request, connection, tenant, rows, athlete)
        if len(rows) < limit or len(found) >= limit:
            return found[:limit]
        after = place(rows[-1])


class ErasedMeanwhile:
    """Answers 410 where a request about an athlete failed or was refused because they were erased between two of its reads.

    What a route does not find, cannot open or cannot prove any more is damage, unless its athlete is erased by now: that is asked here once
    more, for every route alike.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        about: list[tuple[str, str]] = []
        scope.setdefault("state", {})[_ABOUT] = about
        held: list[Message] = []
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            if held or (about and message["type"] == "http.response.start" and message["status"] >= 400):
                held.append(message)
            else:
                begun = True
                await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as fault:
            if isinstance(fault, NoKey):
                about.append((fault.tenant, fault.athlete))
            if begun or not await _any_erased(Request(scope), about):
                raise
            await erased().response()(scope, receive, send)
            return
        if held and held[0]["status"] != 410 and await _any_erased(Request(scope), about):
            await erased().response()(scope, receive, send)
            return
        for message in held:
            await send(message)


async def _any_erased(request: Request, about: Sequence[tuple[str, str]]) -> bool:
    """False where the database does not tell: then what went wrong stands as it is."""
    try:
        for tenant, athlete in about:
            async with bound(request.app.state.engine, tenant) as connection:
                if await is_erased(request, connection, tenant, athlete):
                    return True
    except db.FAULTS:
        pass
    return False

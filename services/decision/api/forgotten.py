"""What routes answer of an athlete who was erased, or is to be: from the moment history has the request, nothing of theirs is shown."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fastapi import Request

from services.decision.store import erasures
from services.decision.store.connection import Connection
from shared.placing import pseudonym
from shared.problems import Problem

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
    """Answers 410 for an athlete who was erased, or asked to be."""
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

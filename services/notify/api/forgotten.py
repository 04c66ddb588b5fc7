"""What is shown of athletes who asked to be erased: nothing, from the moment history has the request, as on every route of decision."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from fastapi import Request

from services.notify.store import erased
from services.notify.store.connection import Connection
from shared.placing import pseudonym
from shared.problems import Problem

T = TypeVar("T")
P = TypeVar("P")


class Leaving(NamedTuple):
    """Those of one tenant who asked to be erased, by their pseudonyms."""

    key: bytes
    tenant: str
    pseudonyms: frozenset[str]

    def has(self, athlete: str | None) -> bool:
        return bool(self.pseudonyms and athlete) and pseudonym(self.key, self.tenant, athlete or "") in self.pseudonyms


async def leaving(request: Request, connection: Connection, tenant: str) -> Leaving:
    return Leaving(request.app.state.settings.pseudonym_key_bytes, tenant, await erased.asked_for(connection, tenant))


async def refuse_leaving(request: Request, connection: Connection, tenant: str, athlete: str | None) -> None:
    """Raises a 410 problem for an athlete who asked to be erased."""
    if (await leaving(request, connection, tenant)).has(athlete):
        raise Problem(410, "Erased", "the athlete asked to be erased; nothing is told of them any more", "erased")


async def page_without(
    gone: Leaving,
    read: Callable[[P], Awaitable[Sequence[T]]],
    after: P,
    limit: int,
    athlete: Callable[[T], str | None],
    place: Callable[[T], P],
) -> list[T]:
    """The first `limit` rows behind `after` but those of athletes who are leaving; `read` gives as many in their order."""
    found: list[T] = []
    while True:
        rows = await read(after)
        found += [row for row in rows if not gone.has(athlete(row))]
        if len(rows) < limit or len(found) >= limit:
            return found[:limit]
        after = place(rows[-1])

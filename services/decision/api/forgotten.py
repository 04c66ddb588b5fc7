"""What the routes of an athlete answer once the athlete was erased."""

from fastapi import Request

from services.decision.store import erasures
from services.decision.store.connection import Connection
from shared.placing import pseudonym
from shared.problems import Problem


def pseudonym_of(request: Request, tenant: str, athlete: str) -> str:
    """The keyed hash by which an erased athlete is known."""
    key: bytes = request.app.state.settings.pseudonym_key_bytes
    return pseudonym(key, tenant, athlete)


async def refuse_erased(request: Request, connection: Connection, tenant: str, athlete: str) -> None:
    """Answers 410 for an athlete who was erased, or asked to be."""
    found = await erasures.of(connection, tenant, pseudonym_of(request, tenant, athlete))
    if found is not None:
        detail = "the athlete was erased on request; nothing of theirs can be read: begin again under a new athlete identifier"
        raise Problem(410, "Erased", detail, "erased")

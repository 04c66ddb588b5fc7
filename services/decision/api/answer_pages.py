"""The page behind an answer link: opening it shows what would be answered and changes nothing; only the form on it answers, once.

Mail gateways and chat programs open every link they see, so a link that acts when it is opened would answer in nobody's name. The link is
the credential: signed by us, for one decision, in the name of the clinician who vouched for the endpoint it was sent to.
"""

from datetime import UTC, datetime
from time import time
from typing import Annotated, Final, Literal
from uuid import UUID, uuid5

import orjson
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from services.decision.api.answer_looks import page, paragraphs, question
from services.decision.api.answers import Said, answered, publish
from services.decision.api.common import packs_now, reading
from services.decision.api.forgotten import is_erased
from services.decision.store import answer_links as used, past, reads
from services.decision.store.connection import Connection, borrowed
from services.decision.store.reads import CourseRead
from shared import db
from shared.answer_links import AnswerLink, LinkRefused
from shared.events import canonical
from shared.problems import Problem

# Pages for people, not part of the programming interface.
router = APIRouter(include_in_schema=False)

_NAMES: Final = UUID("5d5f0c0e-1a6b-5b52-9f0c-6f2f8f1f7c55")
_SAME: Final = ("action", "from_step", "to_step", "running", "urgency")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}


class _Shown(Exception):
    """A page that ends the request."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.page = _page(status, title, paragraphs(text))


@router.get("/answers/{token}", response_class=HTMLResponse)
async def confirm(request: Request, token: str) -> HTMLResponse:
    """What would be answered, and the form that does it."""
    try:
        link = _link(request, token)
        async with reading(request, link.tenant, packs=True) as connection:
            course = await _answerable(request, connection, link)
            if await used.is_used(connection, link):
                raise _used()
            decision = orjson.loads(course.decision)
            pack = packs_now(request).by_hash.get(decision["protocol"]["hash"])
    except _Shown as shown:
        return shown.page
    except Problem:
        return _unavailable().page
    return _page(200, "Answer this recommendation", question(decision, pack))


@router.post("/answers/{token}", response_class=HTMLResponse)
async def act(
    request: Request,
    token: str,
    answer: Annotated[Literal["accepted", "declined", "modified"], Form()],
    step: Annotated[str, Form(max_length=200)] = "",
    reason: Annotated[str, Form(max_length=500)] = "",
) -> HTMLResponse:
    """Answers, as the route for API keys does. A second time it says that the link was used."""
    try:
        link = _link(request, token)
        if answer == "modified" and not step.strip():
            raise _Shown(422, "A step is missing", "With modify, say which step instead. Nothing was answered; go back and try again.")
        async with borrowed(request.app.state.engine) as connection, connection.transaction():
            # Taken before anything is published, and given back with the transaction when that fails.
            if not await used.take(connection, link, datetime.now(UTC)):
                if not await used.is_used(connection, link):
                    # There is no such course here: the look that follows says what is wrong.
                    await _answerable(request, connection, link)
                raise _used()
            course = await _answerable(request, connection, link)
            said = Said(answer, step.strip() or None if answer == "modified" else None, reason.strip() or None)
            event = answered(link.tenant, course, said, link.by, str(uuid5(_NAMES, f"{link.tenant}\0{link.id}")))
            await publish(request, link.tenant, course.athlete, canonical(event))
    except _Shown as shown:
        return shown.page
    except Problem as problem:
        text = "; ".join(f"{fault['path']}: expected {fault['expected']}" for fault in problem.faults) or problem.detail
        return _page(problem.status, problem.title, paragraphs(text, "Nothing was answered; go back and try again."))
    except db.FAULTS:
        return _unavailable().page
    return _page(200, "Thank you", paragraphs(f"The recommendation is {answer}. You can close this page."))


def _link(request: Request, token: str) -> AnswerLink:
    key: bytes = request.app.state.settings.secret_key_bytes
    try:
        if not key:
            raise LinkRefused("answer links are not set up here: MILEPOST_SECRET_KEY is not set")
        return AnswerLink.read(token, key, time())
    except LinkRefused as fault:
        raise _Shown(410 if "too old" in str(fault) else 404, "This link cannot be used", str(fault)) from None


async def _answerable(request: Request, connection: Connection, link: AnswerLink) -> CourseRead:
    """The course, while what the link is about is still what it recommends, and the clinician's key still good."""
    if not await used.may_answer(connection, link, datetime.now(UTC)):
        raise _Shown(403, "This link cannot be used", "The key in whose name it answers was revoked or has expired.")
    course = await reads.course(connection, link.tenant, link.course)
    asked = await past.decision_by_id(connection, link.tenant, link.decision)
    if course is None or asked is None:
        raise _Shown(404, "This link cannot be used", "What it is about is not known here.")
    if await is_erased(request, connection, link.tenant, course.athlete):
        raise _Shown(410, "This link cannot be used", "The athlete was erased on request.")
    now, then = orjson.loads(course.decision), orjson.loads(asked)
    if any(now[name] != then[name] for name in _SAME):
        raise _Shown(409, "No longer in force", "The recommendation has changed since: read it again and answer that.")
    if now["answer"] is not None:
        raise _Shown(409, "Answered already", "Somebody has answered this recommendation.")
    return course


def _used() -> _Shown:
    return _Shown(410, "This link was used", "It answers once. To answer again, use the recommendation itself.")


def _unavailable() -> _Shown:
    return _Shown(503, "Not available", "The answer could not be taken now; nothing was changed. Try again in a minute.")


def _page(status: int, title: str, body: str) -> HTMLResponse:
    return HTMLResponse(page(title, body), status, _HEADERS)

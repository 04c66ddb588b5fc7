"""A limit on request bodies: nothing that this service is asked needs more than a few kilobytes."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.problems import Problem

MOST_BYTES: Final = 64 * 2**10


class LimitedBodies:
    """Reads a request's body before the route does, and answers 413 once it passes 64 KiB."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS", "DELETE"):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                refusal = Problem(413, "Body too large", f"a body has at most {MOST_BYTES} bytes; send less", "body-too-large")
                await refusal.response()(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: Message | None = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            given, whole = whole, None
            return given

        await self._app(scope, replay, send)

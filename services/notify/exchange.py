"""One HTTP/1.1 connection to a receiver: a request at a time, and of each answer its status, its Retry-After and the body's beginning.

A general client spends more on a request than all the rest of a delivery costs: cookies, redirects, traces, streams. None of that may
happen here, so the connection speaks through the parser alone.
"""

import asyncio
from typing import Final, NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

KEPT_BYTES: Final = 2048
"""How much of a receiver's answer is kept; the rest is not read."""
MOST_BYTES: Final = 65_536
"""How much may come before the kept part of an answer's body is complete: status line, headers and the framing of chunks included."""


class Answered(NamedTuple):
    """A receiver's answer; `retry_after` is that header as it came, `body` its beginning."""

    status: int
    retry_after: str | None
    body: bytes


class Broken(OSError):
    """The connection ended before an answer."""


class Unintelligible(OSError):
    """What came is no answer in HTTP/1.1, or has no end."""


class Exchange(asyncio.Protocol):
    """The connection. After an answer, `is_free` says whether it can be asked again; otherwise it has closed itself."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._waiting: asyncio.Future[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        self._retry_after: str | None = None
        self._body = b""
        self._came = 0
        self._over = False

    async def ask(self, request: bytes, within_s: float) -> Answered:
        """Sends one request, whole. Raises `Broken`, `Unintelligible` or `TimeoutError`, and closes the connection then.

        The status decides: a body that breaks off, hangs or has no end changes nothing once the headers are there.
        """
        if not self.is_free:
            raise Broken
        assert self._transport is not None, "a free connection has its transport"
        self._begin()
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        limit = loop.call_later(within_s, self._end, TimeoutError())
        self._transport.write(request)
        try:
            await self._waiting
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            limit.cancel()
            self._waiting = None
        return Answered(self._status, self._retry_after, self._body[:KEPT_BYTES])

    @property
    def is_free(self) -> bool:
        """Connected, and nothing is awaited."""
        return self._waiting is None and self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """At once; what was still to be sent is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, fault: OSError | None) -> None:
        """The answer is there, or will not come. A fault costs the connection."""
        if self._waiting is not None and not self._waiting.done():
            if fault is None or self._status:
                self._waiting.set_result(None)
            else:
                self._waiting.set_exception(fault)
        if fault is not None:
            self.close()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Broken())
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            # Nobody asked for it: the next answer could not be told from it.
            self.close()
            return
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._end(Unintelligible())
        else:
            if not self._waiting.done() and (len(self._body) >= KEPT_BYTES or self._came > MOST_BYTES):
                self._end(Unintelligible())

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._status:
            # More than the one answer that was asked for: neither belongs to the next request.
            self._over = True
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._over and len(name) == 11 and name.lower() == b"retry-after" and self._retry_after is None:
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._over:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            # The answer itself is still to come.
            self._retry_after = None
        else:
            self._status = status

    def on_body(self, body: bytes) -> None:
        if not self._over and len(self._body) < KEPT_BYTES:
            self._body += body

    def on_message_complete(self) -> None:
        if not self._status:
            return
        self._end(None)
        if not self._parser.should_keep_alive() or self._status == 101:
            self.close()

"""A webhook receiver in a process of its own: answers 204, and says at `/` how many came, when, and what that cost it in processor time;
at `/arrivals` when each decision first came. Paths under `/dead` never answer. Ends when its standard input does.

It reads no more HTTP than the service sends, so that it costs a small part of what is measured.
"""

import asyncio
import re
import sys
from time import process_time, time
from typing import cast

import orjson
import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DECISION = re.compile(rb'"data":\{"id":"([^"]+)"')


class Seen:
    """What came so far, to whatever path."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self.arrivals: dict[str, float] = {}

    def post(self, path: bytes, body: bytes, at: float) -> None:
        self.last, self.first = at, self.first or at
        self.count += 1
        if (found := _DECISION.search(body)) is not None:
            self.arrivals.setdefault(f"{path.decode()} {found[1].decode()}", at)

    def said(self, path: bytes) -> bytes:
        if path == b"/arrivals":
            return orjson.dumps(self.arrivals)
        return orjson.dumps({"count": self.count, "first": self.first, "last": self.last, "cpu_s": process_time()})


class Connection(asyncio.Protocol):
    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        at = time()
        held = self._held + data
        while (end := held.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(held, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(held) < whole:
                break
            method, path, _ = held[: held.index(b"\r\n")].split(b" ")
            if method == b"GET":
                answer = self._seen.said(path)
                self._transport.write(_HEAD % len(answer) + answer)
            elif not path.startswith(b"/dead"):
                self._seen.post(path, held[end + 4 : whole], at)
                self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            held = held[whole:]
        self._held = held


async def main() -> None:
    seen = Seen()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(seen), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())

"""Tables read from end to end as PostgreSQL's binary COPY sends them: rows are sliced, not decoded, so that a scan costs little more than
hashing what it reads.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from struct import Struct, error
from typing import Any, Final

from services.decision.store.connection import Connection

_HEADER: Final = 19
_LENGTH: Final = Struct(">i")
_COUNT: Final = Struct(">h")
_AHEAD: Final = 16
"""Batches that may wait for the reader."""


class Row:
    """One row: its columns in binary form, each with its length in front."""

    __slots__ = ("_at", "_buffer")

    def __init__(self, buffer: bytes, at: list[int]) -> None:
        self._buffer = buffer
        self._at = at

    def raw(self, first: int, last: int) -> bytes:
        """Columns `first` up to, not including, `last`, with their lengths."""
        return self._buffer[self._at[first] : self._at[last]]

    def value(self, column: int) -> bytes | None:
        """The bytes of one column; None for null."""
        begin, end = self._at[column] + 4, self._at[column + 1]
        if begin == end and self._buffer[begin - 4 : begin] == b"\xff\xff\xff\xff":
            return None
        return self._buffer[begin:end]

    def number(self, column: int) -> int:
        """An integer or bigint column that is not null."""
        return int.from_bytes(self._buffer[self._at[column] + 4 : self._at[column + 1]], "big", signed=True)

    def text(self, column: int) -> str:
        """A text column; empty for null."""
        return (self.value(column) or b"").decode("utf-8", "replace")


def rows(buffer: bytes, at: int) -> tuple[list[Row], int]:
    """Every whole row of the buffer from `at` on, and where the rest begins; the rest is -1 at the end of the copy."""
    found: list[Row] = []
    length_of = _LENGTH.unpack_from
    end = len(buffer)
    while at + 2 <= end:
        (count,) = _COUNT.unpack_from(buffer, at)
        if count < 0:
            return found, -1
        place = at + 2
        places = [place]
        try:
            for _ in range(count):
                (length,) = length_of(buffer, place)
                place += 4 + length if length > 0 else 4
                places.append(place)
        except error:
            return found, at
        if place > end:
            return found, at
        found.append(Row(buffer, places))
        at = place
    return found, at


async def scan(
    connection: Connection, query: str, *arguments: Any, seen: Callable[[bytes], object] | None = None
) -> AsyncIterator[list[Row]]:
    """The rows of a query in batches, in its order. The reader may be slower than the server: the server then waits.

    `seen` is given every byte as it comes, also those around the rows.
    """
    queue: asyncio.Queue[list[Row] | None] = asyncio.Queue(_AHEAD)
    rest = b""
    begun = False

    async def take(data: bytes) -> None:
        nonlocal rest, begun
        if seen is not None:
            seen(data)
        rest += data
        if not begun:
            if len(rest) < _HEADER:
                return
            rest, begun = rest[_HEADER:], True
        found, at = rows(rest, 0)
        rest = b"" if at < 0 else rest[at:]
        if found:
            await queue.put(found)

    async def copy() -> None:
        try:
            await connection.copy_from_query(query, *arguments, output=take, format="binary", timeout=None)
        finally:
            await queue.put(None)

    copying = asyncio.create_task(copy())
    try:
        while (batch := await queue.get()) is not None:
            yield batch
        await copying
    finally:
        copying.cancel()
        while not copying.done():
            # Makes room, so that the copier's last word does not wait for ever.
            while not queue.empty():
                queue.get_nowait()
            await asyncio.wait([copying], timeout=0.05)

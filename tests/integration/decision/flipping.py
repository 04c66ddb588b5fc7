"""Single bits of stored values, flipped: in the database itself, value by value, and in what the database sends, bit by bit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson

from services.decision.store.connection import Connection
from services.decision.store.scan import rows
from tests.seeds import chance

T = TypeVar("T")
DRAWN = chance("bits")
HEADER = 19
"""Bytes in front of the first row of a binary COPY."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEFORE_NULL: dict[str, Any] = {"text": "x", "integer": 1, "bigint": 1, "bytea": b"x", "timestamp with time zone": EPOCH}


def bits_of(kind: str, value: Any) -> list[int]:
    """The bits that a stored value of this type has, by their numbers."""
    if value is None:
        return [0]
    sizes = {"integer": 32, "bigint": 64, "timestamp with time zone": 64, "uuid": 128}
    return list(range(sizes.get(kind) or 8 * max(1, len(_bytes(kind, value)))))


def flipped(kind: str, value: Any, bit: int) -> Any:
    """The value with this bit turned over; None where no value of the type has these bits (text that is not UTF-8, no JSON, no instant)."""
    if value is None:
        return BEFORE_NULL.get(kind)
    if kind in ("integer", "bigint"):
        size = 32 if kind == "integer" else 64
        turned = (value % (1 << size)) ^ (1 << bit)
        return turned - (1 << size) if turned >> (size - 1) else turned
    if kind == "timestamp with time zone":
        try:
            return EPOCH + timedelta(microseconds=((value - EPOCH) // timedelta(microseconds=1)) ^ (1 << bit))
        except OverflowError:
            return None
    if kind.endswith("[]"):
        first = flipped(kind[:-2], value[0], bit)
        return None if first is None else [first, *value[1:]]
    raw = bytearray(_bytes(kind, value) or b"\0")
    raw[bit // 8] ^= 1 << (bit % 8)
    if kind == "bytea":
        return bytes(raw)
    if kind == "uuid":
        return UUID(bytes=bytes(raw))
    try:
        text = raw.decode()
        found = orjson.loads(text) if kind == "jsonb" else None
    except (UnicodeDecodeError, orjson.JSONDecodeError):
        return None
    if "\0" in text or (kind == "jsonb" and (found == orjson.loads(value) or "\\u0000" in text)):
        return None
    return text


def _bytes(kind: str, value: Any) -> bytes:
    if kind.endswith("[]"):
        return _bytes(kind[:-2], value[0])
    if kind == "uuid":
        return bytes(value.bytes)
    return value.encode() if isinstance(value, str) else bytes(value)


def spread(bits: Sequence[T], count: int) -> list[T]:
    """About so many of the bits, from one of the first that is drawn to the last, never all of one kind: steps are odd."""
    step = max(1, len(bits) // count) | 1
    return list(bits[DRAWN.randrange(min(step, len(bits))) :: step])


class Recorded:
    """A connection that gives each answer of a real one again; `flip` turns over bits of what COPY sent.

    Verifying by it touches no database, so that every bit can be tried.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answers: dict[tuple[str, str, str], Any] = {}
        self._copies: dict[str, bytes] = {}
        self._tags: dict[str, str] = {}
        self._turned: tuple[str, int, int] | None = None

    async def _again(self, method: str, query: str, *arguments: Any) -> Any:
        key = (method, query, repr(arguments))
        if key not in self._answers:
            self._answers[key] = await getattr(self._connection, method)(query, *arguments)
        return self._answers[key]

    async def fetch(self, query: str, *arguments: Any) -> Any:
        return await self._again("fetch", query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        return await self._again("fetchval", query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        return await self._again("fetchrow", query, *arguments)

    async def copy_from_query(self, query: str, *arguments: Any, output: Callable[[bytes], Awaitable[None]], **more: Any) -> str:
        if query not in self._copies:
            held = bytearray()

            async def take(data: bytes) -> None:
                held.extend(data)

            self._tags[query] = await self._connection.copy_from_query(query, *arguments, output=take, **more)
            self._copies[query] = bytes(held)
        data = self._copies[query]
        if self._turned is not None and self._turned[0] == query:
            _, place, bit = self._turned
            data = data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
        await output(data)
        await asyncio.sleep(0)
        return self._tags[query]

    def cells(self, table: str, first: int, last: int | None, skipped: Sequence[int] = ()) -> Iterator[tuple[str, int, int]]:
        """(query, first byte, length) of each cell of rows `first` up to `last` that COPY sent of the table."""
        for query, data in self._copies.items():
            if f" FROM {table} " not in query.replace("\n", " ") and f"FROM {table} AS t" not in query:
                continue
            found, _ = rows(data, HEADER)
            for row in found[first:last]:
                for column, (begin, end) in enumerate(zip(row._at, row._at[1:], strict=False)):
                    if column not in skipped and end > begin + 4:
                        yield query, begin + 4, end - begin - 4

    def flip(self, query: str, place: int, bit: int) -> None:
        self._turned = (query, place, bit)

    def whole(self) -> None:
        self._turned = None


async def stored_as(connection: "asyncpg.Connection[asyncpg.Record]", table: str, column: str, at: str, value: Any) -> bool:
    """Whether the database takes this value in this place; one that it refuses by itself (a key that is taken) nobody can plant."""
    cast = "::jsonb" if isinstance(value, str) else ""
    kind = await connection.fetchval(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2", table, column
    )
    try:
        async with connection.transaction():
            query = f"UPDATE {table} SET {column} = $1{cast if kind == 'jsonb' else ''} WHERE ctid = '{at}'"
            await connection.execute(query, value)
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return False
    return True

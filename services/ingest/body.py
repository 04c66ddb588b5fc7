"""Request bodies, read in bounds: bytes, lines, time, compression."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from shared.problems import Problem

CHUNK_LIMIT_S: Final = 30.0
"""How long a sender may be silent in the middle of a body."""

_INFLATED: Final = 256 * 2**10


async def chunks(request: Request, limit: int | None) -> AsyncGenerator[bytes, None]:
    """The body in pieces, unpacked where it is gzip, at most `limit` bytes in all (None: the reader bounds it).

    Raises `Problem`: 413 beyond the limit, 415 for another encoding, 400 for a body that cannot be unpacked or breaks off, 408 for silence.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(
            415,
            "Encoding not supported",
            "the body's Content-Encoding is not read here; send it plain or as gzip",
            "encoding-not-supported",
        )
    stated = request.headers.get("content-length", "")
    if limit is not None and encoding == "identity" and stated.isdecimal() and int(stated) > limit:
        raise too_large(limit)
    inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    total = 0
    async for received in _received(request):
        for chunk in _inflated(inflate, received) if inflate else (received,):
            total += len(chunk)
            if limit is not None and total > limit:
                raise too_large(limit)
            if chunk:
                yield chunk
    if inflate and not inflate.eof:
        raise _broken("the gzip body ends before its end")


async def whole(request: Request, limit: int) -> bytes:
    """The whole body; problems as `chunks`."""
    return b"".join([chunk async for chunk in chunks(request, limit)])


async def lines(request: Request, longest: int) -> AsyncIterator[bytes | None]:
    """The lines of a body that is read as it comes, without their ends and without blank ones; None for one longer than `longest` bytes."""
    held, too_long = bytearray(), False
    async for chunk in chunks(request, None):
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            held += chunk[begin:end]
            begin = end + 1
            if too_long or len(held) > longest:
                yield None
            elif line := bytes(held).strip():
                yield line
            held.clear()
            too_long = False
        held += chunk[begin:]
        if len(held) > longest:
            held.clear()
            too_long = True
    if too_long:
        yield None
    elif line := bytes(held).strip():
        yield line


def too_large(limit: int) -> Problem:
    return Problem(413, "Too large", f"the body has more than {limit} bytes; send it in smaller requests", "too-large")


async def _received(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(CHUNK_LIMIT_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            detail = f"the body broke off: nothing came for {CHUNK_LIMIT_S:g} s; send the request again"
            raise Problem(408, "Body incomplete", detail, "body-incomplete") from None
        except ClientDisconnect:
            raise _broken("the connection ended before the body did") from None
        yield chunk


def _inflated(inflate: "zlib._Decompress", received: bytes) -> Iterator[bytes]:
    try:
        yield inflate.decompress(received, _INFLATED)
        while inflate.unconsumed_tail:
            yield inflate.decompress(inflate.unconsumed_tail, _INFLATED)
    except zlib.error:
        raise _broken("the body is said to be gzip and is not") from None


def _broken(detail: str) -> Problem:
    return Problem(400, "Body not readable", f"{detail}; send the request again, whole", "body-not-readable")

"""Streams made anew under the name of one that was just deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.bus import BusRefused

_T = TypeVar("_T")


async def cleared(making: Callable[[], Awaitable[_T]]) -> _T:
    """What `making` of streams returns; the server may still be clearing the store of one of the same name that was just deleted."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await making()
            except BusRefused as fault:
                if "(10049)" not in str(fault):
                    raise
                await asyncio.sleep(0.05)

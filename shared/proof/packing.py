"""Bodies made small before they are sealed: Zstandard (RFC 8878) with a dictionary of what decisions and events have in common.

A decision of 4 to 6 kB becomes 0.2 to 1 kB, so a row fits in its page. Everything that was ever packed needs the dictionary it was packed
with: a dictionary is never changed, a new one gets a new mark in `envelope.py`. `python -m tests.golden.dictionary` made this one.
"""

import threading
from functools import cache
from pathlib import Path
from typing import Final

import zstandard

LEVEL: Final = 3
DICTIONARY: Final = Path(__file__).with_name("bodies-1.zdict")


class Unpackable(ValueError):
    """Bytes that were not packed with this dictionary."""


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    found = zstandard.ZstdCompressionDict(DICTIONARY.read_bytes())
    found.precompute_compress(level=LEVEL)
    return found


class _Contexts(threading.local):
    """A context serves one call at a time, so each thread has its own."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=LEVEL, dict_data=_dictionary()).compress
        self.unpack = zstandard.ZstdDecompressor(dict_data=_dictionary()).decompress


_contexts = _Contexts()


def packed(plain: bytes) -> bytes:
    """One Zstandard frame that says its length and the dictionary."""
    return _contexts.pack(plain)


def unpacked(frame: bytes) -> bytes:
    """What was packed. Raises `Unpackable`."""
    try:
        return _contexts.unpack(frame)
    except zstandard.ZstdError as fault:
        raise Unpackable(str(fault)) from None

"""What stands for a whole stretch of a tree that was checked row by row: a code over every stored byte of it, under a key of its own.

Whoever has only the database can make no such code, as they can make no salt and no signature.
"""

import hmac
from collections.abc import Sequence
from struct import pack
from typing import Final, NamedTuple

STRETCH: Final = 1024
"""Leaves of a stretch: a power of two, so that its root is a node of the tree."""
_FORM: Final = b"milepost stretch 1\n"


class Stretch(NamedTuple):
    """Leaves `begin` + 1 to `end` of a tree, counted from 1: number `number` of those with so many leaves, from 0."""

    tree: str
    partition: int
    number: int
    leaves: int = STRETCH

    @property
    def begin(self) -> int:
        return self.number * self.leaves

    @property
    def end(self) -> int:
        return self.begin + self.leaves


def stretch_code(key: bytes, stretch: Stretch, erased: int, root: bytes, streams: Sequence[bytes]) -> bytes:
    """32 bytes. `erased`: how many of its rows were erased; `root`: that of its own leaves; `streams`: the SHA-256 of each stream of stored
    bytes, in their fixed order.
    """
    place = pack(">iqiqi", stretch.partition, stretch.number, stretch.leaves, erased, len(streams))
    return hmac.digest(key, _FORM + stretch.tree.encode() + b"\n" + place + root + b"".join(streams), "sha256")

"""Which fields a pure function reads of a state: while each of them still holds the very same object, it would find the same again."""

from collections.abc import Mapping
from types import MethodType
from typing import Any


class Noted:
    """Stands for `of` and notes in `read` the bit of each field that is read, by what its class reckons as well."""

    __slots__ = ("_bits", "_kind", "of", "read")

    def __init__(self, kind: Any, bits: Mapping[str, int], of: Any = None) -> None:
        self._kind = kind
        self._bits = bits
        self.of = of
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        bit = self._bits.get(name)
        if bit is not None:
            self.read |= bit
            return getattr(self.of, name)
        member = getattr(self._kind, name)
        return member.__get__(self) if isinstance(member, property) else MethodType(member, self)

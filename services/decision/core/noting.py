"""Which fields a pure function reads of a state: while each of them still holds the very same object, it would find the same again."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import FunctionType
from typing import Any


class Noted:
    """Stands for `of` and notes in `read` the bit of each field that is read, by what its class reckons as well."""

    __slots__ = ("of", "read")

    def __init__(self, of: Any = None) -> None:
        self.of = of
        self.read = 0


def noted(kind: type, bits: Mapping[str, int]) -> type[Noted]:
    """What stands for a `kind`: its fields, named in `bits`, are noted; its methods and properties run on what stands for it."""
    body: dict[str, Any] = {name: property(_reader(name, bit)) for name, bit in bits.items()}
    for name, member in vars(kind).items():
        if name not in body and not name.startswith("__") and isinstance(member, (property, FunctionType)):
            body[name] = member
    return type(f"Noted{kind.__name__}", (Noted,), {"__slots__": (), "__doc__": Noted.__doc__, **body})


def _reader(name: str, bit: int) -> Callable[[Noted], Any]:
    of = attrgetter(f"of.{name}")

    def read(noted: Noted) -> Any:
        noted.read |= bit
        return of(noted)

    return read

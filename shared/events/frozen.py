"""Values that never change, made as quickly as those that may."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[T]) -> type[T]:
    """A dataclass with slots of which the type checker refuses every change.

    The interpreter does not: what it refuses it also pays for with a call for each field of each value that is made, and some twenty
    values are made for every decision.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)

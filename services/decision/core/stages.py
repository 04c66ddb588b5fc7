"""Work that stops between its stages, so that several athletes can be taken through each stage one after the other.

An event is placed, folded in, decided upon, told of and written. The code of all five does not lie near a processor at once: who takes
eight histories abreast through one stage after the other is done a tenth sooner, and a fifth where other programs press.
"""

from collections.abc import Generator, Sequence
from typing import TypeVar

T = TypeVar("T")

Staged = Generator[None, None, T]
"""Stops before each stage but the first; returns what the work gives."""


def whole(staged: Staged[T]) -> T:
    """Every stage at once."""
    try:
        while True:
            next(staged)
    except StopIteration as done:
        given: T = done.value
        return given


def abreast(staged: Sequence[Staged[T]]) -> list[T]:
    """All of them through each stage before any goes on to the next; what they give, in their order. Raises what one of them raises."""
    given: dict[int, T] = {}
    going = list(enumerate(staged))
    while going:
        at: list[tuple[int, Staged[T]]] = []
        for one in going:
            try:
                next(one[1])
            except StopIteration as done:
                given[one[0]] = done.value
            else:
                at.append(one)
        going = at
    return [given[place] for place in range(len(staged))]

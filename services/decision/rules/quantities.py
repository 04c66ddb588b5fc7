"""Amounts as packs write them: `2 nrs`, `80 % lsi`, `14 d`; the unit names the instrument, so no two scales are ever mistaken.

A threshold must bear the very unit of its fact; nothing is converted here, for a pack must read as its source does.
"""

import re
from typing import Literal, NamedTuple

from services.decision.core.protocol import FactType
from services.decision.core.units import UNITS

_AMOUNT = re.compile(r"(-?\d{1,6}(?:\.\d{1,3})?) (\S.*)")
_AGES = {"d": 1, "wk": 7}
_LONGEST_DAYS = 730


class Amount(NamedTuple):
    amount: int | float
    unit: str


def amount_of(text: object) -> Amount | str:
    """`80 % lsi` as amount and unit word; a sentence of what is wrong otherwise."""
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return f"{text!r} is not an amount with its unit; write a number, a space and the unit, as in `2 nrs` or `80 % lsi`"
    number = float(found[1])
    unit = found[2]
    if unit not in UNITS:
        return f"{unit} is not a unit; there are {', '.join(sorted(UNITS))}"
    return Amount(int(number) if number.is_integer() else number, unit)


def misfit(kind: FactType, found: Amount, *, any_range: bool = False) -> str | None:
    """Why this amount cannot be a threshold of the fact, or None. With `any_range` it may lie outside what the fact is known to be."""
    measured = UNITS[kind.unit]
    if found.unit != kind.unit:
        other = UNITS[found.unit]
        told = f"{kind.name} is measured in `{kind.unit}` ({measured.instrument or measured.dimension})"
        same = " Both are " + other.dimension + "s, of different instruments." if other.dimension == measured.dimension else ""
        do = f"Write `{found.amount} {kind.unit}` if that is what the source says"
        return f"{told}, not in `{found.unit}` ({other.instrument or other.dimension}).{same} {do}"
    if not any_range and not kind.low <= found.amount <= kind.high:
        return f"{found.amount} lies outside the range of {kind.name}, {kind.low:g} to {kind.high:g} {kind.unit}"
    scaled = found.amount * kind.scale
    if abs(scaled - round(scaled)) > 1e-9:
        return f"{kind.name} is known in steps of {1 / kind.scale:g} {kind.unit}; {found.amount} lies between two of them"
    return None


def mistaken(kind: FactType, found: Amount) -> Literal["UNIT", "INSTR", "TYPE"]:
    """What an amount that does not fit was mistaken in: its dimension, its instrument, or its range and resolution."""
    if found.unit == kind.unit:
        return "TYPE"
    return "INSTR" if UNITS[found.unit].dimension == UNITS[kind.unit].dimension else "UNIT"


def days_of(text: str) -> int | str:
    """`14 d` or `6 wk` as days; a sentence of what is wrong otherwise."""
    number, _, unit = text.partition(" ")
    if not number.isdigit() or unit not in _AGES:
        return f"{text!r} is not an age; write whole days or weeks, as in `14 d` or `6 wk`"
    days = int(number) * _AGES[unit]
    return days if 1 <= days <= _LONGEST_DAYS else f"{text} is not between 1 d and {_LONGEST_DAYS} d"

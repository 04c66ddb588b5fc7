"""What a condition found, in a sentence."""

from functools import lru_cache
from typing import Any

from services.decision.core.facts.registry import CATALOGUE
from services.decision.core.facts.words import capital
from services.decision.core.protocol import FactType
from services.decision.core.sessions import Value

UNITS = {
    "": "",
    "%": " %",
    "% asymmetry": " %",
    "% lsi": " %",
    "acl_rsi": " of 100",
    "fatigue": " of 10",
    "i_prrs": " of 60",
    "ikdc": " of 100",
    "nrs": " of 10",
    "rpe": " of 10",
    "visa_a": " of 100",
}
"""How a unit is said after its number; another is said as it is written."""

SCORES = ("nrs", "acl_rsi", "i_prrs", "fatigue")
"""Units in which a number is what was asked for, so that the sentence may speak of that; another is told by what it means."""


def sentence(kind: FactType, value: Value, op: str, threshold: Any, because: str = "") -> str:
    """One condition that is not met, in words: what it is now, why, and what it has to be."""
    why = f": {because}" if because else ""
    if isinstance(threshold, bool):
        bad = kind.worse != ("true" if threshold else "false")
        said = kind.lacking if kind.lacking and bad else capital(kind.meaning) if value else f"It is not so that {kind.meaning}"
        return f"{said}{why}"
    if kind.lacking:
        return kind.lacking.format(value=value, needed=needed(op, threshold, ""), s="" if value == 1 else "s")
    if kind.choices or kind.unit in SCORES:
        return f"{capital(kind.ask)} is {value}{'' if kind.choices else UNITS[kind.unit]}; {needed(op, threshold, '')} is needed"
    said = UNITS.get(kind.unit, f" {kind.unit}")
    return f"{capital(kind.meaning)}: {value}{said}; {needed(op, threshold, '')} is needed"


def needed(op: str, threshold: Any, unit: str) -> str:
    """What a value has to be: `2 or less`, `none or trace`."""
    if op == "<=":
        return f"{threshold}{unit} or less"
    if op == ">=":
        return f"{threshold}{unit} or more"
    if op in ("<", ">"):
        return f"{'less' if op == '<' else 'more'} than {threshold}{unit}"
    named = [str(one).replace("_", " ") for one in (threshold if isinstance(threshold, list) else [threshold])]
    listed = " or ".join(part for part in (", ".join(named[:-1]), named[-1]) if part)
    return f"anything but {listed}" if op == "not in" else listed


@lru_cache(maxsize=4096)
def unknown_sentence(fact: str, why: str) -> str:
    """Why a fact is not known. A reason that is a sentence of its own begins with a capital; the others complete what is asked for."""
    return why if why[:1].isupper() else f"{capital(CATALOGUE[fact].ask)} {why}"

"""Faults of form: where, what was expected, what was found, what to do."""

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one event.

    `path` is as in `data.pain_nrs`, `data.flags[0]`, `time`; empty when the whole is not an object. `expected`, `found` and `do`
    are short phrases for a person; `found` repeats at most 60 characters of what was sent.
    """

    path: str
    expected: str
    found: str
    do: str

    def sentence(self) -> str:
        """`expected …, found …; do`, in one line without the path."""
        return f"expected {self.expected}, found {self.found}; {self.do}"

    def as_dict(self) -> dict[str, str]:
        """The fault as it stands in an answer over HTTP."""
        return {"path": self.path, "expected": self.expected, "found": self.found, "do": self.do}


class EventFault(ValueError):
    """An event whose form is at fault; `faults` holds every fault that was found, at least one."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("; ".join(f"{fault.path}: {fault.sentence()}" for fault in self.faults))


def found(value: object) -> str:
    """What was sent, in JSON's words and cut to 60 characters.

    >>> found(None), found("7"), found([1, 2]), found(True)
    ('null', 'the text "7"', 'a list of 2', 'true')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = json.dumps(value)
        return f"the text {text}" if len(text) <= 60 else f"a text of {len(value)} characters"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 180 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return f"an object with {len(value)} fields" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"

"""The table: rows of words into lines of a given width, the same on a terminal and in a pipe; colour only repeats what words say. Pure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import zip_longest
from typing import Any, Final

from rich.text import Text

Decision = Mapping[str, Any]

GAP: Final = "  "
DATE_WIDTH: Final = 10
TOLD_WIDTH: Final = 16
LEAST_WIDTH: Final = 60
MOST_WIDTH: Final = 120
HEADINGS: Final = ("date", "what came in", "decision", "webhook")
STYLES: Final = {"advance": "bold green", "hold": "bold yellow", "regress": "bold red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One scene as it went: when, what came in, what was decided, what the receiver was told."""

    when: datetime
    came: str
    decision: Decision
    told: str


def heading(width: int) -> Iterator[Text]:
    """The names of the columns, underlined."""
    for cells in (HEADINGS, tuple("-" * len(name) for name in HEADINGS)):
        yield from _lines([[cell] for cell in cells], _widths(width), ["dim"] * 4)


def lines(row: Row, width: int) -> Iterator[Text]:
    """The row in as many lines as it needs, none longer than `width` (60 to 120)."""
    widths = _widths(width)
    headline, why = verdict(row.decision), reason(row.decision)
    decision = [*_wrapped(headline, widths[2]), *_wrapped(why, widths[2])]
    cells = [[day(row.when)], _wrapped(row.came, widths[1]), decision, _wrapped(row.told, widths[3])]
    yield from _lines(cells, widths, ["", "", "", "dim"], {2: (len(_wrapped(headline, widths[2])), STYLES[row.decision["action"]])})


def verdict(decision: Decision) -> str:
    """Action, steps and the first date in words.

    >>> verdict({"action": "regress", "from_step": "W4", "to_step": "W3", "not_before": "2026-03-07", "urgency": "review"})
    'REGRESS W4 -> W3, not before 7 Mar, for review'
    """
    steps = f"at {decision['from_step']}" if decision["action"] == "hold" else f"{decision['from_step']} -> {decision['to_step']}"
    parts = [f"{decision['action'].upper()} {steps}"]
    if decision["not_before"]:
        parts.append(f"not before {_short(date.fromisoformat(decision['not_before']))}")
    if decision["urgency"] != "routine":
        parts.append({"review": "for review", "stop_and_refer": "stop and refer"}[decision["urgency"]])
    return ", ".join(parts)


def reason(decision: Decision) -> str:
    """Why, in the decision's own words without what the headline says; what is missing, shortened; for an advance, what rises."""
    if decision["action"] == "advance":
        return raised(decision) or "every condition is met"
    why = str(decision["summary"].partition(": ")[2]).rstrip(".")
    if not why.startswith("needed: "):
        return why
    first, further = decision["missing"][0].partition(": ")[0], len(decision["missing"]) - 1
    return f"not known yet: {first}" + (f", and {further} more" if further else "")


def raised(decision: Decision) -> str:
    """What a step asks more of, old and new.

    >>> raised({"axes": ["duration"], "change": {"run_min": [6, 12], "rpe_max": [4, 4]}})
    'more duration: running 6 -> 12 min'
    """
    named = {name: pair for name, pair in decision["change"].items() if name in _CHANGES and pair[0] != pair[1]}
    changed = [_CHANGES[name].format(*named[name]) for name in _CHANGES if name in named]
    axes = " and ".join(decision["axes"])
    return ": ".join(part for part in (f"more {axes}" if axes else "", ", ".join(changed)) if part)


_CHANGES: Final = {
    "run_min": "running {} -> {} min",
    "distance_m": "distance {} -> {} m",
    "bout_min": "bouts {} -> {} min",
    "rpe_max": "exertion cap {} -> {}",
    "sessions_per_week": "sessions a week {} -> {}",
    "terrain": "terrain {} -> {}",
}


def day(when: datetime) -> str:
    """Weekday, day and month.

    >>> day(datetime(2026, 3, 7))
    'Sat  7 Mar'
    """
    return f"{when:%a} {when.day:2} {when:%b}"


def paragraph(text: str, width: int, first: str = "", further: str | None = None) -> list[str]:
    """Text in lines of at most `width`, the first one behind `first`, the others behind `further` (default: as much space)."""
    behind = " " * len(first) if further is None else further
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=behind, break_on_hyphens=False) or [first.rstrip()]


def fitting(width: int) -> int:
    """The width to write in, of what there is."""
    return max(LEAST_WIDTH, min(MOST_WIDTH, width))


def _short(when: date) -> str:
    return f"{when.day} {when:%b}"


def _widths(width: int) -> tuple[int, int, int, int]:
    left = fitting(width) - DATE_WIDTH - TOLD_WIDTH - 3 * len(GAP)
    came = left * 2 // 5
    return DATE_WIDTH, came, left - came, TOLD_WIDTH


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _lines(
    cells: Sequence[Sequence[str]],
    widths: Sequence[int],
    styles: Sequence[str],
    heads: Mapping[int, tuple[int, str]] | None = None,
) -> Iterator[Text]:
    """`heads`: for a column, how many of its first lines have which style."""
    for number, parts in enumerate(zip_longest(*cells, fillvalue="")):
        line = Text()
        for column, (part, width, style) in enumerate(zip(parts, widths, styles, strict=True)):
            first, head = (heads or {}).get(column, (0, ""))
            line.append(part.ljust(width), head if number < first else style)
            line.append(GAP)
        line.rstrip()
        yield line

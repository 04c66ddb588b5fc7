"""Figures, and how they are shown: a table for people, the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the report. `rate` is per second, in `unit`s; `target` is a rate to reach, or with `ms` a p99 to stay below."""

    name: str
    unit: str
    rate: float | None = None
    ms: dict[str, float] = field(default_factory=dict)
    floor: float | None = None
    """The same on the bare server, in the same run."""
    target: float | None = None
    note: str = ""

    @property
    def reached(self) -> float | None:
        """How much of the target was reached: 1 or more is good."""
        if self.target is None:
            return None
        if self.rate is not None:
            return self.rate / self.target
        return self.target / self.ms["p99"]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the greatest.

    >>> quantiles(range(1, 101))
    {'p50': 50, 'p95': 95, 'p99': 99, 'max': 100}
    """
    ordered = sorted(values)
    found = {f"p{share}": ordered[max(0, -(-len(ordered) * share // 100) - 1)] for share in (50, 95, 99)}
    return found | {"max": ordered[-1]}


def table(title: str, figures: Sequence[Figure]) -> Table:
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    shown.add_column("what")
    for name in ("per s", "p50 ms", "p95 ms", "p99 ms", "floor per s", "of floor", "target", "reached"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    for one in figures:
        of_floor = f"{one.rate / one.floor:.2f}" if one.rate and one.floor else ""
        reached = one.reached
        shown.add_row(
            f"{one.name}",
            _number(one.rate) + (f" {one.unit}" if one.rate is not None else ""),
            *(_number(one.ms.get(name)) for name in ("p50", "p95", "p99")),
            _number(one.floor),
            of_floor,
            "" if one.target is None else (f"≥ {one.target:g}" if one.rate is not None else f"p99 < {one.target:g} ms"),
            "" if reached is None else f"[{'green' if reached >= 1 else 'red'}]{reached:.2f}[/]",
            one.note,
        )
    return shown


def as_json(sections: dict[str, list[Figure]]) -> dict[str, list[dict[str, Any]]]:
    return {title: [asdict(one) | {"reached": one.reached} for one in figures] for title, figures in sections.items()}


def console() -> Console:
    found = Console()
    return found if found.is_terminal else Console(width=170)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.01 else f"{value:.4f}"

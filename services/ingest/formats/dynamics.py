"""Running dynamics of a recording: which field of which device means what, in which unit, averaged while running.

Units differ inside one file: a watch writes vertical oscillation in millimetres, a foot pod's developer field in centimetres. Developer
fields are found by name, never by number; their unit is the one the app states.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from services.ingest.formats.fit_messages import DeveloperValue, Message, Messages

# Shorter than this, a third of the running says nothing of drift.
SHORTEST_THIRD_S: Final = 60.0

# Our field, and what one of the app's units is in ours.
_BY_NAME: Final[Mapping[str, tuple[str, Mapping[str, float]]]] = {
    "ground time": ("ground_contact_ms", {"ms": 1, "milliseconds": 1}),
    "ground contact time": ("ground_contact_ms", {"ms": 1, "milliseconds": 1}),
    "contact time": ("ground_contact_ms", {"ms": 1, "milliseconds": 1}),
    "vertical oscillation": ("vertical_oscillation_mm", {"cm": 10, "centimeters": 10, "mm": 1, "millimeters": 1}),
    "leg spring stiffness": ("leg_stiffness_kn_per_m", {"kn/m": 1}),
    "impact loading rate": ("loading_rate_bw_per_s", {"bw/s": 1, "bodyweight/s": 1}),
    "step length": ("step_length_mm", {"mm": 1, "millimeters": 1, "cm": 10, "centimeters": 10, "m": 1000}),
    "cadence": ("cadence_spm", {"spm": 1, "steps/min": 1, "rpm": 2, "strides/min": 2}),
    "power": ("power_w", {"w": 1, "watts": 1}),
    "shock": ("impact_g", {"g": 1}),
    "impact gs": ("impact_g", {"g": 1, "gs": 1}),
    "pronation excursion": ("pronation_deg", {"deg": 1, "degrees": 1}),
}
# Names that only Stryd writes; its fields then have these units where it states none.
_STRYD: Final = frozenset({"leg spring stiffness", "form power", "air power"})
_STRYD_UNITS: Final = {"ground time": "ms", "vertical oscillation": "cm", "leg spring stiffness": "kn/m", "power": "w"}

_NATIVE: Final[Mapping[str, str]] = {
    "vertical_oscillation": "vertical_oscillation_mm",
    "stance_time": "ground_contact_ms",
    "step_length": "step_length_mm",
    "power": "power_w",
}


@dataclass(slots=True)
class Source:
    """One device's view: values by field, one list entry (or None) for each record."""

    part: str
    device: dict[str, str]
    values: dict[str, list[float | None]] = field(default_factory=dict)

    def put(self, name: str, index: int, count: int, value: float) -> None:
        self.values.setdefault(name, [None] * count)[index] = value


def cadence_spm(message: Mapping[str, Any], prefix: str = "") -> float | None:
    """Steps per minute of both feet: FIT counts strides, with the fraction in a field of its own."""
    strides = message.get(f"{prefix}cadence", message.get(f"{prefix}running_cadence"))
    fraction = message.get(f"{prefix}fractional_cadence") or 0
    return 2 * (strides + fraction) if isinstance(strides, int | float) else None


def sources(messages: Messages, records: Sequence[Message], device: dict[str, str]) -> tuple[list[Source], list[str]]:
    """What the watch and each developer's app measured, and notes on what was left out."""
    native = Source("native", device | {"origin": "native"})
    apps: dict[int, Source] = {}
    left_out: dict[str, None] = {}
    count = len(records)
    stryd = {item.app for record in records for item in record.get("developer", ()) if item.name.lower() in _STRYD}
    for index, record in enumerate(records):
        for name, ours in _NATIVE.items():
            if _positive(value := record.get(name)):
                native.put(ours, index, count, value)
        if _positive(steps := cadence_spm(record)):
            native.put("cadence_spm", index, count, steps)
        if _positive(speed := record.get("enhanced_speed", record.get("speed"))):
            native.put("speed_m_per_s", index, count, speed)
        if record.get("stance_time_balance") is not None:
            left_out["the balance of ground contact is left out: the file does not say which side it counts"] = None
        for item in record.get("developer", ()):
            found = _in_our_unit(item, item.app in stryd)
            if found is None:
                if item.name.lower() in _BY_NAME:
                    left_out[f"developer field {item.name!r} is left out: its unit {item.unit!r} is not known"] = None
                continue
            source = apps.get(item.app)
            if source is None:
                source = apps[item.app] = Source(f"app-{item.app}", _app(messages, item.app, stryd))
            source.put(found[0], index, count, found[1])
    # Speed alone is no running dynamics; it is there to compare the others at matched speed.
    return [source for source in (native, *apps.values()) if source.values.keys() - {"speed_m_per_s"}], list(left_out)


def summary_averages(summary: Message) -> dict[str, float]:
    """What the watch itself averaged over the whole session, in our units."""
    means = {ours: summary.get(f"avg_{name}") for name, ours in _NATIVE.items()}
    means["cadence_spm"] = cadence_spm(summary, "avg_")
    means["speed_m_per_s"] = summary.get("enhanced_avg_speed", summary.get("avg_speed"))
    return {name: round(value, _digits(name)) for name, value in means.items() if _positive(value)}


def segments(running: Sequence[bool], seconds: Sequence[float]) -> Iterator[tuple[str, list[int]]]:
    """The records of the whole running, and of its first and last third where a third is long enough, as indices."""
    indices = [index for index, runs in enumerate(running) if runs]
    total = sum(seconds[index] for index in indices)
    yield "whole", indices
    if total / 3 < SHORTEST_THIRD_S:
        return
    first, last, passed = [], [], 0.0
    for index in indices:
        if passed < total / 3:
            first.append(index)
        elif passed >= total * 2 / 3:
            last.append(index)
        passed += seconds[index]
    yield "first_third", first
    yield "last_third", last


def averages(source: Source, indices: Sequence[int], seconds: Sequence[float]) -> dict[str, float]:
    """Means over the records, each weighted by the time it stands for, and how much of that time carries what this source measures."""
    total = sum(seconds[index] for index in indices)
    means: dict[str, float] = {}
    covered = 0.0
    for name, values in source.values.items():
        known = [(values[index], seconds[index]) for index in indices if values[index] is not None]
        weight = sum(lasted for _, lasted in known)
        if weight > 0:
            means[name] = round(sum(value * lasted for value, lasted in known if value is not None) / weight, _digits(name))
            if name != "speed_m_per_s":
                covered = max(covered, weight)
    if means.keys() - {"speed_m_per_s"} and total > 0:
        return means | {"coverage_pct": round(min(100.0, 100 * covered / total), 1)}
    return {}


def _in_our_unit(item: DeveloperValue, stryd: bool) -> tuple[str, float] | None:
    name = item.name.lower()
    if name not in _BY_NAME or item.value <= 0:
        return None
    ours, units = _BY_NAME[name]
    unit = item.unit.lower() or (_STRYD_UNITS.get(name, "") if stryd else "")
    return (ours, item.value * units[unit]) if unit in units else None


def _app(messages: Messages, app: int, stryd: set[int]) -> dict[str, str]:
    stated = next((item for item in messages.of("developer_data_id") if (item.get("developer_data_index") or 0) == app), {})
    device = {"origin": "developer_field"}
    maker = stated.get("manufacturer_id")
    if app in stryd:
        device["maker"] = "stryd"
    elif isinstance(maker, str):
        device["maker"] = maker
    name = stated.get("application_id")
    if isinstance(name, list | tuple) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in name):
        device["model"] = f"app {bytes(name).hex()}"
    return device


def _digits(name: str) -> int:
    return 3 if name == "speed_m_per_s" else 2 if name.startswith(("leg_", "impact_")) else 1


def _positive(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and value > 0

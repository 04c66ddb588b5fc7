"""Words that all renderings share: dates, doses, and how sections become a text."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from services.decision.core.dosing import shown_dose
from services.decision.core.protocol import Protocol

Record = Mapping[str, Any]
Section = tuple[str, Sequence[str]]

_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_TERRAIN = {"flat": "on flat ground", "rolling": "gentle hills at most", "hills": "hills allowed"}


def day(text: str) -> str:
    """`Saturday 7 March 2026`, of an ISO date."""
    found = date.fromisoformat(text)
    return f"{_DAYS[found.weekday()]} {found.day} {_MONTHS[found.month - 1]} {found.year}"


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.3g} min"


def dose_lines(dose: Record | None, pack: Protocol | None, step: str, effort: str = "effort") -> list[str]:
    """A session of the step in words. The published wording stands where the dose is the step's own; else its numbers do."""
    if not dose:
        return []
    rung = pack.step(step) if pack is not None and step in pack.place else None
    own = rung is not None and shown_dose(rung.dose) == dict(dose)
    lines = [str(dose["note"])] if own and dose.get("note") else _numbers(dose)
    if not own and str(dose.get("note", "")).startswith("a lighter week"):
        lines.append(str(dose["note"]))
    if "sessions_per_week_max" in dose:
        most = dose["sessions_per_week_max"]
        lines.append(f"at most {most} session{'' if most == 1 else 's'} in any 7 days")
    if "rpe_max" in dose:
        lines.append(f"{effort} up to {dose['rpe_max']} of 10")
    if "speed_pct_max" in dose:
        lines.append(f"no faster than {dose['speed_pct_max']} % of top speed")
    lines.append(_TERRAIN.get(dose.get("terrain", "flat"), ""))
    return [line for line in lines if line]


def _numbers(dose: Record) -> list[str]:
    lines = []
    reps, bout = dose.get("reps"), dose.get("bout_s")
    if reps and bout:
        lines.append(f"{reps} times {minutes(bout)} of running")
    elif "run_s" in dose:
        lines.append(f"{minutes(dose['run_s'])} of running" + (f", at most {minutes(bout)} at a time" if bout else ""))
    elif "run_m" in dose:
        lines.append(f"{dose['run_m']} m of running")
    if "distance_m" in dose:
        lines.append(f"{dose['distance_m']} m in all")
    if dose.get("walk_s"):
        lines.append(f"{minutes(dose['walk_s'])} of walking" + ("" if "run_s" in dose else " between the runs"))
    return lines or ["as your clinician sets it"]


def place(step: str, pack: Protocol | None) -> str:
    """`step 3 of 20`, or the step's own name where the pack is not at hand."""
    if pack is None or step not in pack.place:
        return f"step {step}"
    rung = pack.place[step]
    if 0 <= rung < len(pack.ladder):
        return f"step {rung + 1} of {len(pack.ladder)}"
    return "the start" if rung < 0 else "the end of the programme"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def rendering(audience: str, summary: str, sections: Sequence[Section], **more: Any) -> dict[str, Any]:
    """The parts that every rendering has; sections without lines are left out."""
    full = [(heading, list(lines)) for heading, lines in sections if lines]
    paragraphs = [summary, *(f"{heading}\n" + "\n".join(f"- {line}" for line in lines) for heading, lines in full)]
    return {
        "audience": audience,
        "summary": summary,
        "sections": [{"heading": heading, "lines": lines} for heading, lines in full],
        "text": "\n\n".join(paragraphs) + "\n",
        **more,
    }

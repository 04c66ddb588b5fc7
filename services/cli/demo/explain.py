"""One decision in full, for people: every rule with what it found, where its number comes from, and how good that source is. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.cli.demo.table import paragraph, raised

Decision = Mapping[str, Any]

GRADES: Final = {
    "primary": "a published source",
    "secondary": "a secondary source",
    "expert_default": "EXPERT DEFAULT: no source supports the number",
}


ORDER: Final = ("refer", "regress", "hold", "advance", "not_met", "unknown")


def explained(decision: Decision, sources: Mapping[str, str], meanings: Mapping[str, str], width: int) -> Iterator[str]:
    """The decision in lines of at most `width`: what decided first. `sources` has the text of each citation, `meanings` of each fact."""
    yield from paragraph(decision["summary"], width)
    for reason in sorted(decision["reasons"], key=lambda one: (ORDER.index(one["outcome"]), one["rule"])):
        yield ""
        yield from paragraph(f"{reason['rule']} ({_outcome(reason['outcome'])}): {reason['text']}", width, "  ")
        for found in reason["evidence"]:
            yield from paragraph(_found(found, meanings.get(found["fact"], found["fact"])), width, "    found   ")
        for citation in reason["citation"]:
            yield from paragraph(sources.get(citation, citation), width, "    source  ")
        yield from paragraph(GRADES.get(reason["grade"], reason["grade"]), width, "    grade   ")
    yield ""
    what_next = [
        ("dose", dose_words(decision)),
        ("stop if", "; ".join(decision["stop_if"])),
        ("until answered", decision["meanwhile"]),
        ("contested", " ".join(decision["disagreement"])),
        ("decided by", f"{decision['protocol']['id']} {decision['protocol']['version']}, {decision['protocol']['hash'][:23]}…"),
        ("engines", f"{decision['engine']}, and durable_rules judged the same"),
        ("record", f"decision {decision['seq']} of the course, {decision['hash'][:23]}…"),
    ]
    for name, words in what_next:
        if words:
            yield from paragraph(words, width, f"  {name:16}")


def dose_words(decision: Decision) -> str:
    """What the next session is, in words."""
    dose = decision["dose"]
    per_week = dose.get("sessions_per_week_max")
    words = [str(dose["note"])] if "note" in dose else []
    if per_week is not None:
        words.append(f"at most {per_week} times a week")
    if "rpe_max" in dose:
        words.append(f"exertion at most {dose['rpe_max']} of 10")
    return ", ".join(words) or raised(decision)


def _outcome(outcome: str) -> str:
    return {"not_met": "not met", "unknown": "cannot be judged"}.get(outcome, f"says {outcome}")


def _found(found: Mapping[str, Any], meaning: str) -> str:
    threshold = found["threshold"]
    wanted = ", ".join(map(str, threshold)) if isinstance(threshold, list) else _word(threshold)
    asked = f"{found['op']} {wanted}".removeprefix("= ")
    if found["verdict"] == "unknown":
        return f"{meaning}: not known ({found.get('why', 'not reported')}), asked {asked}"
    unit = f" {found['unit']}" if found["unit"] not in ("", "nrs", "rpe") else ""
    return f"{meaning}: {_word(found['value'])}{unit}, asked {asked}: {found['verdict'].replace('_', ' ')}"


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

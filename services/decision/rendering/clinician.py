"""For a clinician: the decision with everything behind it, in sentences to read aloud."""

from collections.abc import Mapping
from typing import Any

from services.decision.core.explanation import told_reports
from services.decision.core.facts.words import capital
from services.decision.core.protocol import Protocol
from services.decision.core.summary import REFERRED_TO, fitted
from services.decision.rendering.words import Record, Section, day, dose_lines, rendering, sentence

GRADES = {
    "primary": "from the source itself",
    "secondary": "as another source reports it",
}
_RUNNING = {
    "as_dosed": "Running as dosed.",
    "repeat": "Repeat the step.",
    "walk_only": "Walking only, no running.",
    "withheld": "No running.",
}
_DECIDED = ("refer", "regress", "hold", "advance")


def for_clinician(record: Record, pack: Protocol | None, explanation: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record's summary, then why, what stands in the way, what is not known, what would advance, and what comes next."""
    wanted = None if explanation is None else explanation["would_advance_if"]
    helps = [] if explanation is None else explanation["measure_next"]
    sections: list[Section] = [
        ("Urgent", _referral(record)),
        ("Why", [_reason(reason, pack) for kind in _DECIDED for reason in record["reasons"] if reason["outcome"] == kind]),
        ("What stands in the way", _ways(record)),
        ("What is not known", [sentence(lack) for lack in record["missing"]]),
        ("What would change it", [wanted["text"]] if wanted else []),
        ("What to measure next", [told_reports(helps), *(_help(one) for one in helps)] if helps else []),
        ("Next session", _next(record, pack)),
        ("Stop the session when", [sentence(rule) for rule in record["stop_if"]]),
        ("Running resumes when", [sentence(end) for end in record["resume_when"]]),
        ("Until answered", [record["meanwhile"]] if record["answer"] is None else []),
        ("Answered", [_answer(record["answer"])] if record["answer"] is not None else []),
        ("Sources that say otherwise", [sentence(one) for one in record["disagreement"]]),
        ("Protocol", [f"{record['protocol']['id']}, version {record['protocol']['version']}."]),
    ]
    return rendering("clinician", fitted(record["summary"]), sections)


def _referral(record: Record) -> list[str]:
    if record["urgency"] == "routine":
        return []
    if record["urgency"] == "review":
        return ["A clinician has to review this."]
    referral = record["referral"]
    if referral is None:
        return ["Refer; no running until the review is recorded."]
    hours = "1 hour" if referral["within_h"] == 1 else f"{referral['within_h']} hours"
    to = REFERRED_TO.get(referral["to"], referral["to"].replace("_", " "))
    return [f"Refer to {to} within {hours}; no running until the review is recorded."]


def _reason(reason: Record, pack: Protocol | None) -> str:
    """The rule's words with its sources; a default of this project is named as one and not as a source."""
    cited = [cite for cite in reason["citation"] if pack is None or pack.grades.get(cite) != "expert_default"]
    sources = "; ".join(pack.sources.get(cite, cite) if pack is not None else cite for cite in cited)
    if reason["grade"] == "expert_default":
        backed = f"Expert default, beside {sources}" if sources else "Expert default; no source supports the number"
    else:
        backed = f"{GRADES.get(reason['grade'], reason['grade'])}: {sources}"
    return f"{sentence(reason['text'])} ({sentence(backed)})"


def _ways(record: Record) -> list[str]:
    """What stands in the way beside the rules that were told as reasons."""
    told = [reason["text"] for reason in record["reasons"] if reason["outcome"] in _DECIDED]
    return [sentence(way) for way in record["blocking"] if way not in told]


def _help(one: Record) -> str:
    saves = one["saves"]
    said = "it would settle a rule"
    if one["enough"]:
        said = "it alone would be enough"
    elif saves:
        said = f"it would meet {saves} condition{'' if saves == 1 else 's'}"
    worst = {"regress": "; at worst it leads back", "refer": "; at worst it refers"}.get(one["at_worst"], "")
    return f"{one['text']}, from the {one['by']}: if good, {said}{worst}."


def _next(record: Record, pack: Protocol | None) -> list[str]:
    lines = [_RUNNING[record["running"]]]
    if record["running"] in ("as_dosed", "repeat"):
        lines += [sentence(line) for line in dose_lines(record["dose"], pack, record["to_step"], "RPE")]
    for name, words in (("not_before", "Not before"), ("eligible_from", "A step may be gained from"), ("valid_until", "Holds until")):
        if record[name] is not None:
            lines.append(f"{words} {day(record[name])}.")
    return lines + [sentence(f"due: {due}") for due in record["report_due"]]


def _answer(answer: Any) -> str:
    return f"{capital(answer['state'])} by {answer['by']} at {answer['at']}." if isinstance(answer, Mapping) else sentence(str(answer))

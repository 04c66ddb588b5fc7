"""Plain words: the one-sentence summary, what to do meanwhile, what is to be reported next."""

from collections.abc import Sequence
from datetime import time, timedelta

from services.decision.core.course import Course
from services.decision.core.days import start_of, zone
from services.decision.core.explain import Record
from services.decision.core.verdict import Verdict

LIMIT = 140
MORNING_REPORT_UNTIL = time(14)


def summary(verdict: Verdict, told: Sequence[Record], blocking: Sequence[str], missing: Sequence[str]) -> str:
    """One sentence of at most 140 characters."""
    standing = verdict.standing
    when = "" if standing.not_before is None else f" from {standing.not_before.isoformat()}"
    deciding = [reason for reason in told if reason["outcome"] in ("refer", "regress", "hold")]
    why = next((reason["text"] for kind in ("refer", "regress", "hold") for reason in deciding if reason["outcome"] == kind), "")
    if standing.urgency == "stop_and_refer":
        text = f"Stop running and refer: {why or 'a red flag is open'}"
    elif standing.action == "advance":
        axes = verdict.view.course.protocol.step(standing.to_step)
        raised = f" ({' and '.join(axes.raises)})" if axes is not None and axes.raises else ""
        text = f"Advance from {standing.from_step} to {standing.to_step}{raised}{when}"
    elif standing.action == "regress":
        text = f"Go back from {standing.from_step} to {standing.to_step}{when}: {why}"
    else:
        said = why or (f"needed: {missing[0]}" if missing else "") or (blocking[0] if blocking else "nothing to judge yet")
        text = f"Hold at {standing.from_step}: {said}"
    text = text.rstrip(".")
    return f"{text}." if len(text) < LIMIT else f"{text[: LIMIT - 2].rstrip()}…"


def meanwhile(verdict: Verdict) -> str:
    """What to do until a clinician has answered."""
    standing = verdict.standing
    when = "" if standing.not_before is None else f", not before {standing.not_before.isoformat()}"
    if standing.running == "withheld":
        return "Do not run."
    if standing.running == "walk_only":
        return "Walk only; no running."
    if standing.action == "advance":
        return f"Repeat {standing.from_step}{when}." if standing.from_step != "entry" else "Walk only until answered."
    return f"Stay at {standing.to_step}{when}."


def resume_when(verdict: Verdict) -> list[str]:
    """What ends a stop."""
    if verdict.standing.running not in ("withheld", "walk_only"):
        return []
    met = [rule for rule, tri in verdict.scoped if tri.word == "met" and rule.kind != "advance"]
    return sorted(dict.fromkeys(text for rule in met for text in rule.then.resume_when))


def due_reports(course: Course) -> list[tuple[str, str, str]]:
    """Reports that the last session still waits for: (what, local time by when, the instant in UTC)."""
    if not course.sessions or course.status != "open":
        return []
    session = course.sessions[-1]
    have = {report.when: None for report in session.reports}
    due: list[tuple[str, str, str]] = []
    if "next_morning" not in have and "next_day" not in have:
        by = start_of(session.day + timedelta(days=1), course.zone, MORNING_REPORT_UNTIL)
        if course.as_of < by:
            local = by.astimezone(zone(course.zone)).isoformat()
            due.append(("next_morning", local, by.isoformat().replace("+00:00", "Z")))
    return due

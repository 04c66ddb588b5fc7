"""Plain words: the one-sentence summary, what to do meanwhile, what is to be reported next."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from services.decision.core.course import Course
from services.decision.core.days import start_of, zone
from services.decision.core.facts.words import flag_word, small
from services.decision.core.flags import REFERRALS, Referral
from services.decision.core.telling import Told
from services.decision.core.verdict import Verdict
from shared.events.canonical import canonical_text

LIMIT = 140
MORNING_REPORT_UNTIL = time(14)
PROTECTIVE = ("refer", "regress", "hold")
REFERRED_TO = {
    "emergency": "emergency care",
    "physician": "a physician",
    "imaging": "a physician for imaging",
    "pelvic_health": "a pelvic health clinician",
}


def summary(verdict: Verdict, told: Sequence[Told], blocking: Sequence[str], missing: Sequence[str], referral: Referral | None) -> str:
    """One sentence of at most 140 characters."""
    standing = verdict.standing
    protecting = [one for one in told if one.way is not None]
    why = next((one.way or "" for kind in PROTECTIVE for one in protecting if one.outcome == kind), "") if protecting else ""
    if standing.urgency == "stop_and_refer":
        return fitted(_referred(verdict, referral, why))
    if standing.action == "advance":
        rung = verdict.view.course.protocol.step(standing.to_step)
        raised = f" ({' and '.join(rung.raises)})" if rung is not None and rung.raises else ""
        return fitted(f"Advance from {standing.from_step} to {standing.to_step}{raised}{not_before(verdict)}")
    if standing.action == "regress":
        return fitted(f"Go back from {standing.from_step} to {standing.to_step}{not_before(verdict)}: {small(why)}")
    if why:
        return fitted(f"Hold at {standing.from_step}: {small(why)}")
    reason = small((missing or blocking or ("nothing to judge yet",))[0])
    more = len(missing) - 1
    others = "" if more < 1 else f"; {more} more {'is' if more == 1 else 'are'} missing"
    return fitted(f"Hold at {standing.from_step}: {reason}", others)


def not_before(verdict: Verdict) -> str:
    """The earliest date of the next session, behind what is to be done then."""
    first = verdict.standing.not_before
    return "" if first is None else f", not before {first.isoformat()}"


def _referred(verdict: Verdict, referral: Referral | None, why: str) -> str:
    if referral is None:
        return f"Stop running and refer: {small(why)}"
    course = verdict.view.course
    open_flags = list(dict.fromkeys(flag.flag for flag in course.flags))
    flags = [flag_word(flag) for flag in open_flags if flag in REFERRALS]
    to = REFERRED_TO.get(referral.to, referral.to.replace("_", " "))
    if not flags:
        texts = [rule.text for rule in course.protocol.rules if rule.id in open_flags]
        told = small(texts[0]) if texts else "a rule referred, and no clinician has recorded the review"
        return f"Stop running and refer to {to} within {referral.within_h} h: {told}"
    others = f" and {len(open_flags) - 1} more" if len(open_flags) > 1 else ""
    return f"Stop running and refer to {to} within {referral.within_h} h: {flags[0]}{others} reported"


def fitted(text: str, ending: str = "") -> str:
    """The sentence with its full stop in 140 characters; the ending goes first, then whole words of the text."""
    text = text.rstrip(".")
    if len(text) + len(ending) < LIMIT:
        return f"{text}{ending}."
    if len(text) < LIMIT:
        return f"{text}."
    return f"{text[: LIMIT - 1].rsplit(' ', 1)[0].rstrip(',;:')}…"


def meanwhile(verdict: Verdict) -> str:
    """What to do until a clinician has answered."""
    standing = verdict.standing
    if standing.running == "withheld":
        return "Do not run."
    if standing.running == "walk_only":
        return "Walk only; no running."
    if standing.action == "advance":
        return f"Repeat {standing.from_step}{not_before(verdict)}." if standing.from_step != "entry" else "Walk only until answered."
    return f"Stay at {standing.to_step}{not_before(verdict)}."


def resume_when(verdict: Verdict) -> list[str]:
    """What ends a stop."""
    if verdict.standing.running not in ("withheld", "walk_only"):
        return []
    return sorted(dict.fromkeys(text for rule in verdict.settled.met for text in rule.then.resume_when))


class Due(NamedTuple):
    """A report that the last session still waits for."""

    at: datetime
    """Until when."""
    encoded: bytes
    """As a record lists it."""


def due_report(course: Course) -> Due | None:
    """What is to be reported next."""
    if not course.sessions or course.status != "open":
        return None
    session = course.sessions[-1]
    for report in session.reports:
        if report.when in ("next_morning", "next_day"):
            return None
    due = _morning_after(session.day, course.zone)
    return due if course.as_of < due.at else None


@lru_cache(maxsize=4096)
def _morning_after(day: date, zone_name: str) -> Due:
    by = start_of(day + timedelta(days=1), zone_name, MORNING_REPORT_UNTIL)
    return Due(by, canonical_text([f"next morning report by {by.astimezone(zone(zone_name)).isoformat()}"]))

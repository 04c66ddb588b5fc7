"""What the reports of a session say against the level before it, and what the session itself says.

Every answer is a `Fact`. Where a word and a number disagree, or several reports speak of one moment, the worse counts.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from services.decision.core.sessions import SWELLING, Before, Fact, Report, Session, seconds
from services.decision.core.trivalent import Unknown

NOT_REPORTED: Final = Fact(Unknown("was not reported"))
_DAY: Final = timedelta(hours=24)


def compared(word: str | None, found: float | None, before: float | None) -> bool | None:
    """Whether the word or the number says higher than before; None where neither speaks. A number of 0 is higher than nothing."""
    if word == "higher":
        return True
    if found is None or (before is None and found != 0):
        return None if word is None else False
    return found != 0 and found > before  # type: ignore[operator]


def worse_of(word: str | None, number: bool | None) -> bool | None:
    """True when either says higher; False when one denies it and none affirms; None when neither speaks."""
    said = None if word is None else word == "higher"
    if said or number:
        return True
    return None if said is None and number is None else False


def pain_higher(report: Report, before: Before) -> bool | None:
    data = report.data
    return compared(data.get("pain_change"), data.get("pain_nrs"), before.pain)


def swelling_higher(report: Report, before: Before) -> bool | None:
    data = report.data
    grade = data.get("swelling")
    return compared(data.get("swelling_change"), None if grade is None else SWELLING.index(grade), before.swelling)


def stiffness_higher(report: Report, before: Before) -> bool | None:
    data = report.data
    return compared(data.get("stiffness_change"), data.get("stiffness_min"), before.stiffness)


Higher = Callable[[Report, Before], bool | None]


def worst_pain(session: Session, needed: str, *also: str) -> Fact:
    """The highest pain of the reports `needed` or `also`; unknown unless one `needed` gave a number."""
    known = [report for report in session.told(needed, *also) if "pain_nrs" in report.data]
    if not known:
        return NOT_REPORTED
    keys = tuple([report.key for report in known])
    if needed not in [report.when for report in known]:
        return Fact(NOT_REPORTED.value, keys)
    return Fact(max([report.data["pain_nrs"] for report in known]), keys, known[-1].time)


def rose(session: Session, higher: Higher, *whens: str) -> Fact:
    """True when any of these reports says higher; False when each moment was reported and none says so."""
    reports = session.told(*whens)
    if not reports:
        return NOT_REPORTED
    before = session.before
    said = [(report, answer) for report in reports if (answer := higher(report, before)) is not None]
    keys = tuple([report.key for report, _ in said])
    if True in [answer for _, answer in said]:
        return Fact(True, keys)
    denied = [report.when for report, _ in said]
    for when in whens:
        if when not in denied:
            told = any(report.when == when for report in reports)
            return Fact(Unknown("cannot be compared, for the level before is not known") if told else NOT_REPORTED.value, keys)
    return Fact(False, keys)


def settled_within(session: Session, minutes: int) -> Fact:
    """Back to the level before within so many minutes of the end. A clean `after` report shows it; an unsettled one denies it."""
    reports = session.told("after", "next_morning", "next_day")
    if not reports:
        return NOT_REPORTED
    keys = tuple([report.key for report in reports])
    before, late = session.before, session.end + seconds(60 * minutes)
    clean_by_then = False
    for report in reports:
        data = report.data
        raised, said = pain_higher(report, before), data.get("settled")
        if data.get("settled_min", 0) > minutes or ((raised or said is False) and report.time >= late):
            return Fact(False, keys)
        if "settled_min" in data or (raised is False and said is not False and report.when == "after"):
            clean_by_then = True
    return Fact(True if clean_by_then else NOT_REPORTED.value, keys)


def unsettled_after_a_day(session: Session, higher: Higher) -> Fact:
    """Still higher 24 h after the session. A morning that is back to the level before denies it; a raised morning alone leaves it open."""
    reports = session.told("next_morning", "next_day", "two_days_after", "after")
    if not reports:
        return NOT_REPORTED
    day_later, before, of_pain = session.end + _DAY, session.before, higher is pain_higher
    keys = tuple([report.key for report in reports])
    denied = False
    for report in reports:
        data, when, answer = report.data, report.when, higher(report, before)
        if (answer or (of_pain and data.get("settled") is False)) and (report.time >= day_later or when in ("next_day", "two_days_after")):
            return Fact(True, keys)
        if of_pain and data.get("settled_min", 0) > 1440:
            return Fact(True, keys)
        if answer is False and when != "after":
            denied = True
    return Fact(False if denied else NOT_REPORTED.value, keys)


def rise_next_morning(session: Session) -> Fact:
    """Pain next morning minus the level before, in NRS points."""
    mornings = session.told("next_morning")
    reports = [r for r in mornings if "pain_nrs" in r.data]
    keys = (*session.before.keys, *(report.key for report in mornings))
    if not reports:
        if rose(session, pain_higher, "next_morning").value is False:
            return Fact(0, keys)
        return Fact(Unknown("was not reported as a number"), keys)
    worst = max(report.data["pain_nrs"] for report in reports)
    if worst == 0 or session.before.pain is not None:
        return Fact(max(worst - (session.before.pain or 0), 0), keys)
    return Fact(Unknown("cannot be reckoned, for the level before is not known"), keys)


def masked(session: Session) -> Fact:
    """A report under an analgesic can hold or regress, it never supports an advance. Not asked is not masked."""
    keys = tuple([r.key for r in session.reports if r.data.get("analgesic", "none") != "none"])
    return Fact(bool(keys), keys)


def from_data(session: Session, field: str) -> Fact:
    value = session.data.get(field)
    return Fact(NOT_REPORTED.value, (session.key,)) if value is None else Fact(value, (session.key,))


def stopped_for_pain(session: Session) -> Fact:
    reason = session.data.get("stopped_for")
    if reason is None and session.prescribed.value is not True and session.data.get("completed") is not True:
        return Fact(NOT_REPORTED.value, (session.key,))
    return Fact(reason == "pain", (session.key,))


def rpe_over_step(session: Session) -> Fact:
    """Session RPE minus the step's cap: above zero is harder than prescribed."""
    rpe = session.data.get("rpe")
    if rpe is None:
        return Fact(NOT_REPORTED.value, (session.key,))
    return Fact(0 if session.rpe_cap is None else rpe - session.rpe_cap, (session.key,))

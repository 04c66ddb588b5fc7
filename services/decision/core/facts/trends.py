"""Facts of how symptoms go on: two days after a session, and from one week's mornings to the next's."""

from collections.abc import Sequence
from datetime import timedelta
from statistics import median

from services.decision.core import comparing as s
from services.decision.core.course import Course
from services.decision.core.facts.registry import View, fact, recent_session_fact
from services.decision.core.facts.symptoms import masked
from services.decision.core.sessions import Fact, Report, Session
from services.decision.core.trivalent import Unknown


@recent_session_fact(
    "session.pain_higher_two_days_after",
    "boolean",
    "",
    "true",
    "pain",
    "pain two days after the session is higher than before it",
    "pain two days after the session",
)
def _(session: Session) -> Fact:
    return s.rose(session, s.pain_higher, "two_days_after")


def week_on_week(course: Course, name: str) -> Fact:
    """The median of the mornings of the last seven dates less the median of the seven before, by the latest morning reported.

    Unknown without a morning in each week. A report under an analgesic counts where it makes the rise larger, never where it hides one.
    """
    mornings = [report for report in course.reports if report.when == "next_morning" and name in report.data]
    if not mornings:
        return Fact(Unknown("was not reported in the last 15 days"))
    since = mornings[-1].day - timedelta(days=6)
    this, last = [r for r in mornings if r.day >= since], [r for r in mornings if since - timedelta(days=7) <= r.day < since]
    keys = tuple(report.key for report in (*last, *this))
    medians = _medians(this, name), _medians(last, name)
    if not (medians[0] and medians[1]):
        return Fact(Unknown("was not reported without an analgesic in each of the last two weeks"), keys)
    return Fact(round(max(medians[0]) - min(medians[1]), 1), keys, mornings[-1].time)


def _medians(reports: Sequence[Report], name: str) -> tuple[float, ...]:
    """Of the reports without an analgesic, and of all of them; none where every one is masked."""
    plain = [report.data[name] for report in reports if not masked(report)]
    return (median(plain), median([report.data[name] for report in reports])) if plain else ()


@fact(
    "trend.morning_pain",
    "number",
    "nrs",
    "higher",
    "pain",
    "median next-morning pain of the last seven dates less that of the seven before, in points",
    "pain on the mornings after sessions",
    scale=10,
    low=-10,
)
def _(view: View) -> Fact:
    return week_on_week(view.course, "pain_nrs")


@fact(
    "trend.morning_stiffness",
    "number",
    "min",
    "higher",
    "stiffness",
    "median next-morning stiffness of the last seven dates less that of the seven before, in minutes",
    "stiffness on the mornings after sessions, in minutes,",
    scale=10,
    low=-1440,
    high=1440,
)
def _(view: View) -> Fact:
    return week_on_week(view.course, "stiffness_min")

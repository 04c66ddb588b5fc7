"""Facts of how the athlete is now: pain and swelling on the latest dates, pain elsewhere, sessions skipped for pain."""

from datetime import timedelta

from services.decision.core.days import later
from services.decision.core.facts.registry import View, fact
from services.decision.core.sessions import SWELLING, Fact, Report
from services.decision.core.trivalent import Unknown


def masked(report: Report) -> bool:
    return bool(report.data.get("analgesic", "none") != "none")


def current(reports: tuple[Report, ...], name: str) -> tuple[Report, ...]:
    """Reports that name the field, dated on the latest such local date or the date before it.

    A report under an analgesic can only add to them: it never makes an older one a thing of the past. Empty where there is no other.
    """
    found: list[Report] = []
    newest = since = None
    for report in reversed(reports):
        if since is not None and report.day < since:
            break
        if name in report.data:
            found.append(report)
            if newest is None and not masked(report):
                newest, since = report.day, later(report.day, -1)
    return () if newest is None else tuple(reversed(found))


@fact(
    "pain.now",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest pain at the injured place on the latest date it was reported and the date before",
    "pain at the injured place (0-10)",
    scale=10,
)
def _(view: View) -> Fact:
    reports = current(view.course.reports, "pain_nrs")
    if not reports:
        return Fact(Unknown("was not reported in the last 15 days"))
    return Fact(max([r.data["pain_nrs"] for r in reports]), tuple([r.key for r in reports]), reports[-1].time)


@fact(
    "swelling.now",
    "choice",
    "grade",
    "higher",
    "swelling",
    "highest swelling grade on the latest date it was reported and the date before",
    "the grade of swelling",
    choices=SWELLING,
    instrument="sweep test grade",
)
def _(view: View) -> Fact:
    reports = current(view.course.reports, "swelling")
    if not reports:
        return Fact(Unknown("was not reported in the last 15 days"))
    worst = max([SWELLING.index(r.data["swelling"]) for r in reports])
    return Fact(SWELLING[worst], tuple([r.key for r in reports]), reports[-1].time)


def _daily(view: View) -> list[Report]:
    """Daily pain reports of the seven dates that end with the latest of them; those under an analgesic end no seven dates."""
    reports = [r for r in view.course.reports if r.when == "daily" and "pain_nrs" in r.data]
    latest = max((r.day for r in reports if not masked(r)), default=None)
    return [] if latest is None else [r for r in reports if r.day >= latest - timedelta(days=6)]


@fact(
    "daily.dates_of_7",
    "number",
    "dates",
    "lower",
    "pain",
    "of the seven dates up to the latest daily report, those with one",
    "daily pain on each of 7 days",
    lacking="Daily pain was reported on {value} of the last 7 days; {needed} is needed",
)
def _(view: View) -> Fact:
    reports = [r for r in _daily(view) if not masked(r)]
    return Fact(len({r.day: r for r in reports}), tuple(r.key for r in reports), reports[-1].time if reports else None)


@fact(
    "daily.worst_of_7",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest daily pain of the seven dates up to the latest daily report",
    "daily pain (0-10)",
    scale=10,
)
def _(view: View) -> Fact:
    reports = _daily(view)
    if not reports:
        return Fact(Unknown("was not reported"))
    return Fact(max(r.data["pain_nrs"] for r in reports), tuple(r.key for r in reports), reports[-1].time)


@fact(
    "elsewhere.worst",
    "number",
    "nrs",
    "higher",
    "pain",
    "highest pain away from the injured place in the last seven dates",
    "pain elsewhere (0-10)",
    scale=10,
)
def _(view: View) -> Fact:
    reports = [r for r in view.course.elsewhere if r.day >= view.days_ago(6)]
    worst = max((r.data.get("pain_nrs", 0) for r in reports), default=0)
    return Fact(worst, tuple(r.key for r in reports))


@fact(
    "elsewhere.times",
    "number",
    "reports",
    "higher",
    "pain",
    "reports of pain away from the injured place in the last seven dates",
    "pain elsewhere",
)
def _(view: View) -> Fact:
    reports = [r for r in view.course.elsewhere if r.day >= view.days_ago(6) and r.data.get("pain_nrs", 0) > 0]
    return Fact(len(reports), tuple(r.key for r in reports))


@fact("skipped.for_pain", "boolean", "", "true", "pain", "a session was skipped for pain since the last run", "why sessions were skipped")
def _(view: View) -> Fact:
    keys = tuple(key for key, reason in view.course.skipped if reason == "pain")
    return Fact(bool(keys), keys)

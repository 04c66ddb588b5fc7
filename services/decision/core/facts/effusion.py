"""Facts of swelling as a clinician grades it, and of how it settles after it was 2+ or more."""

from datetime import date

from services.decision.core.facts.registry import View, fact
from services.decision.core.facts.symptoms import current
from services.decision.core.sessions import SWELLING, Fact, Report
from services.decision.core.trivalent import Unknown

_ONE, _TWO = SWELLING.index("1+"), SWELLING.index("2+")


def grade(report: Report) -> int:
    return SWELLING.index(report.data["swelling"])


@fact(
    "swelling.graded_by_clinician",
    "choice",
    "grade",
    "higher",
    "swelling",
    "highest swelling grade by a clinician on the latest date one was given and the date before",
    "swelling, graded by a clinician,",
    choices=SWELLING,
    instrument="sweep test grade",
)
def _(view: View) -> Fact:
    reports = current(tuple(r for r in view.course.reports if r.data.get("graded_by") == "clinician"), "swelling")
    if not reports:
        return Fact(Unknown("was not assessed in the last 15 days"))
    worst = max(reports, key=grade)
    return Fact(worst.data["swelling"], tuple(r.key for r in reports), reports[-1].time)


@fact(
    "swelling.first_1_after_2",
    "boolean",
    "",
    "true",
    "swelling",
    "swelling was 2+ or more within the last 15 days, and 1+ on the only date it was assessed since",
    "swelling grades",
    lacking="Swelling is 1+ at the first assessment after 2+",
)
def _(view: View) -> Fact:
    """By local date, the worst grade of each: a date is one assessment."""
    graded = [report for report in view.course.reports if "swelling" in report.data]
    if not graded:
        return Fact(Unknown("were not reported in the last 15 days"))
    worst: dict[date, int] = {}
    for report in graded:
        worst[report.day] = max(worst.get(report.day, 0), grade(report))
    days = sorted(worst)
    last = max((n for n, day in enumerate(days) if worst[day] >= _TWO), default=None)
    keys = tuple(report.key for report in graded)
    return Fact(last is not None and last == len(days) - 2 and worst[days[-1]] == _ONE, keys, graded[-1].time)

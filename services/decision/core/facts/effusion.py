"""Facts of swelling as a clinician grades it, and of how it settles after it was 2+ or more."""

from services.decision.core.facts.registry import View, fact
from services.decision.core.facts.symptoms import current, masked
from services.decision.core.sessions import SWELLING, Fact, Report
from services.decision.core.trivalent import Unknown

_ONE, _TWO = SWELLING.index("1+"), SWELLING.index("2+")
_AT_SESSION = ("before", "warm_up", "during", "after")


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
    "swelling was 2+ or more within the last 15 days, is 1+ now, and was assessed on no more than one session's date since",
    "swelling grades",
    lacking="Swelling is 1+ at the first assessment after 2+",
)
def _(view: View) -> Fact:
    """By local date, the worst grade of each. A clinician's grade assesses as a session does; a morning at home does not.

    A grade under an analgesic is no assessment, and makes no older one a thing of the past.
    """
    graded = [report for report in view.course.reports if "swelling" in report.data]
    if not graded:
        return Fact(Unknown("were not reported in the last 15 days"))
    keys = tuple(report.key for report in graded)
    last = max((report.day for report in graded if grade(report) >= _TWO), default=None)
    plain = [report for report in graded if not masked(report)] or graded
    now = max(grade(report) for report in graded if report.day >= plain[-1].day)
    since = [report for report in graded if last is not None and report.day > last]
    told = [report for report in since if not masked(report)]
    assessed = {report.day: None for report in told if report.when in _AT_SESSION or report.data.get("graded_by") == "clinician"}
    return Fact(bool(since) and now == _ONE and len(assessed) <= 1, keys, graded[-1].time)

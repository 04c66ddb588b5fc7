"""Facts of healing: for how many dates the injured place has been free of pain, and whether bone was injured before."""

from datetime import date
from typing import NamedTuple

from services.decision.core.course import KEEP_REPORT_DAYS, Course
from services.decision.core.days import Key
from services.decision.core.facts.registry import View, fact
from services.decision.core.facts.symptoms import masked
from services.decision.core.sessions import Fact, Report
from services.decision.core.trivalent import Unknown

NOT_REPORTED = Unknown(f"was not reported in the last {KEEP_REPORT_DAYS} days")


class PainFree(NamedTuple):
    """The dates with a report and no pain since the last pain; `hurt` when any of the reports kept has pain."""

    dates: int
    hurt: bool
    keys: tuple[Key, ...]
    latest: Report


def pain_free(course: Course) -> PainFree | None:
    """None where pain was not reported. A report under an analgesic can show pain, never freedom from it."""
    reports = [report for report in course.reports if "pain_nrs" in report.data]
    if not reports:
        return None
    last_pain = max((report.day for report in reports if report.data["pain_nrs"] > 0), default=date.min)
    free = [report for report in reports if report.day > last_pain and not masked(report)]
    keys = tuple(report.key for report in free) or (reports[-1].key,)
    dates = min(len(dict.fromkeys(report.day for report in free)), KEEP_REPORT_DAYS)
    return PainFree(dates, last_pain > date.min, keys, reports[-1])


@fact(
    "healing.pain_free_dates",
    "number",
    "dates",
    "lower",
    "pain",
    "dates of the last 15 days with a report and no pain at the injured place, counted since the last pain",
    "pain at the injured place (0-10)",
    high=KEEP_REPORT_DAYS,
    lacking="free of pain on {value} reported date{s} since the last pain; {needed} needed",
)
def _(view: View) -> Fact:
    found = pain_free(view.course)
    return Fact(NOT_REPORTED) if found is None else Fact(found.dates, found.keys, found.latest.time)


@fact(
    "healing.dates_since_pain",
    "number",
    "dates",
    "lower",
    "pain",
    "dates reported free of pain since the last pain at the injured place; 15 when no report of the last 15 days has pain",
    "pain at the injured place (0-10)",
    high=KEEP_REPORT_DAYS,
    lacking="free of pain on {value} reported date{s} since the last pain; {needed} needed",
)
def _(view: View) -> Fact:
    found = pain_free(view.course)
    if found is None:
        return Fact(NOT_REPORTED)
    return Fact(found.dates if found.hurt else KEEP_REPORT_DAYS, found.keys, found.latest.time)


@fact(
    "injury.bone_before",
    "boolean",
    "",
    "true",
    "population",
    "an earlier injury of bone is known",
    "earlier injuries, or that there were none,",
)
def _(view: View) -> Fact:
    earlier = view.course.started.get("prior_injuries")
    keys = (view.course.start_key,)
    if earlier is None:
        return Fact(Unknown("were not told"), keys)
    tissues = [one.get("tissue") if isinstance(one, dict) else None for one in earlier]
    if "bone" in tissues:
        return Fact(True, keys)
    return Fact(Unknown("were told without their tissue"), keys) if None in tissues else Fact(False, keys)

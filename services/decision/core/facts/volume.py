"""Facts of what was run where and how much: the week's minutes against the week before, and the first run outdoors."""

from datetime import date

from services.decision.core.days import later
from services.decision.core.facts.registry import View, fact
from services.decision.core.sessions import Fact, Session
from services.decision.core.trivalent import Unknown

OUTDOORS = ("track", "road", "grass", "trail", "turf")


def minutes(session: Session) -> float | None:
    """Walking and running together; None where neither the whole nor both parts were measured."""
    data = session.data
    if "duration_s" in data:
        return float(data["duration_s"]) / 60
    return (data["run_s"] + data["walk_s"]) / 60 if "run_s" in data and "walk_s" in data else None


def between(view: View, first: date, last: date) -> tuple[Session, ...]:
    return tuple([session for session in view.course.ran if first <= session.day <= last])


@fact(
    "load.week_pct",
    "number",
    "%",
    "higher",
    "load",
    "walking and running minutes of the last seven dates against the seven before them, from the fourteenth date of running on",
    "the minutes of every session of the last two weeks",
    lacking="Minutes of the last seven dates are {value} % of the week before",
)
def _(view: View) -> Fact:
    runs = view.course.ran
    if not runs or runs[0].day > view.days_ago(13):
        return Fact(Unknown("are not known before two weeks of running"))
    now, before = between(view, view.days_ago(6), view.today), between(view, view.days_ago(13), view.days_ago(7))
    keys = tuple(session.key for session in (*before, *now))
    told = [minutes(session) for session in (*before, *now)]
    if any(one is None for one in told):
        return Fact(Unknown("were not all measured"), keys)
    earlier = sum(one for one in told[: len(before)] if one is not None)
    if earlier == 0:
        return Fact(Unknown("are not known, for there was no run in the week before"), keys)
    return Fact(round(sum(one for one in told[len(before) :] if one is not None) * 100 / earlier), keys)


@fact(
    "surface.first_outdoors",
    "boolean",
    "",
    "true",
    "load",
    "the last session was the first outdoors after running on the treadmill",
    "the surface of the last sessions",
)
def _(view: View) -> Fact:
    """Sessions of the last 60 days that name their surface."""
    told = [session for session in view.course.ran if "surface" in session.data]
    last = view.course.last_ran
    if last is None or "surface" not in last.data:
        return Fact(Unknown("was not reported"))
    since = later(last.day, -60)
    earlier = [session for session in told if since <= session.day and session.key < last.key]
    outdoors = last.data["surface"] in OUTDOORS
    first = outdoors and bool(earlier) and all(session.data["surface"] not in OUTDOORS for session in earlier)
    return Fact(first, (*(session.key for session in earlier[-1:]), last.key))

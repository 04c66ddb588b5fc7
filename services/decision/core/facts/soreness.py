"""Facts of soreness at the injured area, moment by moment of a session: warm-up, run, the hour after, the day after.

Soreness of muscle is not soreness of the injured area. Pain there above its level before the session is: where words disagree, the worse
counts.
"""

from datetime import timedelta

from services.decision.core.comparing import pain_higher, rose, worse_of
from services.decision.core.facts.registry import session_fact
from services.decision.core.sessions import Before, Fact, Report, Session
from services.decision.core.trivalent import Unknown

_HOUR = timedelta(minutes=60)


def sore(report: Report, before: Before) -> bool | None:
    """The injured area was sore, or hurt more than before; None where neither soreness nor pain was told."""
    word = report.data.get("soreness")
    told = None if word is None else "higher" if word == "injured_area" else "same"
    return worse_of(told, pain_higher(report, before))


for _moment, _words in (("warm_up", "in the warm-up"), ("during", "during the run"), ("after", "after the session")):
    session_fact(
        f"session.sore_{'in_' if _moment == 'warm_up' else ''}{_moment}",
        "boolean",
        "",
        "true",
        "pain",
        f"the injured area was sore {_words}, or hurt more than before the session",
        f"soreness of the injured area {_words}",
        lacking=f"The injured area was sore {_words}",
    )(lambda session, when=_moment: rose(session, sore, when))  # type: ignore[misc]


@session_fact(
    "session.sore_an_hour_after",
    "boolean",
    "",
    "true",
    "pain",
    "the injured area was sore more than an hour after the session",
    "soreness of the injured area an hour after the session",
    lacking="The injured area was sore more than an hour after the session",
)
def _(session: Session) -> Fact:
    """An `after` report without soreness denies it, however early; one with soreness shows it only from an hour after the end on."""
    reports = session.told("after")
    keys = tuple(report.key for report in reports)
    denied = False
    for report in reports:
        felt, minutes = sore(report, session.before), report.data.get("settled_min")
        late = report.time >= session.end + _HOUR
        if (late and (felt or report.data.get("settled") is False)) or (minutes is not None and minutes > 60):
            return Fact(True, keys)
        denied = denied or felt is False or minutes is not None
    return Fact(False, keys) if denied else Fact(Unknown("was not reported"), keys)


@session_fact(
    "session.sore_next_day",
    "boolean",
    "",
    "true",
    "pain",
    "the injured area was sore the morning or the day after the session, or hurt more than before it",
    "soreness of the injured area the next morning",
    lacking="The injured area was sore the day after the session",
)
def _(session: Session) -> Fact:
    reports = session.told("next_morning", "next_day")
    said = [answer for report in reports if (answer := sore(report, session.before)) is not None]
    keys = tuple(report.key for report in reports)
    return Fact(any(said), keys) if said else Fact(Unknown("was not reported"), keys)

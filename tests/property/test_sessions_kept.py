"""What is kept of sessions and reports, so that it need not be found again, is what would be found anew."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from services.decision.core.athlete import Athlete
from services.decision.core.days import local_date
from services.decision.core.facts import registry
from services.decision.core.facts.registry import of_session
from services.decision.core.keeping import kept
from services.decision.core.line import Line
from services.decision.core.sessions import Before, Fact, Report, Session
from services.decision.core.trivalent import Tri
from shared.events import content_digest, parse
from tests.property.histories import PACKS, Raw, histories

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Day(NamedTuple):
    at: datetime
    day: date


def folded(raws: list[Raw]) -> Iterator[tuple[Line, Session]]:
    """Every session of every line after each event."""
    athlete = Athlete(PACKS)
    for raw in raws:
        athlete.receive(parse(raw, internal=True), content_digest(raw))
        for line in athlete._lines.values():
            for session in (*line.course.sessions, *line.course.others):
                yield line, session


@given(histories(most_sessions=5), st.randoms(use_true_random=False))
@MANY
def test_a_session_is_as_clean_as_when_it_is_judged_anew(raws: list[Raw], order) -> None:
    if order.random() < 0.3:
        order.shuffle(raws)
    for line, session in folded(raws):
        anew = line.judge.cleaned(session.but())
        assert anew.clean is session.clean
        assert line.judge.session_values(session) == line.judge.session_values(anew)
        for name, fact in session.memo.items():
            assert fact == of_session(name, anew)


AT = datetime(2026, 3, 2, 7, tzinfo=UTC)
KEY = (AT, "urn:test", "s1")


def bare() -> Session:
    said = Fact(True, (KEY,))
    return Session(KEY, "s1", AT, AT.date(), True, True, "W1", None, {}, said, (), False, False, said, Before(0, 0, 0, ()))


def reported(session: Session, when: str) -> Session:
    return session.reported(Report((AT, "urn:test", when), AT, AT.date(), when, {}))


def judged(session: Session) -> Session:
    anew = reported(session, "rest")
    anew.judged(Tri.MET)
    return anew


@pytest.mark.parametrize("known", [False, True], ids=["", "with another fact known"])
@pytest.mark.parametrize(
    ("finder", "change", "other"),
    [
        (lambda one: len(one.told("after")), lambda one: reported(one, "after"), lambda one: reported(one, "during")),
        (lambda one: len(one.reports), lambda one: reported(one, "after"), lambda one: one.measured(((KEY, {}),))),
        (lambda one: len(one.sensors), lambda one: one.measured(((KEY, {}),)), judged),
        (lambda one: one.clean is Tri.MET, judged, lambda one: reported(one, "after")),
        (lambda one: one.planned, lambda one: one.but(planned=False), lambda one: reported(one, "after")),
        (lambda one: of_session("inner", one).value, lambda one: reported(one, "night"), lambda one: reported(one, "after")),
        (lambda one: (len(one.told("rest")), of_session("inner", one))[0], lambda one: reported(one, "rest"), lambda one: one),
    ],
    ids=[
        "reports of a moment",
        "all reports",
        "sensors",
        "whether it is clean",
        "what was recorded",
        "another fact",
        "beside another fact",
    ],
)
def test_a_fact_of_a_session_is_found_again_when_what_it_read_is_another_and_only_then(
    finder: Callable[[Session], int], change: Callable[[Session], Session], other: Callable[[Session], Session], known: bool, monkeypatch
) -> None:
    monkeypatch.setitem(registry._SESSION_FINDERS, "asked", lambda one: Fact(finder(one)))
    monkeypatch.setitem(registry._SESSION_FINDERS, "inner", lambda one: Fact(len(one.told("night"))))
    before = bare()
    if known:
        of_session("inner", before)
    first = of_session("asked", before)
    assert of_session("asked", other(before)) is first
    found = of_session("asked", change(before))
    assert found == Fact(finder(change(bare())))
    assert found != first


@given(st.lists(st.integers(0, 720), max_size=12), st.integers(0, 6))
@example([0, 1, 6], 4)
@MANY
def test_what_is_kept_of_the_last_days_is_what_bears_their_dates(tens: list[int], back: int) -> None:
    """In Newfoundland the clocks went back from 00:01 to 23:01 of the day before: a later time may bear an earlier date."""
    first = datetime(1991, 10, 27, 2, 30, 30, tzinfo=UTC)
    times = sorted(first + timedelta(minutes=10 * ten) for ten in tens)
    found = [Day(at, local_date(at, "America/St_Johns")) for at in times]
    since = local_date(first + timedelta(days=4 - back), "America/St_Johns")
    assert list(kept(found, since)) == [one for one in found if one.day >= since]

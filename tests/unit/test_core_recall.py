"""What the next look finds again: what rests on nothing that changed, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.decision.core.athlete import Athlete
from services.decision.core.course import Course, begin
from services.decision.core.facts.registry import View
from services.decision.core.recall import Reading, Recall
from services.decision.core.scope import Scope
from services.decision.core.sessions import Fact
from services.decision.core.verdict import NOT_READ
from services.decision.rules.library import load_text
from shared.events import parse
from tests.property.histories import BEGIN, PACKS, event, receive_all, report, session, started
from tests.unit.test_core_pack_referrals import Own

GOOD = Path(__file__).parent / "rules" / "packs" / "good.yaml"
ALONE = Scope((), (0,), (), (), (), {0: {}}, (), (), tuple, (), {}, {})
"""One fact of the course, which no rule reads."""


class Looking:
    """A course, what is recalled of it, and how often the one fact was found."""

    def __init__(self, finder: Callable[[View], Fact]) -> None:
        protocol = PACKS.resolve("progressive-return")
        assert protocol is not None
        self.course: Course = begin(parse(started(), internal=True), protocol)
        self.recall, self.found = Recall(), 0
        self._finder = finder

    def look(self) -> object:
        today = self.course.day(self.course.as_of)
        readings: list[Reading] = [(self._find, lambda value: value)]
        self.recall.look(View(self.course, self.course.as_of, today, None, today), ALONE, [NOT_READ], readings)
        return self.recall.facts[0].value

    def _find(self, view: View) -> Fact:
        self.found += 1
        return self._finder(view)


def test_a_fact_that_rests_on_more_than_it_did_is_found_again_when_that_changes() -> None:
    looking = Looking(lambda view: Fact(view.course.baseline_pain or 0 if view.course.status == "open" else 9))
    looking.course.status, looking.course.baseline_pain = "paused", 1
    assert looking.look() == 9
    looking.course.baseline_pain = 2
    assert (looking.look(), looking.found) == (9, 1)
    looking.course.status = "open"
    assert (looking.look(), looking.found) == (2, 2)
    looking.course.baseline_pain = 3
    assert (looking.look(), looking.found) == (3, 3)


def test_a_fact_that_asks_whether_an_instant_has_passed_stands_on_either_side_of_it() -> None:
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    looking = Looking(lambda view: Fact(view.passed(noon)))
    for hours, passed, found in (
        (-30, False, 1),
        (-1, False, 1),
        (0, False, 1),
        (1, True, 2),
        (40, True, 2),
        (-2, False, 3),
        (0, False, 3),
    ):
        looking.course.as_of = noon + timedelta(hours=hours)
        assert (looking.look(), looking.found) == (passed, found)


def test_evidence_that_was_too_old_counts_again_where_an_earlier_moment_is_looked_at() -> None:
    packs = Own(load_text("good.yaml", GOOD.read_bytes()).protocol)
    walk = event(1, "milestone.assessed", BEGIN, {"test": "walk_30_min", "passed": True, "pain_nrs": 0, "assessor": "clinician"})
    athlete, _ = receive_all([started(protocol=packs.protocol.id), walk], Athlete(packs))
    line = athlete._lines["c1"]
    for days in (0, 10, 20, 30, 10, 0, 15, 13):
        line.course.as_of = BEGIN + timedelta(days=days)
        assert line.judge.decide(line.course, line.recall).facts == line.judge.decide(line.course).facts


def test_bad_news_of_an_earlier_session_is_heard_while_the_last_one_stays_as_it_is() -> None:
    late = report(60, "next_day", "s1", BEGIN + timedelta(days=3, hours=20), pain_nrs=2, pain_change="higher")
    athlete, _ = receive_all([started(start_step="W1"), *session(10, 1), *session(20, 3)[:4], late])
    line = athlete._lines["c1"]
    protocol = line.protocol
    found = {slot.fact: fact.value for slot, fact in zip(protocol.slots, line.verdict.facts, strict=True)}
    assert found["session.pain_after_24_h"] is True


def test_what_stands_is_asked_anew_where_the_earliest_date_comes_into_a_lighter_week() -> None:
    runs = [one for n, day in enumerate((1, 3, 5, 8, 10, 12, 15, 18)) for one in session(10 * n + 10, day, completed=False)]
    athlete, _ = receive_all([started(start_step="W1"), *runs])
    line = athlete._lines["c1"]
    found = {}
    for days in (20, 21, 22, 21, 22):
        course = line.course.copy()
        course.as_of = BEGIN + timedelta(days=days, hours=13)
        standing = line.judge.standing(course, line.recall)
        assert standing == line.judge.decide(course).standing
        found[days] = standing.modifier
    assert found == {20: "none", 21: "none", 22: "deload"}

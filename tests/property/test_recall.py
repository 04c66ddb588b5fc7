"""What a line recalls of the last look is what a look from scratch would find."""

from dataclasses import replace
from datetime import date, timedelta
from typing import cast

from hypothesis import HealthCheck, given, settings, strategies as st

from services.decision.core.athlete import Athlete
from services.decision.core.course import Course
from services.decision.core.decision import content
from services.decision.core.facts.registry import View
from services.decision.core.line import Line
from services.decision.core.recall import BITS, FIRST_ON, LOUD, NotedCourse
from services.decision.core.recovery import base_rest, next_step, not_before
from services.decision.core.verdict import NOT_READ
from shared.events import content_digest, parse
from tests.property.histories import PACKS, Raw, histories

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def from_scratch(line: Line) -> tuple[object, ...]:
    """The facts of the slots that rules in scope read, found of a course that holds nothing found before."""
    course = line.course.copy()
    course.tested = {}
    course.sessions, course.others = (tuple(one.but() for one in sessions) for sessions in (course.sessions, course.others))
    course.judged = course.sessions
    today, earliest = line.verdict.view.today, line.verdict.view.earliest
    facts = line.judge.read_all(View(course, course.as_of, today, course.last_session, earliest))
    return tuple(fact if found is not NOT_READ else NOT_READ for fact, found in zip(facts, line.verdict.facts, strict=True))


@given(histories(most_sessions=5), st.randoms(use_true_random=False))
@MANY
def test_every_fact_recalled_is_the_fact_that_is_found_from_scratch(raws: list[Raw], order) -> None:
    if order.random() < 0.3:
        order.shuffle(raws)
    athlete = Athlete(PACKS)
    for raw in raws:
        athlete.receive(parse(raw, internal=True), content_digest(raw))
        for line in athlete._lines.values():
            assert line.verdict.facts == from_scratch(line)
            again = line.judge.decide(line.course.copy())
            assert (again.question, again.standing, again.scoped) == (line.verdict.question, line.verdict.standing, line.verdict.scoped)
            assert again.view.earliest == line.verdict.view.earliest
            assert (again.eligible_from, again.valid_until) == (line.verdict.eligible_from, line.verdict.valid_until)
            assert content(line.judge, line.course, again) == content(line.judge, line.course, line.verdict)


@given(histories(most_sessions=5), st.randoms(use_true_random=False))
@MANY
def test_what_stands_at_a_later_moment_is_what_a_verdict_of_that_moment_says(raws: list[Raw], order) -> None:
    athlete = Athlete(PACKS)
    for raw in raws:
        athlete.receive(parse(raw, internal=True), content_digest(raw))
        for line in athlete._lines.values():
            course = line.course.copy()
            course.as_of += timedelta(days=order.choice((0, 1, 2, 5, 8, 15, 30)))
            assert line.judge.standing(course, line.recall) == line.judge.decide(course).standing


@given(histories(most_sessions=5))
@MANY
def test_what_is_settled_rests_on_no_field_that_reports_change(raws: list[Raw]) -> None:
    athlete = Athlete(PACKS)
    for raw in raws:
        athlete.receive(parse(raw, internal=True), content_digest(raw))
        for line in athlete._lines.values():
            noted, verdict = NotedCourse(line.course), line.verdict
            view = replace(verdict.view, course=cast(Course, noted), session=None)
            settled = line.judge._settled(view, verdict.question, verdict.facts, verdict.scope)
            assert settled.standing == verdict.standing
            undated = replace(view, today=cast(date, None))
            assert line.judge._standing(undated, verdict.question.answer, list(settled.met)) == verdict.standing
            # A word to decline rests on every report since; where there is one, nothing is kept.
            assert line.course.answered is not None or noted.read & LOUD == noted.read


@given(histories(most_sessions=5))
@MANY
def test_the_earliest_date_rests_on_the_fields_it_is_kept_with(raws: list[Raw]) -> None:
    athlete = Athlete(PACKS)
    for raw in raws:
        athlete.receive(parse(raw, internal=True), content_digest(raw))
    for line in athlete._lines.values():
        noted = NotedCourse(line.course)
        course = cast(Course, noted)
        not_before(course, next_step(course), base_rest(course, course.step, next_step(course)))
        assert noted.read & ~sum(BITS[name] for name in FIRST_ON) == 0

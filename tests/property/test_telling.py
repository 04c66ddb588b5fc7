"""What is told from what was kept is what one tells who has told nothing yet, and a record is written as its canonical form says."""

from collections.abc import Iterator
from dataclasses import fields
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from services.decision.core.athlete import Athlete
from services.decision.core.citing import PRESCRIBED_ON, prescribed
from services.decision.core.course import Course
from services.decision.core.decision import ARRIVAL_FIELDS, Decision, content, sealed
from services.decision.core.explain import LACKING, SESSIONS_TOLD
from services.decision.core.line import Line
from services.decision.core.noting import noted
from services.decision.core.sessions import CLEAN, Session
from services.decision.core.verdict import Judge
from shared.events import content_digest, parse
from shared.events.canonical import canonical
from tests.property.histories import PACKS, Raw, histories, receive_all, session, started

MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


FIELDS = {one.name: CLEAN << n for n, one in enumerate(fields(Session), 1) if one.name != "read"}
SEEN = noted(Session, FIELDS)
"""Beside what a session notes itself, every field that is read."""


def never_told(course: Course) -> Course:
    """The course with nothing kept of what was found or told of its sessions."""

    def anew(one: Session) -> Session:
        bare = one.but()
        bare.memo.clear()
        return bare

    copy = course.copy()
    copy.tested, copy.sessions, copy.others = {}, tuple(map(anew, course.sessions)), tuple(map(anew, course.others))
    return copy


def folded(raws: list[Raw]) -> Iterator[tuple[Line, Decision]]:
    """After each event the courses that it touched, each with its latest decision."""
    athlete = Athlete(PACKS)
    for raw in raws:
        latest = {one.course: one for one in athlete.receive(parse(raw, internal=True), content_digest(raw)).decisions}
        for course, decision in latest.items():
            yield athlete._lines[course], decision


@given(histories(most_sessions=4), st.randoms(use_true_random=False))
@MANY
def test_what_is_told_of_any_course_is_what_a_judge_tells_who_never_judged_another(raws: list[Raw], order) -> None:
    if order.random() < 0.3:
        order.shuffle(raws)
    for n, (line, decision) in enumerate(folded(raws)):
        if n % 4 == 0:
            judge = Judge(line.judge.protocol, line.judge.engine)
            course = never_told(line.course)
            said = content(judge, course, judge.decide(course))
            assert said == {name: decision.body[name] for name in said}
            assert {*said} == {*decision.body} - {*ARRIVAL_FIELDS, "subject"}


@given(histories(most_sessions=4))
@MANY
def test_a_record_is_written_as_its_canonical_form_says_with_the_hash_of_the_rest(raws: list[Raw]) -> None:
    for _, decision in folded(raws):
        body = decision.body
        assert decision.encoded == canonical(body)
        assert sealed({name: value for name, value in body.items() if name != "hash"}) == (body["hash"], decision.encoded)
        assert (decision.id, decision.as_of, decision.as_at) == (body["id"], body["as_of"], body["as_at"])
        assert decision.said == {name: body[name] for name in decision.said}


@given(histories(most_sessions=4))
@MANY
def test_why_a_session_is_not_as_prescribed_rests_on_the_fields_it_is_kept_with(raws: list[Raw]) -> None:
    for line, _ in folded(raws):
        for one in line.course.sessions:
            seen = SEEN(one)
            prescribed(cast(Session, seen))
            assert seen.read & ~sum(FIELDS[name] for name in PRESCRIBED_ON) == 0


@given(histories(most_sessions=3))
@MANY
def test_what_a_decision_says_of_its_course_stays_true_of_its_moment_though_the_course_goes_on(raws: list[Raw]) -> None:
    asked = [(decision, decision.due, decision.state) for _, decision in folded(raws)]
    for decision, due, state in asked:
        assert (decision.due, decision.state) == (due, state)


def test_names_of_any_letters_stand_in_a_record_as_they_are() -> None:
    odd = 'e%b "%s\\ \u2028 \u00e9%'
    _, made = receive_all([{**raw, "subject": odd, "id": odd + raw["id"]} for raw in [started(start_step="W1"), *session(10, 1)]])
    for decision in made:
        assert decision.encoded == canonical(decision.body)
        assert decision.body["subject"] == odd
    assert any(odd in one for reason in made[-1].body["reasons"] for found in reason["evidence"] for one in found["events"])


@pytest.mark.parametrize("lack", [{"rpe": 9}, {"completed": False}, {"technique_ok": None}])
def test_what_is_kept_for_telling_does_not_grow_with_a_course_that_stays_at_its_step(lack: dict[str, object]) -> None:
    raws = [started(start_step="W3"), *(raw for n in range(60) for raw in session(10 + 5 * n, 1 + 2 * n, **lack))]
    raws = [raw | {"data": {name: one for name, one in raw["data"].items() if one is not None}} for raw in raws]
    kept = []
    for line, _ in folded(raws):
        telling = line.verdict.recall.telling
        kept.append((len(telling.prescribed), len(telling.lacking), len(telling.evidence)))
    assert line.course.step == "W3", "it stayed there"
    assert max(one[0] for one in kept) <= SESSIONS_TOLD + 1
    assert max(one[1] for one in kept) <= LACKING + len(line.judge.clean_outline)
    assert max(one[2] for one in kept) <= sum(map(len, line.judge.outlines.values()))

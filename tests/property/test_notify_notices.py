"""Whatever decisions come, and whenever: a course ends up told its last advice, in order, seldom, and never twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from services.notify.notices import Advice, Course, Notice, advice, consider, is_released, release
from services.notify.store.courses import _course, _values

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW_S = 60.0
RANK = {"routine": 0, "review": 1, "stop_and_refer": 2}


@dataclass(frozen=True)
class Step:
    """A decision and how long after the one before it is read; `again`: how many messages are read once more before it."""

    after_s: float
    again: int
    body: dict[str, Any]


contents = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["advance", "hold", "regress"]),
        "from_step": st.sampled_from(["W1", "W2"]),
        "to_step": st.sampled_from(["W1", "W2"]),
        "running": st.sampled_from(["as_dosed", "withheld"]),
        "urgency": st.sampled_from(sorted(RANK)),
        "not_before": st.sampled_from(["2026-03-02", None]),
        "answer": st.sampled_from([None, {"state": "accepted"}, {"state": "declined"}]),
        "late": st.booleans(),
    }
)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    drawn = draw(
        st.lists(st.tuples(st.sampled_from([0.0, 1.0, 30.0, 60.0, 61.0, 500.0]), st.integers(0, 3), contents), min_size=1, max_size=12)
    )
    steps = []
    for seq, (after_s, again, content) in enumerate(drawn, 1):
        late = content.pop("late")
        body = {
            **content,
            "id": f"d{seq}",
            "course": "c-1",
            "seq": seq,
            "supersedes": f"d{seq - 1}" if late and seq > 1 else None,
            "as_at": "",
        }
        steps.append(Step(after_s, again, body))
    return steps


def play(history: list[Step], restarts: bool = False) -> tuple[Course, list[tuple[datetime, Notice]]]:
    """Everything told, with its moment, until the last window has ended. `restarts`: the state goes through the store after each step."""
    course, now, told = Course(), NOW, list[tuple[datetime, Notice]]()
    for place, step in enumerate(history):
        until = now + timedelta(seconds=step.after_s)
        while course.waiting_until is not None and course.waiting_until <= until:
            now = course.waiting_until
            course, notices = release(course, now)
            told += [(now, notice) for notice in notices]
        now = until
        for again in [*history[max(0, place - step.again) : place], step]:
            course, notices = consider(course, again.body, 100 + again.body["seq"], "a", now, WINDOW_S)
            told += [(now, notice) for notice in notices]
            if restarts:
                course = reread(course)
    if course.waiting_until is not None:
        now = course.waiting_until
        course, notices = release(course, now)
        told += [(now, notice) for notice in notices]
    return course, told


def reread(course: Course) -> Course:
    """The course as another process would read it from its row."""
    names = ("told", "told_seq", "told_at", "waiting", "waiting_outbox", "waiting_until")
    row: Any = dict(zip(names, _values(course), strict=True))
    parsed = {name: orjson.loads(row[name]) if row[name] is not None else None for name in ("told", "waiting")}
    return _course({**row, **parsed})  # type: ignore[arg-type]


def advised(told: list[tuple[datetime, Notice]]) -> list[tuple[datetime, Notice]]:
    return [(at, notice) for at, notice in told if notice.type.startswith("recommendation.")]


def news(told: list[tuple[datetime, Notice]]) -> list[tuple[datetime, Notice]]:
    return [(at, notice) for at, notice in advised(told) if notice.audience == "everyone"]


@pytest.mark.law("nothing-lost")
@given(histories())
def test_once_windows_have_ended_a_course_was_last_told_its_last_advice(history: list[Step]) -> None:
    course, told = play(history)
    assert course.waiting is None
    assert advice(news(told)[-1][1].body) == advice(history[-1].body)


@given(histories())
def test_notices_of_a_course_go_out_in_the_order_of_its_decisions(history: list[Step]) -> None:
    _, told = play(history)
    seqs = [notice.seq for _, notice in told if notice.seq is not None]
    assert seqs == sorted(seqs)


@given(histories())
def test_within_a_window_only_a_rising_urgency_is_told(history: list[Step]) -> None:
    _, told = play(history)
    for (before, one), (after, other) in pairwise(advised(told)):
        rises = RANK[other.body["urgency"]] > RANK[one.body["urgency"]]
        assert rises or (after - before).total_seconds() >= WINDOW_S


@given(histories())
def test_everyone_is_told_only_of_changes(history: list[Step]) -> None:
    _, told = play(history)
    heard: list[Advice] = [advice(notice.body) for _, notice in news(told)]
    assert all(one != other for one, other in pairwise(heard))


@given(histories())
def test_a_rise_to_referral_waits_for_nothing_and_is_told_once_as_such(history: list[Step]) -> None:
    _, told = play(history)
    heard = [notice.body["urgency"] for _, notice in news(told)]
    rises = sum(1 for one, other in zip(["", *heard], heard, strict=False) if other == "stop_and_refer" != one)
    assert sum(1 for _, notice in told if notice.type == "course.referred") == rises
    at = NOW
    for step in history:
        at += timedelta(seconds=step.after_s)
        if step.body["urgency"] == "stop_and_refer":
            latest = [notice for moment, notice in news(told) if moment <= at and notice.seq is not None and notice.seq <= step.body["seq"]]
            assert latest[-1].body["urgency"] == "stop_and_refer"


@given(histories())
def test_an_advance_accepted_last_reaches_coaches(history: list[Step]) -> None:
    _, told = play(history)
    last = history[-1].body
    if is_released(last):
        heard = [notice.body for _, notice in advised(told) if is_released(notice.body)]
        assert advice(heard[-1]) == advice(last)


@pytest.mark.law("once")
@given(histories())
def test_restarts_and_repeated_messages_change_nothing_that_is_told(history: list[Step]) -> None:
    once = [Step(step.after_s, 0, step.body) for step in history]
    assert play(history, restarts=True)[1] == play(once)[1]

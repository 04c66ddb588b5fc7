"""A course that goes on under another protocol keeps the laws: any order, same bytes, and nothing freer by the change itself."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from services.decision.core.athlete import Athlete, CourseMark
from shared.events import content_digest, parse
from tests.property.histories import BEGIN, PACKS, Raw, content, event, histories, receive_all, session, started, two_clean_sessions

OTHERS = ("mil-knee-overuse", "progressive-return")
DR = {"id": "dr", "role": "clinician"}


def migrated(number: int, days: float, before: str, to: str, **more: Any) -> Raw:
    data = {
        "course": "c1",
        "protocol": f"{to}@{PACKS.protocols[to].version}",
        "from_hash": PACKS.protocols[before].hash,
        "to_hash": PACKS.protocols[to].hash,
        "reason": "the knee is not what hurts",
        "by": DR,
        **more,
    }
    return event(number, "course.migrated", BEGIN + timedelta(days=days), data)


@st.composite
def migrations(draw: st.DrawFn) -> list[Raw]:
    """A history with one or two migrations somewhere among its days."""
    raws: list[Raw] = draw(histories(most_sessions=4))
    before = raws[0]["data"]["protocol"]
    for n in range(draw(st.integers(1, 2))):
        to = draw(st.sampled_from([name for name in OTHERS if name != before]))
        more = {"step": draw(st.sampled_from(["entry", PACKS.protocols[to].ladder[0].id]))} if draw(st.booleans()) else {}
        raws.append(migrated(9000 + n, draw(st.floats(0.1, 30)) + 30 * n, before, to, **more))
        before = to
    return raws


def restarted(raws: list[Raw], at: int) -> list[bytes]:
    _, first = receive_all(raws[:at])
    received = [(parse(raw, internal=True), content_digest(raw), "") for raw in raws[:at]]
    marks = {decision.course: CourseMark(decision.seq, decision.body) for decision in first}
    _, second = receive_all(raws[at:], Athlete.restore(PACKS, received, marks))
    return [decision.encoded for decision in first + second]


@pytest.mark.law("any-order")
@settings(max_examples=60)
@given(migrations(), st.data())
def test_migrations_arrive_in_any_order_and_end_in_the_same_recommendation(raws: list[Raw], data: st.DataObject) -> None:
    _, in_order = receive_all(raws)
    athlete, made = receive_all(data.draw(st.permutations(raws)))
    assert athlete.parked == receive_all(raws)[0].parked
    if in_order:
        assert content(made[-1]) == content(in_order[-1])


@pytest.mark.law("same-bytes")
@settings(max_examples=40)
@given(migrations(), st.randoms(use_true_random=False), st.data())
def test_a_restart_around_a_migration_changes_no_byte(raws: list[Raw], random: Any, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        random.shuffle(raws)
    at = data.draw(st.integers(0, len(raws)))
    assert restarted(raws, at) == [decision.encoded for decision in receive_all(raws)[1]]


def test_the_other_protocol_decides_from_the_migration_on_and_never_before_it() -> None:
    raws = [*two_clean_sessions(), migrated(90, 5, "progressive-return", "mil-knee-overuse", step="P1"), *session(30, 6)]
    _, made = receive_all(raws)
    by = [decision.body["protocol"]["id"] for decision in made]
    assert by == ["progressive-return"] * 11 + ["mil-knee-overuse"] * 6
    assert made[11].body["from_step"] == "P1" and made[11].body["action"] == "hold"


@pytest.mark.law("unknown-never-advances")
def test_sessions_before_a_migration_speak_for_no_step_of_the_other_protocol() -> None:
    advancing = two_clean_sessions()
    assert receive_all(advancing)[1][-1].body["action"] == "advance"
    moved = receive_all([*advancing, migrated(90, 5, "progressive-return", "mil-knee-overuse", step="P1")])[1][-1].body
    assert moved["action"] == "hold" and moved["not_before"] is not None


@pytest.mark.law("step-in-order")
def test_a_step_that_the_other_protocol_does_not_have_waits_at_its_entry() -> None:
    moved = receive_all([*two_clean_sessions(), migrated(90, 5, "progressive-return", "mil-knee-overuse")])[1][-1].body
    assert (moved["action"], moved["from_step"], moved["running"]) == ("hold", "entry", moved["running"])
    assert moved["missing"]


@pytest.mark.law("referral-latches")
def test_a_referral_stands_through_a_migration() -> None:
    flag = event(50, "symptom.reported", BEGIN + timedelta(days=4), {"when": "daily", "flags": ["chest_pain_or_syncope"]})
    moved = receive_all([*two_clean_sessions(), flag, migrated(90, 5, "progressive-return", "mil-knee-overuse", step="P1")])[1][-1].body
    assert moved["urgency"] == "stop_and_refer" and moved["action"] != "advance"


def test_steps_are_those_of_the_protocol_in_force_at_the_time() -> None:
    raws = [*two_clean_sessions(), migrated(90, 5, "progressive-return", "mil-knee-overuse", step="P1")]
    athlete, _ = receive_all(raws)
    for number, day, step, status in (
        (200, 4, "P1", "refused"),
        (210, 4, "W1", "accepted"),
        (220, 6, "W1", "refused"),
        (230, 6, "P1", "accepted"),
    ):
        done = {"session": f"x{number}", "kind": "run_walk", "step": step}
        raw = event(number, "session.completed", BEGIN + timedelta(days=day, hours=2 + number / 100), done)
        assert athlete.receive(parse(raw), content_digest(raw)).status == status, (day, step)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"to_hash": "sha256:unknown"}, "data.to_hash"),
        ({"step": "W1"}, "data.step"),
        ({"by": {"id": "c", "role": "coach"}}, "data.by.role"),
    ],
)
def test_a_migration_to_nowhere_or_by_nobody_is_refused(change: Raw, path: str) -> None:
    raw = migrated(90, 5, "progressive-return", "mil-knee-overuse")
    raw["data"] |= change
    athlete, _ = receive_all([started(start_step="W1")])
    receipt = athlete.receive(parse(raw, internal=True), content_digest(raw))
    assert (receipt.status, receipt.path) == ("refused", path)

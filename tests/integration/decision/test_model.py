"""Whatever is delivered, repeated, reordered, corrected, erased, interrupted or taken over: history holds its laws after every step.

A few sequences in a run of the tests; `make chaos` searches on, by `MODEL_EXAMPLES` and at random.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from unittest.mock import AsyncMock, patch

import pytest
from hypothesis import HealthCheck, Phase, settings as hypothesis_settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from services.decision import lane
from services.decision.athletes import Athletes
from services.decision.forgetting import Forgetting
from services.decision.rules.library import PackLibrary
from services.decision.store import commit as committing
from services.decision.store.commit import Fenced
from shared.settings import Settings
from tests.integration.decision.feeding import event, started
from tests.integration.decision.model import ATHLETES, World, gated

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "8"))
ANN, BEN = ATHLETES
COURSES = {ANN: ("knee", "other"), BEN: ("shin",)}
HOURS = st.integers(1, 24 * 20)
HOW = st.sampled_from(["read", "read", "left", "held"])
"""Read at once, left on the bus for a later turn, or not sent yet."""
BY = {"id": "dr", "role": "clinician"}


class History(RuleBasedStateMachine):
    """Rules are what may happen; the invariant is what must hold after each."""

    settings: ClassVar[Settings]
    packs: ClassVar[PackLibrary]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World(self.settings, self.packs)
        self.runner.run(self.world.open())
        self.sent: list[dict[str, Any]] = []
        self.held: list[dict[str, Any]] = []
        self.changed = False

    def teardown(self) -> None:
        self.runner.run(self.world.close())
        self.runner.close()

    def _new(self, athlete: str, kind: str, hours: int, data: dict[str, Any], course: str | None = None) -> dict[str, Any]:
        named = {} if course is None else {"course": course}
        return event(athlete, f"e{len(self.sent) + len(self.held)}", f"milepost.{kind}", hours, data) | named

    def _send(self, raw: dict[str, Any], how: str = "left") -> None:
        if how == "held":
            self.held.append(raw)
            return
        self.sent.append(raw)
        self.world.publish(raw)
        if how == "read" and self._awake:
            self._turn()

    def _turn(self, limit: int = 100, time_speaks: bool = False) -> None:
        assert self.world.owner is not None
        fault = self.runner.run(self.world.turn(self.world.owner, limit, time_speaks=time_speaks))
        assert fault is None, repr(fault)
        self.changed = True

    def _target(self, number: int) -> dict[str, Any]:
        known = [*self.sent, *self.held]
        return known[number % len(known)]

    @initialize()
    def begin(self) -> None:
        for athlete, courses in COURSES.items():
            self._send(started(athlete, courses[0]))

    # Deliver, reorder, repeat, delay.

    @rule(athlete=st.sampled_from(ATHLETES), number=st.integers(0, 1), hours=HOURS, nrs=st.sampled_from([0, 0, 1, 4, 9]), how=HOW)
    def report(self, athlete: str, number: int, hours: int, nrs: int, how: str) -> None:
        course = COURSES[athlete][number % len(COURSES[athlete])]
        self._send(self._new(athlete, "symptom.reported", hours, {"when": "daily", "pain_nrs": nrs}, course), how)

    @rule(athlete=st.sampled_from(ATHLETES), hours=HOURS, rpe=st.sampled_from([2, 8]), how=HOW)
    def session(self, athlete: str, hours: int, rpe: int, how: str) -> None:
        data = {"session": f"s{len(self.sent) % 4}", "kind": "run_walk", "completed": True, "rpe": rpe}
        self._send(self._new(athlete, "session.completed", hours, data), how)

    @rule(hours=HOURS, how=HOW)
    def second_course(self, hours: int, how: str) -> None:
        raw = started(ANN, "other", protocol="progressive-return", start_step="W3")
        self._send(raw | {"id": f"e{len(self.sent) + len(self.held)}", "time": self._new(ANN, "x", hours, {})["time"]}, how)

    @rule(how=HOW, hours=HOURS, answer=st.sampled_from(["accepted", "declined"]))
    def answer(self, how: str, hours: int, answer: str) -> None:
        self._send(self._new(BEN, "recommendation.answered", hours, {"answer": answer, "by": BY}, "shin"), how)

    @rule(how=HOW, hours=HOURS, mark=st.sampled_from(["paused", "resumed", "ended"]))
    def mark(self, how: str, hours: int, mark: str) -> None:
        self._send(self._new(ANN, f"course.{mark}", hours, {"course": "knee"}), how)

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 9))
    def release(self, number: int) -> None:
        raw = self.held.pop(number % len(self.held))
        self._send(raw)

    @rule(number=st.integers(0, 99), otherwise=st.booleans())
    def repeat(self, number: int, otherwise: bool) -> None:
        raw = self.sent[number % len(self.sent)]
        self.world.publish(raw | {"traceparent": "again"} if not otherwise else raw | {"sequence": str(number % 3)})

    # Correct, retract: also what has not come yet.

    @rule(number=st.integers(0, 99), hours=HOURS, nrs=st.sampled_from([0, 9, 99]), moved=st.booleans(), how=HOW)
    def correct(self, how: str, number: int, hours: int, nrs: int, moved: bool) -> None:
        target = self._target(number)
        data = dict(target["data"]) | ({"pain_nrs": nrs} if target["type"].endswith("symptom.reported") else {})
        time = {"time": self._new(ANN, "x", hours, {})["time"]} if moved else {}
        self._send(
            self._new(target["subject"], "event.corrected", hours, {"corrects": target["id"], "data": data or {"a": 1}, **time}), how
        )

    @rule(number=st.integers(0, 99), hours=HOURS, how=HOW)
    def retract(self, how: str, number: int, hours: int) -> None:
        target = self._target(number)
        self._send(self._new(target["subject"], "event.retracted", hours, {"retracts": target["id"], "reason": "sent in error"}), how)

    # Read, write, lose the answer, sleep, be taken over.

    @property
    def _awake(self) -> bool:
        return self.world.owner is not None and self.world.owner.asleep is None

    @precondition(lambda self: self._awake)
    @rule(limit=st.sampled_from([1, 2, 3, 100, 100]))
    def take_in(self, limit: int) -> None:
        self._turn(limit)

    @precondition(lambda self: self._awake)
    @rule(limit=st.sampled_from([1, 3, 100]), stored=st.booleans())
    def lose_the_answer_to_commit(self, limit: int, stored: bool) -> None:
        self.runner.run(self.world.lose(limit, stored))
        self.changed = True

    @precondition(lambda self: self._awake)
    @rule(limit=st.sampled_from([1, 3, 100]))
    def fall_asleep_before_the_commit(self, limit: int) -> None:
        assert self.world.owner is not None
        self.runner.run(self.world.fall_asleep(self.world.owner, limit))

    @precondition(lambda self: any(one is not self.world.owner and one.asleep is None for one in self.world.writers))
    @rule()
    def take_over(self) -> None:
        (number,) = (n for n, one in enumerate(self.world.writers) if one is not self.world.owner)
        self.runner.run(self.world.take_over(number))

    @precondition(lambda self: any(one.asleep is not None for one in self.world.writers))
    @rule()
    def wake(self) -> None:
        writer = next(one for one in self.world.writers if one.asleep is not None)
        before = self.runner.run(self.world.everything())
        fault = self.runner.run(self.world.woken(writer))
        if writer is self.world.owner:
            assert fault is None, repr(fault)
        else:
            assert isinstance(fault, Fenced), f"a writer that was taken over wrote on: {fault!r}"
            assert self.runner.run(self.world.everything()) == before, "a fenced writer left a trace"
        self.changed = True

    @precondition(lambda self: any(one is not self.world.owner and one.asleep is None and one.reader for one in self.world.writers))
    @rule()
    def go_on_without_knowing_of_the_takeover(self) -> None:
        (writer,) = (one for one in self.world.writers if one is not self.world.owner)
        before = self.runner.run(self.world.everything())
        fault = self.runner.run(self.world.turn(writer))
        assert fault is None or isinstance(fault, Fenced), repr(fault)
        assert self.runner.run(self.world.everything()) == before, "a fenced writer left a trace"

    # Time, old forms, caches, proofs, questions.

    @precondition(lambda self: self._awake)
    @rule()
    def time_passes(self) -> None:
        self._turn(time_speaks=True)

    @precondition(lambda self: self._awake)
    @rule(athlete=st.sampled_from(ATHLETES))
    def time_speaks_in_the_old_form(self, athlete: str) -> None:
        self.runner.run(self.world.old_form(athlete, COURSES[athlete][0]))
        self.changed = True

    @precondition(lambda self: self._awake and self.world.there)
    @rule(number=st.integers(0, 1))
    def erase(self, number: int) -> None:
        athlete = self.world.there[number % len(self.world.there)]
        self.runner.run(self.world.erase(athlete))
        for asked in self.world.answers:
            if asked[0] in COURSES[athlete]:
                self.world.answers[asked] = None
        self.changed = True

    @rule()
    def forget_what_is_a_cache(self) -> None:
        self.runner.run(self.world.forget())
        self.changed = True

    @rule()
    def sign(self) -> None:
        self.runner.run(self.world.sign())
        self.changed = True

    @rule(course=st.sampled_from(["knee", "other", "shin"]), hours=HOURS)
    def ask(self, course: str, hours: int) -> None:
        known = self.runner.run(self.world.settled())
        if known is not None:
            asked = (course, known - timedelta(days=30) + timedelta(hours=hours), known)
            self.world.answers.setdefault(asked, self.runner.run(self.world.ask(*asked)))

    @invariant()
    def the_laws_hold(self) -> None:
        if self.changed:
            self.runner.run(self.world.check())
            self.changed = False


def searched(examples: int, steps: int) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=examples,
        stateful_step_count=steps,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if "MODEL_EXAMPLES" not in os.environ else [Phase.generate, Phase.shrink],
    )


@pytest.fixture(autouse=True)
def world(settings: Settings, packs: PackLibrary) -> Iterator[None]:
    History.settings, History.packs = settings, packs
    with patch.object(lane, "commit", gated):
        yield


@pytest.mark.law("once")
@pytest.mark.law("nothing-lost")
@pytest.mark.law("same-bytes")
@pytest.mark.timeout(7200)
def test_history_holds_its_laws_whatever_happens_in_whatever_order():
    run_state_machine_as_test(History, settings=searched(EXAMPLES, 30))


def without_the_fence() -> Any:
    return patch.object(committing, "_HEADS", committing._HEADS.replace(" AND h.epoch = n.epoch", ""))


def without_keeping_conflicts() -> Any:
    return patch.object(committing, "_keep_conflicts", AsyncMock(return_value=[]))


def with_what_was_folded_kept_after_a_fault() -> Any:
    return patch.object(Athletes, "clear", lambda athletes: None)


def with_events_of_the_erased_taken_in() -> Any:
    return patch.object(Forgetting, "screened", lambda forgetting, arrivals: list(arrivals))


SLEPT = (f"report {ANN} left", "fall_asleep_before_the_commit", "take_over", "wake")
SENT_OTHERWISE = (f"report {ANN} read", "repeat", "take_in")
LOST = (f"report {ANN} left", "lose_the_answer_to_commit", "take_in")
ERASED = ("erase", f"report {ANN} read")
SAID: dict[str, dict[str, Any]] = {
    "report": {"number": 0, "hours": 30, "nrs": 4},
    "fall_asleep_before_the_commit": {"limit": 100},
    "repeat": {"number": -1, "otherwise": True},
    "take_in": {"limit": 100},
    "erase": {"number": 0},
    "lose_the_answer_to_commit": {"limit": 100, "stored": False},
}


def played(steps: Sequence[str]) -> None:
    """These rules in this order, and the laws after each."""
    machine = History()
    try:
        machine.begin()
        machine.take_in(limit=100)
        for step in steps:
            name, *words = step.split(" ")
            getattr(machine, name)(**SAID.get(name, {}), **dict(zip(("athlete", "how"), words, strict=False)))
            machine.the_laws_hold()
    finally:
        machine.teardown()


@pytest.mark.parametrize(
    ("planted", "steps"),
    [
        (without_the_fence, SLEPT),
        (without_keeping_conflicts, SENT_OTHERWISE),
        (with_what_was_folded_kept_after_a_fault, LOST),
        (with_events_of_the_erased_taken_in, ERASED),
    ],
)
def test_the_laws_of_the_model_find_a_planted_fault(planted: Callable[[], Any], steps: Sequence[str]):
    played(steps)
    with planted(), pytest.raises(AssertionError):
        played(steps)


def test_time_that_spoke_of_a_start_since_retracted_speaks_of_the_new_one_and_stops_nobody():
    machine = History()
    try:
        machine.begin()
        machine.take_in(limit=100)
        machine.time_speaks_in_the_old_form(athlete=ANN)
        machine.retract(number=0, hours=30, how="read")
        machine._send(started(ANN, "knee") | {"id": "again"}, "read")
        machine.the_laws_hold()
    finally:
        machine.teardown()

"""Under any interleaving of decisions, answers, deliveries, failures, policies and role changes, coaches see what clinicians released."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings, strategies as st

from services.notify.notices import Context, Course, Notice, consider, release, replaced_types
from services.notify.payloads import record_of, rendered
from services.notify.release import AFTER_CLINICIAN, DIRECT, STATUS_ONLY, Blocked, Reader, Told, judged

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW_S = 60.0
STEPS = ["W1", "W2", "W3"]
ENDPOINTS = ["coach", "athlete", "shared"]
WHY = [{"rule": "FLAG", "text": "REASON", "outcome": "hold", "grade": "primary"}]
SECRETS = ("SYMPTOM", "FLAG", "REASON")

decisions = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["advance", "advance", "hold", "regress"]),
        "from_step": st.sampled_from(STEPS),
        "to_step": st.sampled_from(STEPS),
        "running": st.sampled_from(["as_dosed", "repeat", "walk_only", "withheld"]),
        "urgency": st.sampled_from(["routine", "review", "stop_and_refer"]),
        "not_before": st.sampled_from([None, "2026-03-02"]),
        "answer": st.sampled_from([None, None, {"state": "accepted"}, {"state": "declined"}, {"state": "modified"}]),
        "late": st.booleans(),
    }
)
moves = st.one_of(
    st.tuples(st.just("decide"), decisions),
    st.tuples(st.just("answer"), st.sampled_from(["accepted", "declined", "modified"])),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 30.0, 61.0])),
    st.tuples(
        st.just("deliver"), st.tuples(st.sampled_from(["coach", "athlete", "shared"]), st.booleans(), st.sampled_from(["thin", "full"]))
    ),
    st.tuples(st.just("resend"), st.integers(0, 30)),
    st.tuples(st.just("policy"), st.sampled_from([AFTER_CLINICIAN, STATUS_ONLY, DIRECT])),
    st.tuples(st.just("role"), st.sampled_from(["coach", "clinician"])),
    st.tuples(st.just("terms"), st.booleans()),
)


@dataclass
class Delivery:
    endpoint: str
    record: dict[str, Any]
    seq: int
    done: bool = False


@dataclass
class World:
    """One course, a coach's and an athlete's endpoint and one whose role changes, and what each was sent."""

    course: Course = field(default_factory=Course)
    now: datetime = NOW
    seq: int = 0
    policy: str = AFTER_CLINICIAN
    terms: tuple[str, ...] = ()
    roles: dict[str, str] = field(default_factory=lambda: {"coach": "coach", "athlete": "athlete", "shared": "coach"})
    released: set[tuple[str, str]] = field(default_factory=set)
    """(id, to_step) of advances that a clinician accepted."""
    last: dict[str, Any] | None = None
    made: list[Delivery] = field(default_factory=list)
    seen: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list)
    """Endpoint, its role, the policy and the data, as they were when it was sent."""

    def decide(self, content: dict[str, Any]) -> None:
        self.seq += 1
        late = content.get("late", False)
        body = {name: value for name, value in content.items() if name != "late"}
        body |= {
            "id": f"d{self.seq}", "course": "c-1", "subject": "a", "seq": self.seq, "dose": {"run_s": 60}, "stop_if": ["pain above 2"],
            "summary": "SYMPTOM", "reasons": WHY, "blocking": ["FLAG"],
            "supersedes": f"d{self.seq - 1}" if late and self.seq > 1 else None, "as_of": "2026-03-01T11:00:00Z",
            "as_at": "2026-03-01T11:00:01Z", "referral": None,
        }  # fmt: skip
        if body["action"] == "advance" and (body["answer"] or {}).get("state") == "accepted":
            self.released.add((body["id"], body["to_step"]))
        self.last = body
        context = Context("Europe/Zurich", self.terms)
        self.course, notices = consider(self.course, body, self.seq, "a", self.now, WINDOW_S, context)
        self.keep(notices)

    def answer(self, state: str) -> None:
        if self.last is not None:
            self.decide({**self.last, "answer": {"state": state}})

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.course, notices = release(self.course, self.now)
        self.keep(notices)

    def keep(self, notices: list[Notice]) -> None:
        for notice in notices:
            record = record_of(notice, "2026-03-01T11:00:01Z")
            for endpoint, role in self.roles.items():
                if isinstance(judged(self.reader(role), record), Told):
                    replaced = replaced_types(notice.type, notice.body["urgency"])
                    for older in self.made:
                        older.done |= older.endpoint == endpoint and older.record["type"] in replaced
                    self.made.append(Delivery(endpoint, record, notice.seq or 0))

    def reader(self, role: str) -> Reader:
        return Reader(role, release=self.policy)

    def deliver(self, endpoint: str, arrives: bool, payload: str) -> None:
        pending = [one for one in self.made if one.endpoint == endpoint and not one.done]
        if pending:
            self.send(pending[0], payload)
            pending[0].done = arrives

    def resend(self, place: int) -> None:
        if self.made:
            self.send(self.made[place % len(self.made)], "full")

    def send(self, delivery: Delivery, payload: str) -> None:
        role = self.roles[delivery.endpoint]
        verdict = judged(Reader(role, release=self.policy), delivery.record)
        if isinstance(verdict, Blocked):
            return
        sent = orjson.loads(rendered(delivery.record, payload, role, verdict.form if verdict else "whole"))
        self.seen.append((delivery.endpoint, role, self.policy, {**sent["data"], "terms": delivery.record.get("terms", ())}))


def play(history: list[tuple[str, Any]]) -> World:
    world = World()
    for move, given_ in history:
        match move:
            case "decide":
                world.decide(given_)
            case "answer":
                world.answer(given_)
            case "wait":
                world.wait(given_)
            case "deliver":
                world.deliver(*given_)
            case "resend":
                world.resend(given_)
            case "policy":
                world.policy = given_
            case "role":
                world.roles["shared"] = given_
            case "terms":
                world.terms = ("no_coach",) if given_ else ()
    for endpoint in world.roles:
        world.deliver(endpoint, True, "thin")
    return world


@pytest.mark.law("no-unreleased-advance")
@settings(max_examples=200)
@given(st.lists(moves, max_size=25))
def test_a_coachs_endpoint_never_sees_an_advance_that_no_clinician_released(history: list[tuple[str, Any]]) -> None:
    world = play(history)
    for _, role, policy, data in world.seen:
        if role in ("coach", "athlete") and policy == AFTER_CLINICIAN and data.get("action") == "advance":
            assert (data["id"], data["to_step"]) in world.released
        if role in ("coach", "athlete") and policy == STATUS_ONLY:
            assert not {"action", "to_step", "step", "dose"} & data.keys()
        if role == "coach":
            assert "no_coach" not in data["terms"]
            assert not any(word in repr(data) for word in SECRETS)
            assert not {"urgency", "summary", "reasons", "blocking", "missing", "referral"} & data.keys()


@pytest.mark.law("no-unreleased-advance")
@settings(max_examples=150)
@given(st.lists(st.one_of(st.tuples(st.just("decide"), decisions), st.tuples(st.just("answer"), st.just("accepted"))), max_size=12))
def test_what_coaches_heard_last_is_never_a_step_that_is_neither_released_nor_in_force(history: list[tuple[str, Any]]) -> None:
    world = World()
    for move, given_ in history:
        world.decide(given_) if move == "decide" else world.answer(given_)
        world.wait(61.0)
        while any(one.endpoint == "coach" and not one.done for one in world.made):
            world.deliver("coach", True, "full")
        if world.last is None or not world.seen:
            continue
        heard = [data for endpoint, _, _, data in world.seen if endpoint == "coach"]
        if heard:
            accepted = (world.last["answer"] or {}).get("state") == "accepted"
            free = world.last["action"] != "advance" or accepted
            told = heard[-1].get("step")
            assert told == (world.last["to_step"] if free else world.last["from_step"])

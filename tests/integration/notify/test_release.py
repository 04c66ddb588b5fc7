"""The law of released advances, against the service itself: its database, bus, routes, sending and stream, in generated interleavings."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings as examples, strategies as st
from sqlalchemy import text

from services.notify.api import stream as stream_route
from services.notify.api.common import utc_now
from services.notify.escalate import Escalator
from services.notify.store import endpoints as rows_of_endpoints
from services.notify.store.connection import transaction
from shared.auth import Principal, create_key

AFTER, STATUS, DIRECT = "after_clinician", "status_only", "direct"
STEPS = ["W1", "W2", "W3"]
COURSES = ["c-1", "c-2"]
BOXES = ["coach", "athlete", "shared"]
DECIDED = ("action", "from_step", "to_step", "running", "urgency", "answer")
UNTOLD = {"urgency", "summary", "blocking", "missing", "referral", "answer_link", "reasons"}

course = st.sampled_from(COURSES)
content = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["advance", "advance", "hold", "regress"]),
        "from_step": st.sampled_from(STEPS),
        "to_step": st.sampled_from(STEPS),
        "running": st.sampled_from(["as_dosed", "repeat", "withheld"]),
        "urgency": st.sampled_from(["routine", "routine", "review", "stop_and_refer"]),
        "answer": st.sampled_from([None, None, None, {"state": "accepted"}, {"state": "declined"}]),
        "late": st.booleans(),
        "secret": st.sampled_from([False, False, False, True]),
    }
)
box = st.sampled_from(BOXES)
moves = st.one_of(
    st.tuples(st.just("decide"), course, content),
    st.tuples(st.just("decide"), course, content),
    st.tuples(st.just("answer"), course, st.sampled_from(["accepted", "accepted", "declined", None])),
    st.tuples(st.just("expire"), course),
    st.tuples(st.just("policy"), st.sampled_from([AFTER, STATUS, DIRECT])),
    st.tuples(st.just("role"), st.sampled_from(["coach", "clinician"])),
    st.tuples(st.just("fail"), box, st.integers(1, 3)),
    st.tuples(st.just("resend"), box, st.integers(0, 20)),
    st.tuples(st.just("recover"), box),
    st.tuples(st.just("disable"), box),
    st.tuples(st.just("escalate")),
    st.tuples(st.just("listen")),
    st.tuples(st.just("rest")),
)


@dataclass
class Heard:
    """What a reader got: where, when, its type and data."""

    where: str
    at: float
    kind: str
    data: dict[str, Any]


@dataclass
class World:
    """A tenant under test: what was decided, and how its policy and roles stood since when."""

    clinic: Any
    app: Any
    receiver: Any
    publish: Any
    made: Any
    until: Any
    prefix: str
    boxes: dict[str, Any] = field(default_factory=dict)
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    decided: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    policies: list[tuple[float, str]] = field(default_factory=lambda: [(0.0, AFTER)])
    """Since when it held: a looser one from before it was asked for, a stricter one once nothing judged before is under way."""
    roles: list[tuple[float, str]] = field(default_factory=lambda: [(0.0, "clinician")])
    marks: int = 0
    streamed: list[Heard] = field(default_factory=list)
    listeners: list["asyncio.Task[None]"] = field(default_factory=list)

    async def open(self) -> None:
        for name, role in (("coach", "coach"), ("athlete", "athlete"), ("shared", "clinician")):
            asked = {"role": role, "payload": "full" if name != "athlete" else "thin", "escalates": True}
            self.boxes[name] = await self.clinic.endpoint(f"{self.receiver.url}{self.prefix}/{name}", **asked)
        # A clinician vouches for it; it may become a coach's afterwards.
        answer = await self.clinic.ask("PUT", f"/v1/endpoints/{self.boxes['shared']['id']}/answering", "clinician")
        assert answer.status_code == 200, answer.text
        self.listen()

    async def put_policy(self, release: str) -> None:
        loose = stood(self.policies, monotonic())
        if release == DIRECT or (loose, release) == (STATUS, AFTER):
            self.policies.append((monotonic(), release))
        answer = await self.clinic.ask("PUT", "/v1/notice-policy", "admin", json={"coach_release": release})
        assert answer.status_code == 200, answer.text
        if release != loose and self.policies[-1][1] != release:
            await self.calm()
            self.policies.append((monotonic(), release))

    async def put_role(self, role: str) -> None:
        if role == "clinician":
            self.roles.append((monotonic(), role))
        await self.patch("shared", role=role)
        if role == "coach":
            await self.calm()
            self.roles.append((monotonic(), role))

    async def decide(self, course: str, content: dict[str, Any]) -> None:
        before = self.last.get(course)
        body = self.made(before["seq"] + 1 if before else 1, course, **{name: content[name] for name in DECIDED})
        evidence = [{"events": ["secret-event"]}] if content.get("secret") else []
        body |= {
            "summary": "SYMPTOM", "blocking": ["FLAG"], "valid_until": "2026-03-08", "stop_if": ["pain above 2"],
            "reasons": [{"rule": "r", "text": "REASON", "outcome": "hold", "grade": "primary", "evidence": evidence}],
            "supersedes": before["id"] if before and content.get("late") else None, "secret": bool(content.get("secret")),
        }  # fmt: skip
        if body["action"] == "advance" and (body["answer"] or {}).get("state") == "accepted":
            self.released.add(body["id"])
        self.last[course], self.decided[course, body["seq"]] = body, body
        await self.publish(self.clinic.tenant, body)

    async def play(self, move: tuple[Any, ...]) -> None:
        kind, *given_ = move
        match kind:
            case "decide":
                await self.decide(*given_)
            case "answer":
                if given_[0] in self.last:
                    answer = {"state": given_[1]} if given_[1] else None
                    await self.decide(given_[0], {**self.last[given_[0]], "answer": answer, "late": answer is None})
            case "expire":
                if given_[0] in self.last:
                    await self.publish(self.clinic.tenant, self.last[given_[0]], "recommendation.expired", at="2026-03-08T23:00:00Z")
            case "policy":
                await self.put_policy(given_[0])
            case "role":
                await self.put_role(given_[0])
            case "fail":
                self.receiver.answers[f"{self.prefix}/{given_[0]}"].extend([500] * given_[1])
            case "resend":
                if found := await self.clinic.deliveries(self.boxes[given_[0]]):
                    await self.clinic.ask("POST", f"/v1/deliveries/{found[given_[1] % len(found)]['id']}/resend")
            case "recover":
                where = self.boxes[given_[0]]["id"]
                await self.clinic.ask("POST", f"/v1/endpoints/{where}/recover", json={"since": "2026-01-01T00:00:00Z"})
            case "disable":
                await self.patch(given_[0], enabled=False)
                await self.patch(given_[0], enabled=True)
            case "escalate":
                await self.escalate()
            case "listen":
                self.listen()
            case "rest":
                await asyncio.sleep(0.06)

    async def patch(self, where: str, **change: Any) -> None:
        answer = await self.clinic.ask("PATCH", f"/v1/endpoints/{self.boxes[where]['id']}", json=change)
        assert answer.status_code == 200, answer.text

    async def escalate(self) -> None:
        """The time to take things up has passed."""
        async with self.app.state.engine.begin() as connection:
            await connection.execute(
                text("UPDATE escalations SET due = now() - interval '1 s' WHERE tenant = :t AND due IS NOT NULL"), {"t": self.clinic.tenant}
            )
        told: set[str] = set()
        await Escalator(self.app.state.engine, utc_now, lambda kept: told.update(kept.endpoints)).say_due()
        async with transaction(self.app.state.engine) as connection:
            for endpoint in sorted(told):
                await rows_of_endpoints.wake(connection, endpoint)

    def listen(self) -> None:
        """A coach's and an athlete's stream from the very beginning: what was kept earlier is judged as matters stand now."""
        self.listeners.append(asyncio.create_task(self._listen("coach")))

    async def _listen(self, role: str) -> None:
        request = SimpleNamespace(app=self.app, headers={"authorization": f"Bearer {self.clinic.keys[role]}"})
        principal = Principal("key", self.clinic.tenant, role, frozenset(), role)
        async for event in stream_route._events(request, principal, 0):  # type: ignore[arg-type]
            fields = dict(line.split(": ", 1) for line in event.decode().splitlines() if ": " in line)
            if "data" in fields:
                self.streamed.append(Heard("stream", monotonic(), fields["event"], orjson.loads(fields["data"])["data"]))

    async def calm(self) -> None:
        """Waits until nothing is under way: what is sent or streamed from here on is judged as matters stand now."""
        for name in BOXES:
            self.receiver.answers[f"{self.prefix}/{name}"].clear()
        self.marks += 1
        mark, listening = f"mark-{self.marks}", len(self.listeners)
        await self.publish(self.clinic.tenant, {"course": mark, "protocol": "p@1"}, kind="course.started")

        async def reached() -> bool:
            found = [one for box in self.boxes.values() for one in await self.clinic.deliveries(box)]
            told = sum(one.data.get("course") == mark for one in self.streamed)
            marked = sum(one["course"] == mark and one["state"] == "delivered" for one in found)
            return marked == len(BOXES) and told >= listening and all(one["state"] != "pending" for one in found)

        await self.until(reached, within=60)

    async def close(self) -> None:
        await self.calm()
        for listener in self.listeners:
            listener.cancel()
        await asyncio.gather(*self.listeners, return_exceptions=True)

    def heard(self) -> list[Heard]:
        boxes = [(name, one) for name in BOXES for one in self.receiver.at(f"{self.prefix}/{name}")]
        return [Heard(name, one.at, one.json["type"], one.json["data"]) for name, one in boxes] + self.streamed

    def reader(self, one: Heard) -> str:
        """The role that it was heard in."""
        return {"athlete": "athlete", "shared": stood(self.roles, one.at)}.get(one.where, "coach")

    def of(self, one: Heard) -> dict[str, Any] | None:
        """The decision that it tells of."""
        return self.decided.get((one.data.get("course", ""), one.data.get("seq", 0)))


def stood(changes: list[tuple[float, str]], at: float) -> str:
    return [value for since, value in changes if since <= at][-1]


def check(world: World) -> None:
    for one in world.heard():
        role, policy, decision = world.reader(one), stood(world.policies, one.at), world.of(one)
        if role == "clinician":
            continue
        assert one.kind not in ("event.refused", "course.referred", "recommendation.unanswered"), one
        if role == "coach":
            assert not UNTOLD & one.data.keys(), one
            assert not any(word in repr(one.data) for word in ("SYMPTOM", "FLAG", "REASON")), one
            assert decision is None or not decision["secret"], one
        assert "answer_link" not in one.data, one
        if decision is None or policy == DIRECT:
            continue
        assert policy != STATUS or not {"action", "to_step", "step", "dose"} & one.data.keys(), one
        if decision["action"] == "advance" and decision["id"] not in world.released:
            assert not {"action", "to_step", "dose"} & one.data.keys(), one
            assert one.data.get("step") in (None, decision["from_step"]), one


@pytest.fixture
async def coalescing(notify: Any, engine: Any) -> AsyncIterator[Any]:
    async with notify(notice_coalesce_s=0.05, retry_schedule_s=(0.0, 0.02, 0.05, 0.05, 0.05)) as site:
        yield site


NUMBER = count(1)


@pytest.mark.law("no-unreleased-advance")
@examples(
    max_examples=12,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(moves, min_size=4, max_size=16))
async def test_no_reader_who_is_no_clinician_ever_sees_an_advance_that_no_clinician_released(
    history: list[tuple[Any, ...]], coalescing: Any, engine: Any, receiver: Any, publish: Any, made: Any, until: Any
) -> None:
    clinic = await coalescing.clinic()
    async with engine.begin() as conn:
        clinic.keys["admin"] = (await create_key(conn, clinic.tenant, "admin", "admin"))[1]
        terms = (
            "INSERT INTO event_terms (tenant, source, id, athlete, terms) VALUES (:t, 'urn:s', 'secret-event', 'athlete-1', '{no_coach}')"
        )
        await conn.execute(text(terms), {"t": clinic.tenant})
    world = World(clinic, coalescing.app, receiver, publish, made, until, f"/{next(NUMBER)}")
    await world.open()
    for move in history:
        await world.play(move)
    await world.close()
    check(world)

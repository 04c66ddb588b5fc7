"""Numbered events over several athletes and courses of two tenants, from clients that repeat each request until it is acknowledged."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp

from shared.events import content_digest

SOURCE: Final = "urn:load:app"
BEGIN: Final = datetime(2025, 3, 3, 7, tzinfo=UTC)
CLIENTS: Final = 4
PAUSE_S: Final = 0.3
"""Between two requests of a client: bounds the rate, so that what is killed is killed under load and not under a flood."""
MOST_EVENTS: Final = 20_000
AHEAD: Final = 200
"""Events beyond what is waited for, so that a slow machine is not given more to do than a quick one."""
REPEAT_AFTER_S: Final = 0.1

Key = tuple[str, str, str]
"""Tenant, source, id."""
Raw = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A course of the load and whose it is."""

    tenant: str
    athlete: str
    course: str
    site: str


def places(tenants: tuple[str, ...]) -> list[Place]:
    """Six athletes in each tenant, every third with two courses; both tenants use the same ids."""
    found = []
    for athlete in range(6):
        for n, site in enumerate(("knee", "ankle") if athlete % 3 == 2 else ("knee",)):
            found += [Place(tenant, f"a{athlete}", f"c{athlete}-{n}", site) for tenant in tenants]
    return found


def event(place: Place, number: int) -> Raw:
    """Event `number` of a course: the start, then days of a session, its reports, wellness, and a correction, a retraction or a fault."""
    if number == 0:
        injury = {"tissue": "joint", "site": place.site, "side": "left"}
        data: Raw = {"course": place.course, "protocol": "progressive-return", "injury": injury, "timezone": "Europe/Berlin"}
        return _raw(place, 0, "course.started", BEGIN, {**data, "birth_year": 1990, "baseline": {"pain_nrs": 0}}, None)
    day, what = divmod(number - 1, 6)
    time = BEGIN + timedelta(days=2 * day + 1, hours=10)
    session = f"{place.course}-s{day}"
    pain = (0, 0, 1, 0, 3, 0, 7)[day % 7]
    match what:
        case 0:
            done: Raw = {"session": session, "kind": "run_walk", "completed": True, "rpe": 3, "gait_changed": False, "terrain": "flat"}
            return _raw(place, number, "session.completed", time, done | {"technique_ok": True, "technique_by": "clinician"})
        case 1:
            return _raw(
                place, number, "symptom.reported", time - timedelta(minutes=9), {"when": "before", "pain_nrs": 0, "session": session}
            )
        case 2:
            after = {"when": "after", "pain_nrs": pain, "pain_change": "same", "swelling": "none", "settled_min": 0}
            return _raw(place, number, "symptom.reported", time + timedelta(hours=1), {"session": session, **after})
        case 3:
            morning = {"when": "next_morning", "pain_nrs": pain, "pain_change": "same", "stiffness_change": "same", "swelling": "none"}
            return _raw(place, number, "symptom.reported", time + timedelta(hours=14), {"session": session, **morning})
        case 4:
            return _raw(place, number, "wellness.reported", time + timedelta(hours=15), {"sleep_h": 7, "fatigue": day % 10}, None)
    later = time + timedelta(hours=20)
    match day % 4:
        case 0:
            corrected = {"session": session, "when": "after", "pain_nrs": 2, "pain_change": "higher", "swelling": "trace"}
            return _raw(place, number, "event.corrected", later, {"corrects": _id(place, number - 3), "data": corrected}, None)
        case 1:
            return _raw(place, number, "event.retracted", later, {"retracts": _id(place, number - 2), "reason": "sent in error"}, None)
        case 2:
            # No protocol has such a step: decision refuses it after the 202.
            return _raw(place, number, "session.skipped", later, {"reason": "time", "step": "Z9"})
    # Its session never comes: parked for good.
    return _raw(place, number, "symptom.reported", later, {"when": "during", "pain_nrs": 1, "session": f"{session}-never"})


def content(raw: Raw) -> bytes:
    """The digest of what the sender said: without `by`, which ingest fills from the key."""
    said = {name: value for name, value in raw["data"].items() if name != "by"}
    return content_digest(raw | {"data": said})


def _raw(place: Place, number: int, kind: str, time: datetime, data: Raw, course: str | None = "") -> Raw:
    raw: Raw = {"specversion": "1.0", "id": _id(place, number), "source": SOURCE, "type": f"milepost.{kind}", "subject": place.athlete}
    raw |= {"time": time.isoformat(), "data": data}
    return raw if course is None else raw | {"course": place.course}


def _id(place: Place, number: int) -> str:
    return f"{place.course}-{number}"


@dataclass
class Load:
    """Runs until `stop`. `acknowledged` is in the order of the answers; `contents` is everything that ever left, by key."""

    url: str
    keys: dict[str, str]
    """Tenant to API key."""
    seed: int
    contents: dict[Key, bytes] = field(default_factory=dict)
    """Key to the digest of its first content."""
    courses: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    """Key to the courses the event may concern."""
    acknowledged: list[Key] = field(default_factory=list)
    conflicting: set[tuple[Key, bytes]] = field(default_factory=set)
    """Other contents under a key that were accepted all the same (key, digest): history must have kept them aside."""
    repeated: int = 0
    """Requests that had to be sent again."""

    def __post_init__(self) -> None:
        self._places = places(tuple(self.keys))
        self._numbers = iter(range(MOST_EVENTS))
        self._taken, self._allowed = 0, AHEAD
        self._stopping = False
        self._progress = asyncio.Condition()

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http, asyncio.TaskGroup() as tasks:
            for client in range(CLIENTS):
                tasks.create_task(self._client(http, random.Random(f"{self.seed} {client}")))

    def stop(self) -> None:
        """No new events; what has begun is still repeated until it is acknowledged."""
        self._stopping = True

    async def acknowledged_more(self, count: int, within_s: float) -> None:
        """Waits until `count` further events are acknowledged."""
        goal = len(self.acknowledged) + count
        self._allowed = self._taken + count + AHEAD
        async with asyncio.timeout(within_s), self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) >= goal)

    async def _client(self, http: aiohttp.ClientSession, chance: random.Random) -> None:
        held_back: list[tuple[Place, int]] = []
        for wanted in self._sizes(chance):
            if self._taken >= self._allowed:
                await asyncio.sleep(PAUSE_S)
                continue
            taken = [self._next() for _ in range(wanted)]
            kept = [one for one in taken if chance.random() < 0.1]
            sending = [one for one in taken if one not in kept]
            if len(held_back) > 10:
                sending += held_back
                held_back = []
            held_back += kept
            await self._send_all(http, sending, chance)
            await asyncio.sleep(PAUSE_S)
        await self._send_all(http, held_back, chance)

    def _sizes(self, chance: random.Random) -> Iterator[int]:
        while not self._stopping:
            yield 1 if chance.random() < 0.6 else chance.randint(2, 12)

    def _next(self) -> tuple[Place, int]:
        number = next(self._numbers)
        self._taken += 1
        return self._places[number % len(self._places)], number // len(self._places)

    async def _send_all(self, http: aiohttp.ClientSession, events: list[tuple[Place, int]], chance: random.Random) -> None:
        for tenant in self.keys:
            raws = []
            for place, number in events:
                if place.tenant == tenant:
                    raw = event(place, number)
                    raws.append(raw)
                    self._note(place, raw)
            if raws:
                await self._until_acknowledged(http, tenant, raws, chance)
            if raws and chance.random() < 0.1:
                await self._contradict(http, tenant, raws[0])

    def _note(self, place: Place, raw: Raw) -> None:
        key = (place.tenant, raw["source"], raw["id"])
        self.contents[key] = content(raw)
        theirs = (one.course for one in self._places if (one.tenant, one.athlete) == (place.tenant, place.athlete))
        shared = raw["type"] == "milepost.wellness.reported"
        self.courses[key] = tuple(theirs) if shared else (place.course,)

    async def _until_acknowledged(self, http: aiohttp.ClientSession, tenant: str, raws: list[Raw], chance: random.Random) -> None:
        body, kind = _body(raws, chance)
        while True:
            status, answer = await self._post(http, tenant, body, kind)
            if status == 202:
                break
            assert status is None or status == 503, f"ingest answered {status}: {answer}"
            self.repeated += 1
            await asyncio.sleep(REPEAT_AFTER_S)
        for raw, outcome in zip(raws, answer["outcomes"], strict=True):
            assert outcome["outcome"] in ("accepted", "duplicate"), outcome
            self.acknowledged.append((tenant, raw["source"], raw["id"]))
        async with self._progress:
            self._progress.notify_all()

    async def _contradict(self, http: aiohttp.ClientSession, tenant: str, raw: Raw) -> None:
        """The same key with other content: either ingest still remembers the first, or history keeps this one aside."""
        other = raw | {"time": (datetime.fromisoformat(raw["time"]) + timedelta(seconds=1)).isoformat()}
        status, _ = await self._post(http, tenant, json.dumps(other).encode(), "application/cloudevents+json")
        assert status in (None, 202, 409, 503), status
        if status == 202:
            self.conflicting.add(((tenant, raw["source"], raw["id"]), content(other)))

    async def _post(self, http: aiohttp.ClientSession, tenant: str, body: bytes, kind: str) -> tuple[int | None, Any]:
        headers = {"Authorization": f"Bearer {self.keys[tenant]}", "Content-Type": kind}
        try:
            async with http.post(f"{self.url}/v1/events", data=body, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None, None


def _body(raws: list[Raw], chance: random.Random) -> tuple[bytes, str]:
    if len(raws) == 1:
        return json.dumps(raws[0]).encode(), "application/cloudevents+json"
    if chance.random() < 0.5:
        return json.dumps(raws).encode(), "application/cloudevents-batch+json"
    return b"".join(json.dumps(raw).encode() + b"\n" for raw in raws), "application/x-ndjson"

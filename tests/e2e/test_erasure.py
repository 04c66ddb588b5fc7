"""Whoever is erased is in no byte any more, on either server, in any log or dump; and a restored backup brings nobody back."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.cli.stack import Stack
from services.decision.audit.whole import verify_database
from services.decision.scrubbing import scrub
from services.decision.store.connection import Database
from shared import auth, db
from tests.e2e import canary
from tests.seeds import chance

TENANT = "clinic"
MARK = f"{chance('erasure canary').getrandbits(32):08x}"
ATHLETE, COURSE, STAYS = f"canary-athlete-{MARK}", f"canary-course-{MARK}", f"canary-stays-{MARK}"
NOTE, ID = f"canary note, spoken freely {MARK}", f"canary-event-{MARK}"
ANSWER, LATE = f"canary heard by the receiver {MARK}", f"canary-late-{MARK}"
WORDS = (ATHLETE, COURSE, NOTE, ID, ANSWER, LATE)
# Names of fields that only the state of a course has, and a decision's record.
DERIVED = ('"open_flags"', '"superseded_because"')
OVERRIDES: dict[str, Any] = {
    **dict.fromkeys(("ingest_port", "decision_port", "notify_port"), 0),
    "allow_loopback_webhooks": True,
    "notice_coalesce_s": 0,
    "checkpoint_s": 0.2,
    "log_level": "debug",
}


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 180) -> None:
    deadline = monotonic() + within_s
    while not await holds():
        assert monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


class Clinic:
    """One tenant at a running stack, with a receiver that answers in planted words."""

    def __init__(self, stack: Stack, client: httpx.AsyncClient, keys: dict[str, str]) -> None:
        self.stack, self._client, self._keys = stack, client, keys
        self.heard: list[bytes] = []

    async def ask(self, method: str, url: str, role: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._keys[role]}", **more.pop("headers", {})}
        return await self._client.request(method, url, headers=headers, **more)

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append(await request.read())
        return web.Response(text=ANSWER if ATHLETE.encode() in self.heard[-1] else "thank you")

    async def send(self, *events: dict[str, Any]) -> None:
        batch = {"headers": {"Content-Type": "application/cloudevents-batch+json"}}
        answer = await self.ask("POST", f"{self.stack.ingest_url}/v1/events", "clinician", json=list(events), **batch)
        assert answer.status_code == 202, answer.text

    async def live(self, athlete: str, course: str, id: str, note: str) -> None:
        """A course with a session, a report in free words and one that is refused, all the way to an answered webhook."""
        course_data = {"course": course, "protocol": "progressive-return", "timezone": "Europe/Berlin"}
        injury = {"tissue": "joint", "site": "knee", "side": "left"}
        walked = {"kind": "run_walk", "completed": True, "rpe": 3}
        await self.send(
            told(athlete, id, "course.started", "2025-03-03T07:00:00Z", course_data | {"injury": injury, "birth_year": 1990}),
            told(athlete, f"{id}-s", "session.completed", "2025-03-04T17:00:00Z", walked | {"session": f"{id}-s1"}),
            told(athlete, f"{id}-f", "course.paused", "2025-03-05T17:00:00Z", {"course": course, "reason": note}),
            told(athlete, f"{id}-r", "course.resumed", "2025-03-06T07:00:00Z", {"course": course, "reason": note}),
            told(athlete, f"{id}-p", "session.completed", "2025-03-06T17:00:00Z", walked | {"session": f"{id}-s2"}),
            # Known late: what was decided meanwhile would have been otherwise.
            told(athlete, f"{id}-l", "symptom.reported", "2025-03-04T19:00:00Z", {"when": "daily", "pain_nrs": 7}, course),
        )

    async def rows(self, query: str) -> Any:
        connection = await Database.of(self.stack.settings).connect()
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def erased(self, state: str = "erased") -> None:
        url = f"{self.stack.decision_url}/v1/athletes/{ATHLETE}/erasure"

        async def so() -> bool:
            return bool((await self.ask("GET", url, "admin")).json().get("state") == state)

        await until(so)


def told(athlete: str, id: str, kind: str, time: str, data: dict[str, Any], course: str | None = None) -> dict[str, Any]:
    named = {"specversion": "1.0", "id": id, "source": "urn:test:canary", "type": f"milepost.{kind}", "subject": athlete, "time": time}
    return {**named, **({} if course is None else {"course": course}), "data": data}


def milepost(stack: Stack, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *words], env=stack.env, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.timeout(900)
async def test_the_erased_are_in_no_byte_and_a_restored_backup_brings_nobody_back(tmp_path: Path):
    async with Stack(OVERRIDES, tmp_path / "data") as stack, httpx.AsyncClient(timeout=120) as client:
        database = db.engine(stack.settings, pool_size=1)
        async with database.begin() as conn:
            keys = {role: (await auth.create_key(conn, TENANT, role, role))[1] for role in ("clinician", "admin", "integrator", "auditor")}
        await database.dispose()
        clinic = Clinic(stack, client, keys)
        app = web.Application()
        app.router.add_post("/", clinic.hear)
        receiver = TestServer(app, host="127.0.0.1")
        await receiver.start_server()
        try:
            await _drill(clinic, f"http://127.0.0.1:{receiver.port}/", tmp_path / "data")
        finally:
            await receiver.close()


async def _drill(clinic: Clinic, url: str, data_dir: Path) -> None:
    stack = clinic.stack
    made = await clinic.ask("POST", f"{stack.notify_url}/v1/endpoints", "integrator", json={"url": url})
    assert made.status_code == 201, made.text
    await clinic.live(ATHLETE, COURSE, ID, NOTE)
    await clinic.live(STAYS, f"{STAYS}-c", f"{STAYS}-e", "a note that stays")

    async def answered() -> bool:
        done = await clinic.rows("SELECT count(*) FROM attempts WHERE response_body IS NOT NULL")
        return bool(done >= 4 and sum(ATHLETE.encode() in body for body in clinic.heard) >= 2)

    await until(answered)

    async def late() -> bool:
        return bool(await clinic.rows(f"SELECT count(*) FROM events WHERE id IN ('{ID}-l', '{STAYS}-e-l')") == 2)

    await until(late)
    replay = await clinic.ask("POST", f"{stack.decision_url}/v1/audit/replays", "auditor", json={"view": "corrected"})
    assert replay.status_code == 202, replay.text

    async def replayed() -> bool:
        told = (await clinic.ask("GET", f"{stack.decision_url}/v1/audit/replays/{replay.json()['id']}", "auditor")).json()
        return bool(told["state"] == "done" and any(ATHLETE in str(one) for one in told["items"]))

    await until(replayed)
    there = canary.seen(data_dir, (ATHLETE,))
    assert {"postgres", "nats"} <= {where.split("/")[0] for where in there}, "planted on both servers"
    backup = canary.dump(stack.settings, "--exclude-schema=keys")
    derived = canary.dump(stack.settings, "--table=courses", "--table=replay_differences")
    assert derived.count(ATHLETE.encode()) >= 2 and canary.held(derived, DERIVED) == [], "what was derived of them lies under their key too"

    asked = await clinic.ask("POST", f"{stack.decision_url}/v1/athletes/{ATHLETE}/erasure", "admin", json={"reason": "ordered"})
    assert asked.status_code == 202, asked.text
    await clinic.erased()
    for what in ("recommendation", "courses", "export"):
        gone = await clinic.ask("GET", f"{stack.decision_url}/v1/athletes/{ATHLETE}/{what}", "clinician")
        assert gone.status_code == 410 and "erased on request" in gone.json()["detail"]
    assert (await clinic.ask("GET", f"{stack.decision_url}/v1/courses/{COURSE}", "clinician")).status_code == 404
    place = await clinic.rows("SELECT id FROM events WHERE source = 'erased' LIMIT 1")
    for named in (f"erased/{place}", f"urn%3Amilepost%3Aerasures/erasure-{asked.json()['pseudonym']}"):
        proven = await clinic.ask("GET", f"{stack.decision_url}/v1/audit/events/{named}", "auditor")
        assert proven.status_code == 200 and ("row" in proven.json()["leaf"]["rows"][0]) == ("erasures" in named), proven.text
    await clinic.send(told(ATHLETE, LATE, "session.completed", "2025-03-09T17:00:00Z", {"session": LATE, "kind": "run"}))

    async def refused() -> bool:
        late = "SELECT count(*) FROM events AS e JOIN keys.erasures AS k ON e.athlete = k.pseudonym AND e.stream_seq <= k.bus_seq"
        return bool(await clinic.rows(f"{late} WHERE e.source = 'urn:milepost:erased'") == 1)

    await until(refused)
    assert [*canary.seen(data_dir / "nats", WORDS), *canary.seen(data_dir / "logs", WORDS)] == [], "neither the bus nor a log holds a word"
    assert canary.seen(data_dir / "postgres", (ATHLETE,)), "dead rows and the log still do, until they are scrubbed"
    assert canary.held(canary.dump(stack.settings), WORDS) == [], "nor does a dump"
    assert await scrub(stack.settings.owner_database_url) == (1, ())
    await clinic.erased("scrubbed")
    assert canary.seen(data_dir, WORDS) == []
    whole = await verify_database(stack.settings, (), 1)
    assert whole.faults == [] and whole.erased > 10

    for part in ("ingest", "decision", "worker", "eraser", "notify"):
        await stack.kill(part)
    canary.restore(stack.settings, backup)
    assert ATHLETE.encode() in backup and NOTE.encode() not in backup, "a backup has names, and bodies only under keys it has not"
    told_why = milepost(stack, "services.decision")
    assert told_why.returncode == 1 and "milepost erasures reapply" in told_why.stderr, told_why
    assert len(told_why.stderr.strip().splitlines()) == 1
    again = milepost(stack, "services.cli", "erasures", "reapply")
    assert again.returncode == 0 and "1 athletes erased again" in again.stdout, again
    for part in ("worker", "decision", "eraser"):
        await stack.restart(part)
    await clinic.erased()
    assert await scrub(stack.settings.owner_database_url) == (1, ())
    assert canary.seen(data_dir, WORDS) == []
    assert (await verify_database(stack.settings, (), 1)).faults == []
    kept = await clinic.ask("GET", f"{stack.decision_url}/v1/athletes/{STAYS}/recommendation", "clinician")
    assert kept.status_code == 200, kept.text

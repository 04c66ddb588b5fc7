"""Drafts over a real history, and approved packs beside the live one: what would have been decided, told to nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from services.cli.protocol import app as protocol
from services.decision.app import create_app
from services.decision.lifecycle import past, shadow
from services.decision.lifecycle.compare import Job, Outcome, decide_again
from services.decision.lifecycle.office import Office
from services.decision.lifecycle.states import Shadow
from services.decision.store.connection import borrowed
from shared.bus import Bus
from shared.settings import Settings
from tests.integration.decision.clinics import Clinic, founded, text_of
from tests.integration.decision.feeding import Run, event, send, settled, started, until

TENANT = "backtests"
PACK = "mil-knee-overuse"
KNEES = "SELECT count(*) FROM decisions WHERE tenant = $1 AND course LIKE '%-knee'"
CLEAN = {"pain_nrs": 0, "swelling": "none", "stiffness_change": "same", "analgesic": "none"}
OFTEN = "clean_sessions: 2, after_failure: 2"
ONCE = text_of("9.1.0", changes=[(OFTEN, "clean_sessions: 1, after_failure: 1")])
THRICE = text_of("9.2.0", changes=[(OFTEN, "clean_sessions: 3, after_failure: 3")])


def session(athlete: str, n: int) -> list[dict[str, Any]]:
    """A clean session on every other day, with its reports."""
    course, hours, name = f"{athlete}-knee", 48 * n - 38, f"{athlete}-s{n}"

    def report(id: str, at: int, when: str, **more: Any) -> dict[str, Any]:
        return event(athlete, f"{name}-{id}", "milepost.symptom.reported", at, {"when": when, **CLEAN, **more}) | {"course": course}

    done = {"session": name, "kind": "run_walk", "completed": True, "rpe": 3, "gait_changed": False, "terrain": "flat"}
    return [
        report("before", hours - 1, "before"),
        event(athlete, name, "milepost.session.completed", hours, done) | {"course": course},
        report("during", hours + 1, "during", session=name),
        report("after", hours + 2, "after", session=name),
        report("morning", hours + 15, "next_morning", session=name),
    ]


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
async def clinic(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[Clinic]:
    async with founded(app, engine, TENANT) as clinic:
        yield clinic


@pytest.fixture
async def fed(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings) -> None:
    """Three athletes with two clean sessions each, and one under another protocol."""
    sent = [started(name, f"{name}-knee") for name in ("amy", "bob", "cyd")]
    sent += [one for name in ("amy", "bob", "cyd") for n in (1, 2) for one in session(name, n)]
    sent.append(started("dee", "dee-other", protocol="progressive-return", start_step="W3"))
    async with borrowed(engine) as connection:
        known = await past.athletes_on(connection, TENANT, PACK)
    if not known:
        async with run(time_speaks=False):
            await send(bus, settings, TENANT, sent)
            await settled(engine, TENANT, sent)


async def drafted(clinic: Clinic, text: str) -> str:
    return str((await clinic.ann.post("/v1/protocols", {"source": text}, 201))["revision"]["hash"])


async def test_a_draft_that_asks_less_is_told_as_more_permissive_with_each_athlete_to_open(clinic: Clinic, fed: None):
    found = await clinic.backtested(await drafted(clinic, ONCE))
    decisions = found["counts"]["decisions"]
    assert found["athletes"] == found["done"] == 3 and found["counts"]["athletes"] == {"more_permissive": 3}
    assert decisions["more_permissive"] >= 3 and decisions["more_conservative"] == decisions["not_comparable"] == 0
    assert "not observed" in found["note"]
    listing = await clinic.lead.get(f"/v1/protocols/{PACK}/backtests/{found['id']}/differences?direction=more_permissive&limit=2")
    first = listing["items"][0]
    assert (first["athlete"], first["course"]) == ("amy", "amy-knee") and listing["next"]
    assert first["before"]["action"] == "hold" and first["after"]["action"] == "advance" and "action hold -> advance" in first["because"]
    assert first["before"]["as_of"] == first["after"]["as_of"] and first["after"]["reasons"] and first["before"]["reasons"]
    assert first["before"]["protocol"]["version"] != first["after"]["protocol"]["version"] == "9.1.0"


async def test_a_draft_that_asks_more_is_told_as_more_conservative(clinic: Clinic, fed: None):
    found = await clinic.backtested(await drafted(clinic, THRICE))
    decisions = found["counts"]["decisions"]
    assert decisions["more_conservative"] >= 3 and decisions["more_permissive"] == 0


async def test_a_draft_that_decides_alike_differs_nowhere_and_the_run_is_a_step_of_its_life(clinic: Clinic, fed: None):
    await clinic.reviewed(text_of("9.3.0"))
    life = await clinic.lead.get(f"/v1/protocols/{PACK}/life")
    simulated = life["revision"]["backtest"]["decisions"]
    assert simulated["same"] >= 30 and simulated["more_permissive"] == simulated["more_conservative"] == 0


async def test_where_the_draft_has_no_such_step_the_course_cannot_be_compared_and_says_why(clinic: Clinic, fed: None):
    hash = await drafted(clinic, text_of("9.4.0", changes=[("P2", "Q2")]))
    found = await clinic.backtested(hash)
    assert found["counts"]["decisions"]["not_comparable"] >= 30
    (one,) = (await clinic.lead.get(f"/v1/protocols/{PACK}/backtests/{found['id']}/differences?limit=1"))["items"]
    assert one["after"] is None and "data.start_step: expected a step" in one["because"]


async def test_athletes_are_opened_only_by_who_may_read_decisions(clinic: Clinic, fed: None):
    found = await clinic.backtested(await drafted(clinic, ONCE.replace("9.1.0", "9.1.1")))
    for path in (f"/v1/protocols/{PACK}/backtests/{found['id']}/differences", f"/v1/protocols/{PACK}/shadow"):
        with pytest.raises(AssertionError, match="decisions:read"):
            await clinic.ann.get(path)


async def test_a_cancelled_run_stops_and_keeps_what_it_found(clinic: Clinic, app: FastAPI, fed: None, monkeypatch: pytest.MonkeyPatch):
    hash = await drafted(clinic, ONCE.replace("9.1.0", "9.1.2"))
    monkeypatch.setattr("services.decision.lifecycle.backtest.AT_ONCE", 1)
    served: list[str] = []
    identity: list[str] = []

    async def cancelled_after_the_first(work: Any, job: Job) -> Any:
        served.append(job.athletes[0].athlete)
        outcomes = work(job)
        if len(served) == 2:
            (run,) = [one for one in (await clinic.ann.get(f"/v1/protocols/{PACK}/backtests"))["items"] if one["state"] == "running"]
            identity.append(run["id"])
            assert (await clinic.ann.post(f"/v1/protocols/{PACK}/backtests/{run['id']}/cancel", None))["state"] == "cancelled"
        return outcomes

    monkeypatch.setattr(app.state.backtests._pool, "run", cancelled_after_the_first)
    started_run = await clinic.ann.post(f"/v1/protocols/{PACK}/backtests", {"hash": hash}, 202)

    async def ended() -> bool:
        return not app.state.backtests._running

    await until(ended, 90)
    found = await clinic.ann.get(f"/v1/protocols/{PACK}/backtests/{started_run['id']}")
    assert (found["state"], found["done"], served, identity) == ("cancelled", 1, ["amy", "bob"], [found["id"]])


@pytest.fixture
def files(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files of packs, beside the database of the settings."""
    monkeypatch.setenv("MILEPOST_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("MILEPOST_SECRET_KEY", settings.secret_key)
    texts = {"as-shipped": text_of("9.0.0"), "once": ONCE, "thrice": THRICE}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return {name: str(tmp_path / f"{name}.yaml") for name in texts}


async def told(*words: str) -> tuple[int, str]:
    found = await asyncio.to_thread(CliRunner().invoke, protocol, ["diff", *words])
    return found.exit_code, found.output


async def by_history(*words: str) -> dict[str, Any]:
    code, output = await told(*words, "--history", "--json")
    assert code == 1, output
    found: dict[str, Any] = json.loads(output)["history"]
    return found


async def test_the_difference_of_two_packs_lists_the_past_decisions_that_would_differ(
    files: dict[str, str], fed: None, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    async with borrowed(engine) as connection:
        made = await connection.fetchval(KNEES, TENANT)
        kept = await connection.fetchval("SELECT count(*) FROM backtests")
    freer = await by_history(PACK, files["once"])
    assert sum(freer["counts"].values()) == made and freer["athletes"] == 3 and freer["made_otherwise"] == 0 and not freer["unread"]
    assert freer["counts"]["more_permissive"] >= 3 and freer["counts"]["more_conservative"] == 0 and "not observed" in freer["note"]
    first = freer["differing"][0]
    assert (first["tenant"], first["course"], first["direction"]) == (TENANT, "amy-knee", "more_permissive")
    assert "action hold -> advance" in first["because"] and first["was"] != first["would_be"] and first["seq"] and first["as_of"]
    stricter = await by_history(PACK, files["thrice"])
    assert stricter["counts"]["more_conservative"] >= 3 and stricter["counts"]["more_permissive"] == 0
    async with borrowed(engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM backtests") == kept
    monkeypatch.setattr("services.decision.lifecycle.stored.AT_ONCE", 1)
    assert await by_history(PACK, files["once"], "--tenant", TENANT) == freer


async def test_where_the_record_is_of_another_pack_both_decide_again(files: dict[str, str], fed: None):
    found = await by_history(files["once"], files["thrice"])
    assert found["made_otherwise"] == sum(found["counts"].values())
    stricter, beside_the_record = found["counts"]["more_conservative"], (await by_history(PACK, files["thrice"]))["counts"]
    assert stricter > beside_the_record["more_conservative"] and found["counts"]["more_permissive"] == 0
    assert any("advance -> hold" in one["because"] for one in found["differing"])


async def test_the_command_tells_past_decisions_in_words_and_says_what_nobody_observed(files: dict[str, str], fed: None):
    code, output = await told(PACK, files["once"], "--history")
    parts = ("History: of", "Decisions more permissive", "amy-knee", "Decisions more conservative: none", "was not observed")
    places = [output.index(words) for words in parts]
    assert code == 1 and places == sorted(places)
    assert "no stored decision is of a course" in (await told("tibia-bsi-lowrisk", files["once"], "--history"))[1]


async def test_what_a_tenant_published_can_be_named_and_comes_before_what_is_shipped(
    clinic: Clinic, files: dict[str, str], fed: None, app: FastAPI, engine: AsyncEngine
):
    other = f"{TENANT}-other"
    own, name = text_of("1.0.0", pack="own-knee"), "own-knee"
    hash = await clinic.published(own, name)
    code, output = await told(f"{name}@1.0.0", files["as-shipped"])
    assert code == 0 and output.startswith(f"{name}@1.0.0 {hash[:19]} becomes {PACK}@9.0.0"), output
    assert (await told(name, hash))[0] == 0, "by id and by content it is the same"
    later = await clinic.published(text_of("1.1.0", pack=name), name)
    code, output = await told(f"{name}@1.0.0", name, "--tenant", TENANT)
    assert code == 0 and f"{name}@1.0.0 {hash[:19]} becomes {name}@1.1.0 {later[:19]}" in output
    async with founded(app, engine, other) as elsewhere:
        await elsewhere.published(own.replace("1.0.0", "1.2.0"), name)
    code, output = await told(name, files["as-shipped"])
    assert code == 2 and f"was published by {TENANT}, {other}: say with --tenant whose is meant" in output
    assert (await told(name, files["once"], "--tenant", other))[0] == 1
    code, output = await told(f"{name}@7.7.7", files["as-shipped"], "--tenant", other)
    assert code == 2 and f"{other} has not published one of that name" in output


async def test_a_check_says_of_stored_decisions_which_rules_they_never_met(files: dict[str, str], fed: None, engine: AsyncEngine):
    async def checked(*words: str) -> tuple[int, str]:
        found = await asyncio.to_thread(CliRunner().invoke, protocol, ["check", files["as-shipped"], *words])
        return found.exit_code, found.output

    async with borrowed(engine) as connection:
        made = await connection.fetchval(KNEES, TENANT)
    code, output = await checked("--history", "--tenant", TENANT)
    assert code == 0 and f"{made} stored decisions of 3 athletes were looked at" in output
    assert f"mil.hold-pain-ceiling is met by 0 of {made} stored decisions" in output
    assert f"0 of {made} stored decisions stand at" in output and "floor.red-flag" not in output
    code, output = await checked("--history", "--tenant", TENANT, "--notes")
    assert f"floor.red-flag is met by 0 of {made} stored decisions" in output
    code, output = await checked()
    assert code == 0 and "no stored decision was looked at (--history)" in output
    assert (await checked("--tenant", TENANT))[0] == 2


async def test_the_check_of_a_draft_and_its_backtest_look_at_history_too(clinic: Clinic, fed: None, engine: AsyncEngine):
    hash = await drafted(clinic, text_of("9.7.0"))
    async with borrowed(engine) as connection:
        made = await connection.fetchval(KNEES, TENANT)
    life = await clinic.ann.post(f"/v1/protocols/{PACK}/check", {"hash": hash})
    report, never = life["revision"]["check"], f"mil.hold-pain-ceiling is met by 0 of {made} stored decisions"
    assert report["ok"] and report["history"] == f"{made} stored decisions of 3 athletes were looked at"
    assert any(one["code"] == "DEAD" and one["sentence"] == never for one in report["warnings"])
    found = await clinic.backtested(hash)
    assert found["looked_at"] == report["history"] and never in [one["sentence"] for one in found["history"]]
    assert "lived" not in found["counts"]


async def test_a_backtest_over_other_courses_is_no_step_while_there_are_courses_of_its_own(clinic: Clinic, fed: None):
    async def simulated(pack: str, over: str) -> bool:
        text = text_of("1.0.1", pack=pack) if pack != PACK else text_of("9.8.0")
        hash = await drafted(clinic, text)
        for step in ("check", "test"):
            await clinic.stepped(hash, step, pack)
        run = await clinic.ann.post(f"/v1/protocols/{pack}/backtests", {"hash": hash, "over": over}, 202)

        async def ended() -> bool:
            return bool((await clinic.ann.get(f"/v1/protocols/{pack}/backtests/{run['id']}"))["state"] == "done")

        await until(ended, 90)
        return bool((await clinic.ann.get(f"/v1/protocols/{pack}/life"))["state"] == "simulated")

    assert not await simulated(PACK, "progressive-return"), "its own courses are to be looked at"
    assert await simulated("new-knee", PACK)
    assert not await simulated("newer-knee", "tibia-bsi-lowrisk"), "nobody was there to look at"


async def test_a_backtest_is_done_no_earlier_than_its_step_is_written(clinic: Clinic, fed: None, monkeypatch: pytest.MonkeyPatch):
    seen: list[list[str]] = []
    hash = await drafted(clinic, text_of("9.8.1"))
    for step in ("check", "test"):
        await clinic.stepped(hash, step)
    note = Office.note

    async def looked(office: Office, *args: Any) -> Any:
        written = await note(office, *args)
        if args[4] == "simulated":
            runs = (await clinic.ann.get(f"/v1/protocols/{PACK}/backtests"))["items"]
            seen.append([one["state"] for one in runs if one["hash"] == hash])
        return written

    monkeypatch.setattr(Office, "note", looked)
    run = await clinic.ann.post(f"/v1/protocols/{PACK}/backtests", {"hash": hash}, 202)

    async def ended() -> bool:
        return bool((await clinic.ann.get(f"/v1/protocols/{PACK}/backtests/{run['id']}"))["state"] == "done")

    await until(ended, 90)
    assert seen == [["running"]], "to everybody else it goes on until the step stands"
    assert (await clinic.ann.get(f"/v1/protocols/{PACK}/life"))["state"] == "simulated"


async def test_without_a_database_history_is_refused_in_words(
    files: dict[str, str], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MILEPOST_DATABASE_URL", "postgresql+asyncpg://nobody@127.0.0.1:1/none")
    code, output = await told(PACK, files["once"], "--history")
    assert code == 2 and "the database does not answer" in output
    monkeypatch.delenv("MILEPOST_DATABASE_URL")
    monkeypatch.setenv("MILEPOST_DATA_DIR", str(tmp_path / "none"))
    code, output = await told(PACK, files["once"], "--history")
    assert code == 2 and "start `milepost up`" in output


async def test_a_shadow_looks_at_every_later_decision_and_nobody_is_told(
    clinic: Clinic, app: FastAPI, fed: None, run: Run, engine: AsyncEngine, bus: Bus, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    hash = await clinic.approved(text_of("9.5.0"))
    async with borrowed(engine) as connection:
        before = await connection.fetchval(KNEES, TENANT)
    await clinic.lead.post(f"/v1/protocols/{PACK}/shadow", {"hash": hash})
    later = [one for name in ("amy", "bob") for one in session(name, 3)]
    async with run(time_speaks=False):
        await send(bus, settings, TENANT, later)
        await settled(engine, TENANT, later)
    async with borrowed(engine) as connection:
        made = await connection.fetchval(KNEES, TENANT) - before
        outbox = await connection.fetchval("SELECT count(*) FROM outbox WHERE tenant = $1", TENANT)

    async def caught_up() -> bool:
        return sum((await clinic.lead.get(f"/v1/protocols/{PACK}/shadow"))["counts"].values()) == made

    await until(caught_up, 90)
    report = await clinic.lead.get(f"/v1/protocols/{PACK}/shadow")
    assert report["counts"] == {"same": made} and report["items"] == []
    async with borrowed(engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE tenant = $1", TENANT) == outbox
        assert await connection.fetchval(KNEES, TENANT) == before + made
    ended = await clinic.lead.post(f"/v1/protocols/{PACK}/shadow/end", {"hash": hash})
    assert ended["state"] == "approved"


class OnePool:
    """Runs work here, and dies of one athlete."""

    def __init__(self, deadly: str) -> None:
        self.deadly = deadly

    async def run(self, work: Any, job: Job) -> list[Outcome]:
        if any(one.athlete == self.deadly for one in job.athletes):
            raise RuntimeError("the process ended")
        return decide_again(job)


async def test_what_a_shadow_cannot_follow_is_parked_once_and_keeps_nobody_waiting(
    clinic: Clinic, app: FastAPI, fed: None, engine: AsyncEngine
):
    hash = await drafted(clinic, ONCE.replace("9.1.0", "9.6.0"))
    life = app.state.packs.lives[TENANT, PACK]
    revision = replace(life.revision, hash=hash, state="shadow", shadow=Shadow(datetime.now(UTC), {}))
    pool: Any = OnePool("bob")
    while await shadow.follow(engine, app.state.packs, pool, TENANT, PACK, revision):
        pass
    async with borrowed(engine) as connection:
        counts = await past.shadow_counts(connection, TENANT, PACK, hash)
        rows = await past.shadow_differences(connection, TENANT, PACK, hash, 100)
        assert await past.unshadowed(connection, TENANT, PACK, hash, {}, 10) == {}
    assert counts["more_permissive"] >= 2 and counts["not_comparable"] >= 11
    parked = [row for row in rows if row.direction == "not_comparable"]
    assert {row.athlete for row in parked} == {"bob"} and "the process ended" in (parked[0].because or "")
    freer = [row for row in rows if row.direction == "more_permissive"]
    actions = {(orjson.loads(row.before or b"{}").get("action"), orjson.loads(row.after or b"{}").get("action")) for row in freer}
    assert ("hold", "advance") in actions


@pytest.mark.parametrize("damaged", ["set_bit(body, 200, 1 - get_bit(body, 200))", "'not JSON'::bytea"])
async def test_a_decision_that_is_stored_damaged_ends_as_a_fault_with_its_place_and_keeps_nobody_waiting(
    damaged: str, clinic: Clinic, app: FastAPI, fed: None, engine: AsyncEngine, owner: AsyncEngine
):
    hash = await drafted(clinic, ONCE.replace("9.1.0", f"9.7.{len(damaged)}"))
    async with borrowed(engine) as connection:
        await app.state.packs.refresh(connection)
    life = app.state.packs.lives[TENANT, PACK]
    revision = replace(life.revision, hash=hash, state="shadow", shadow=Shadow(datetime.now(UTC), {}))
    pool: Any = OnePool("nobody")
    where = "course = 'cyd-knee' AND seq = 3"
    async with owner.connect() as conn:
        before = (await conn.exec_driver_sql(f"SELECT body FROM decisions WHERE {where}")).scalar_one()
    try:
        async with owner.begin() as conn:
            await conn.exec_driver_sql(f"UPDATE decisions SET body = {damaged} WHERE {where}")
        rounds = 0
        while await shadow.follow(engine, app.state.packs, pool, TENANT, PACK, revision):
            rounds += 1
            assert rounds < 5, "it tries again for ever"
        async with borrowed(engine) as connection:
            assert await past.unshadowed(connection, TENANT, PACK, hash, {}, 10) == {}
            rows = await past.shadow_differences(connection, TENANT, PACK, hash, 1000)
        parked = [row for row in rows if row.direction == "not_comparable"]
        assert {row.athlete for row in parked} == {"cyd"} and {row.athlete for row in rows} >= {"amy", "bob"}
        place = "decision 3 of course cyd-knee is stored damaged; `milepost verify` tells what was altered"
        assert all(place in (row.because or "") for row in parked)
        assert [row.seq for row in parked if row.before is None] == [3]
        found = await clinic.backtested(hash)
        assert (found["done"], found["counts"]["athletes"]) == (3, {"failed": 1, "more_permissive": 2})
    finally:
        async with owner.begin() as conn:
            await conn.exec_driver_sql(f"UPDATE decisions SET body = $1 WHERE {where}", (before,))


async def test_an_unknown_run_does_not_exist(clinic: Clinic, app: FastAPI, fed: None):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://decision", headers=clinic.lead.headers) as client:
        assert (await client.get(f"/v1/protocols/{PACK}/backtests/none")).status_code == 404

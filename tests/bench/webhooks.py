"""How many signed webhooks leave per second for receivers on loopback that answer at once."""

import asyncio
import sys
from subprocess import PIPE
from typing import Any

import aiohttp
import orjson

from shared.bus import Bus, decision_subject
from shared.placing import partition, pseudonym
from tests.bench.figures import Figure
from tests.bench.site import Site

TENANTS = tuple(f"hooks{number}" for number in range(4))
COURSES = 600


async def measure(site: Site) -> Figure:
    """Decisions of as many courses as there are notices, straight on DECISIONS; rate between the first and the last arrival."""
    receiver = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.receiver", stdin=PIPE, stdout=PIPE)
    assert receiver.stdout is not None and receiver.stdin is not None
    port = int(await receiver.stdout.readline())
    async with aiohttp.ClientSession() as http:
        for tenant in TENANTS:
            headers = {"Authorization": f"Bearer {site.keys[tenant, 'integrator']}"}
            asked = {"url": f"http://127.0.0.1:{port}/{tenant}"}
            async with http.post(f"{site.stack.notify_url}/v1/endpoints", json=asked, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
        bus = await Bus.connect(site.stack.settings, "milepost-bench")
        messages = [_message(site, tenant, number) for number in range(COURSES) for tenant in TENANTS]
        for at in range(0, len(messages), 500):
            await bus.publish_batch(messages[at : at + 500])
        await bus.close()
        async with asyncio.timeout(40):
            while True:
                async with http.get(f"http://127.0.0.1:{port}/") as answer:
                    seen = await answer.json()
                if seen["count"] >= len(messages):
                    break
                await asyncio.sleep(0.05)
    receiver.stdin.close()
    await receiver.wait()
    rate = (seen["count"] - 1) / (seen["last"] - seen["first"])
    return Figure(
        f"webhooks delivered, {len(TENANTS)} endpoints", "webhooks", rate, note=f"{seen['count']} signed, recorded, each attempt stored"
    )


def _message(site: Site, tenant: str, number: int) -> tuple[str, bytes]:
    athlete, key = f"athlete-{number}", site.stack.settings.pseudonym_key_bytes
    decision: dict[str, Any] = {
        "id": f"{tenant}-{number}", "course": f"course-{number}", "subject": athlete, "seq": 1, "action": "hold", "from_step": "W1",
        "to_step": "W1", "running": "as_dosed", "urgency": "routine", "not_before": None, "summary": "Hold.", "answer": None,
        "supersedes": None, "as_of": "2026-03-01T11:00:00Z", "as_at": "2026-03-01T11:00:01Z",
    }  # fmt: skip
    row = {"outbox": 10**9 + number * len(TENANTS) + TENANTS.index(tenant), "kind": "decision", "tenant": tenant, "athlete": athlete}
    row |= {"course": decision["course"], "cause": {}, "body": decision}
    return decision_subject(partition(tenant, athlete), pseudonym(key, tenant, athlete)), orjson.dumps(row)

"""The floor under webhooks: the same signed bodies posted with the service's own client, and nothing stored.

`python -m tests.bench.posts URL COUNT AT_ONCE ENDPOINTS` posts so many, so many at once to each of the endpoints, and prints its
processor time in seconds.
"""

import asyncio
import sys
from collections import deque
from subprocess import PIPE
from time import process_time

import uvloop

from services.notify import sign
from services.notify.attempt import attempt
from services.notify.client import Client
from services.notify.deliver import utc_now
from services.notify.guard import Rules

BODY = (
    b'{"type":"recommendation.changed","timestamp":"2026-03-01T11:00:01Z","data":{"id":"flood-1000000000","course":"course-1000000000",'
    b'"subject":"athlete-1000000000","seq":1,"action":"hold","from_step":"W1","to_step":"W1","running":"as_dosed","urgency":"routine",'
    b'"not_before":null,"summary":"Hold.","supersedes":null,"as_of":"2026-03-01T11:00:00Z","as_at":"2026-03-01T11:00:01Z",'
    b'"fetch":"/v1/courses/course-1000000000/recommendation"}}'
)


async def post(url: str, count: int, at_once: int, endpoints: int) -> float:
    """Posts from another process; its processor time in seconds."""
    words = [url, str(count), str(at_once), str(endpoints)]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.posts", *words, stdout=PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, "the posts failed"
    return float(output)


async def _main(url: str, count: int, at_once: int, endpoints: int) -> float:
    begin, rules, key = process_time(), Rules(frozenset({443}), allow_loopback=True), (sign.read_secret(sign.new_secret()),)
    waiting = deque(range(count))

    async with Client(rules, 15) as client:

        async def work(endpoint: int) -> None:
            while waiting:
                answer = await attempt(client, rules, f"{url}/{endpoint}", f"msg_{waiting.popleft()}", key, BODY, utc_now)
                assert answer.outcome == "delivered", answer.error

        async with asyncio.TaskGroup() as group:
            for place in range(at_once * endpoints):
                group.create_task(work(place % endpoints))
    return process_time() - begin


if __name__ == "__main__":
    url, *numbers = sys.argv[1:]
    print(uvloop.run(_main(url, *map(int, numbers))))

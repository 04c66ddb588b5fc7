"""The chain as a sender sees it: events and files in over HTTP, outcomes and decisions read back, each waited for on its condition."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp

from services.cli.stack import Stack

T = TypeVar("T")
Record = dict[str, Any]

WITHIN_S: Final = 30.0
POLL_S: Final = 0.02


class DoesNotHold(Exception):
    """Something that the demonstration shows did not happen; the text is the sentence for the person who looks."""


class Refused(Exception):
    """A service refused a request; the text says why, as the service did."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Chain:
    """`keys` are API keys by role (`clinician`, `integrator`)."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, keys: Mapping[str, str]) -> None:
        self._stack = stack
        self._session = session
        self._keys = keys

    async def send(self, events: Sequence[Record], role: str) -> None:
        """A batch. Raises `DoesNotHold` unless every event is accepted."""
        answer = await self._call(
            "POST", f"{self._stack.ingest_url}/v1/events", role, json=list(events), media="application/cloudevents-batch+json"
        )
        refused = [outcome for outcome in answer["outcomes"] if outcome["outcome"] != "accepted"]
        if refused:
            raise DoesNotHold(f"event {refused[0]['id']} was {refused[0]['outcome']}: {refused[0]['faults']}")

    async def send_file(self, athlete: str, file: bytes, query: Mapping[str, str], role: str = "integrator") -> Record:
        """A FIT file; what was read of it. Raises `Refused`."""
        url = f"{self._stack.ingest_url}/v1/athletes/{quote(athlete, safe='')}/files"
        return await self._call("POST", url, role, data=file, params=dict(query), media="application/vnd.ant.fit")

    async def outcome(self, source: str, event: str) -> Record:
        """What became of an event, once it is in history and decided."""
        url = f"{self._stack.decision_url}/v1/events/{quote(source, safe='')}/{quote(event, safe='')}"

        async def ask() -> Record | None:
            try:
                found = await self._call("GET", url, "integrator")
            except Refused as fault:
                if fault.status == 404:
                    return None
                raise
            return found if found["status"] == "refused" or found["decisions"] else None

        return await self._until(ask, f"event {event} was accepted, but no decision came of it")

    async def decisions(self, course: str) -> list[Record]:
        """Every decision of the course, in the order made."""
        return await self._items(f"{self._stack.decision_url}/v1/courses/{quote(course, safe='')}/decisions", limit="200")

    async def course(self, course: str) -> Record:
        return await self._call("GET", f"{self._stack.decision_url}/v1/courses/{quote(course, safe='')}", "integrator")

    async def protocol(self, reference: str) -> Record:
        return await self._call("GET", f"{self._stack.decision_url}/v1/protocols/{quote(reference, safe='')}", "integrator")

    async def register(self, url: str) -> Record:
        """A new webhook endpoint, with its secret."""
        asked = {"url": url, "description": "the demonstration's own receiver"}
        return await self._call("POST", f"{self._stack.notify_url}/v1/endpoints", "integrator", json=asked, media="application/json")

    async def deliveries(self, endpoint: str) -> list[Record]:
        """Every delivery to the endpoint, once none is under way any more."""

        async def ask() -> list[Record] | None:
            found = await self._items(f"{self._stack.notify_url}/v1/endpoints/{endpoint}/deliveries")
            return None if any(one["state"] == "pending" for one in found) else found

        return await self._until(ask, "a webhook is still on its way")

    async def _items(self, url: str, **query: str) -> list[Record]:
        items: list[Record] = []
        following: str | None = ""
        while following is not None:
            page = await self._call("GET", url, "integrator", params=query | ({"cursor": following} if following else {}))
            items += page["items"]
            following = page["next"]
        return items

    async def _until(self, ask: Callable[[], Awaitable[T | None]], otherwise: str) -> T:
        deadline = time.monotonic() + WITHIN_S
        while (found := await ask()) is None:
            if time.monotonic() > deadline:
                raise DoesNotHold(f"{otherwise} within {WITHIN_S:g} s")
            await asyncio.sleep(POLL_S)
        return found

    async def _call(self, method: str, url: str, role: str, media: str = "", **options: Any) -> Record:
        headers = {"Authorization": f"Bearer {self._keys[role]}"} | ({"Content-Type": media} if media else {})
        async with self._session.request(method, url, headers=headers, **options) as answer:
            if answer.status >= 400:
                said = await answer.json(content_type=None)
                faults = "; ".join(f"{one['path']}: expected {one.get('expected', '')}" for one in said.get("faults", ()))
                raise Refused(answer.status, faults or str(said.get("detail", said.get("title", ""))))
            found: Record = await answer.json()
            return found

"""Events for the worker, sent as ingest sends them, and waiting for what comes of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.core.question import Answer, Question
from services.decision.engines.durable import EngineFault
from services.decision.store.connection import borrowed
from shared.bus import Bus, Delivered, event_subject
from shared.events import canonical
from shared.placing import partition, pseudonym
from shared.settings import Settings

START = datetime(2026, 3, 2, 7, tzinfo=UTC)
Run = Callable[..., Any]


class Agreeing:
    """A second engine that says what the reference says, until `twist` has something else to say of a question."""

    def __init__(self, twist: Callable[[Question], Answer | EngineFault | None] = lambda question: None) -> None:
        self.twist = twist
        self.asked = 0

    async def judge(self, questions: Sequence[Question]) -> list[Answer | EngineFault]:
        self.asked += len(questions)
        return [self.twist(question) or question.answer for question in questions]


def started(athlete: str, course: str, **data: Any) -> dict[str, Any]:
    body = {
        "course": course,
        "protocol": "mil-knee-overuse",
        "injury": {"tissue": "joint", "site": "knee", "side": "left"},
        "timezone": "UTC",
        "birth_year": 1990,
        "start_step": "P2",
    }
    return event(athlete, f"{course}-start", "milepost.course.started", 0, body | data)


def pain(athlete: str, course: str, number: int, nrs: int = 0) -> dict[str, Any]:
    data = {"when": "daily", "pain_nrs": nrs}
    return event(athlete, f"{course}-pain-{number}", "milepost.symptom.reported", number, data) | {"course": course}


def event(athlete: str, id: str, kind: str, hours: int, data: dict[str, Any]) -> dict[str, Any]:
    time = (START + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    return {"specversion": "1.0", "id": id, "source": "urn:test", "type": kind, "subject": athlete, "time": time, "data": data}


async def send(bus: Bus, settings: Settings, tenant: str, events: Sequence[dict[str, Any]]) -> int:
    """Publishes as ingest does; the last stream sequence."""
    messages = []
    for body in events:
        athlete = body["subject"]
        subject = event_subject(partition(tenant, athlete), pseudonym(settings.pseudonym_key_bytes, tenant, athlete))
        messages.append((subject, canonical(body | {"tenant": tenant, "recordedtime": "2026-03-20T10:00:00Z"})))
    return (await bus.publish_batch(messages)).seq


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
    deadline = monotonic() + seconds
    while not await condition():
        assert monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


async def on_stream(bus: Bus, stream: str, *subjects: str) -> list[Delivered]:
    """Every message that the stream has of these subjects now, however long the server takes to hand them out."""
    infos = [await bus.api(f"STREAM.INFO.{stream}", {"subjects_filter": subject}) for subject in subjects]
    there = sum(sum((info["state"].get("subjects") or {}).values()) for info in infos)
    reader = await bus.pull_consumer(stream, "test-reader", subjects, 1, 1000)
    found: list[Delivered] = []

    async def every() -> bool:
        if len(found) < there and (some := await reader.fetch(1000, 1.0)):
            await reader.ack_all(some[-1])
            found.extend(some)
        return len(found) >= there

    await until(every)
    await reader.close()
    await bus.delete_consumer(stream, "test-reader")
    return found


async def settled(engine: AsyncEngine, tenant: str, events: Sequence[dict[str, Any]]) -> None:
    """Waits until history knows every one of these events, or a conflict under its key."""

    async def known() -> bool:
        async with borrowed(engine) as connection:
            found = await connection.fetch("SELECT source, id FROM events WHERE tenant = $1", tenant)
        return {(body["source"], body["id"]) for body in events} <= {(row["source"], row["id"]) for row in found}

    await until(known)

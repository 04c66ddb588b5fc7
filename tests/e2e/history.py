"""What history, the outbox and the deliveries hold at the end of a run, read in one go; and when the end is reached."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import asyncpg

from services.decision.store.bodies import envelopes
from shared.bus import DECISIONS, Bus, BusError
from shared.keyed import connection_class
from shared.settings import Settings

Row = Mapping[str, Any]

_EVENTS = "SELECT partition, seq, stream_seq, tenant, athlete, source, id, type, digest, body FROM events ORDER BY partition, seq"
_OUTCOMES = """SELECT o.tenant, o.source, o.id, o.seq, o.n, o.status, o.path, o.reason, e.athlete
FROM event_outcomes AS o JOIN events AS e ON e.tenant = o.tenant AND e.source = o.source AND e.id = o.id
ORDER BY o.tenant, o.source, o.id, o.seq, o.n"""
_CONFLICTS = "SELECT tenant, source, id, athlete, body FROM event_conflicts"
_DECISIONS = """SELECT tenant, course, seq, id::text AS id, athlete, partition, event_seq, cause_source, cause_id, body
FROM decisions ORDER BY tenant, course, seq"""
_HEADS = "SELECT partition, seq FROM partition_heads ORDER BY partition"
_COURSES = "SELECT tenant, course, seq FROM courses"
_TOLD = "SELECT tenant, course, told::text AS told, waiting::text AS waiting FROM course_notices"
_DELIVERIES = """SELECT d.id, d.tenant, d.notice, d.course, d.state, d.because, n.type, n.seq, n.outbox
FROM deliveries AS d JOIN notices AS n ON n.id = d.notice"""
_NOTICES = "SELECT id, tenant, course, seq, type, outbox FROM notices"


@dataclass(frozen=True)
class History:
    """Rows as the columns name them, in the order of the primary key."""

    events: list[Row]
    outcomes: list[Row]
    conflicts: list[Row]
    decisions: list[Row]
    heads: list[Row]
    courses: list[Row]
    told: list[Row]
    deliveries: list[Row]
    notices: list[Row]
    outbox: int


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Any]:
    """A connection as the services' role."""
    url, keyed = settings.database_url.replace("+asyncpg", ""), connection_class(settings.secret_key_bytes)
    connection = await asyncpg.connect(url, timeout=60, connection_class=keyed)
    try:
        yield connection
    finally:
        await connection.close()


async def at_rest(settings: Settings, source: str, wanted: int, within_s: float) -> History:
    """Everything, once `wanted` events of `source` are in history and nothing is under way any more. Raises AssertionError naming what is.

    Time itself may go on to speak of courses that have been quiet for long; then the reading is taken anew.
    """
    deadline = monotonic() + within_s
    # The eraser's credential: it may look at single messages of every stream.
    bus = await Bus.connect(settings.model_copy(update={"nats_url": settings.eraser_nats_url}), "milepost-test")
    try:
        async with connected(settings) as connection:
            while True:
                decided = await connection.fetchval("SELECT count(*) FROM decisions")
                try:
                    why_not = await _under_way(connection, bus, source, wanted)
                except BusError as fault:
                    # Of a cluster, a stream may be without a leader yet.
                    why_not = str(fault)
                if not why_not:
                    found = await _read(connection)
                    if len(found.decisions) == decided:
                        return found
                assert monotonic() < deadline, f"after {within_s:g} s: {why_not or 'decisions are still being made'}"
                await asyncio.sleep(0.05)
    finally:
        await bus.close()


async def _read(connection: Any) -> History:
    async def rows(query: str) -> list[Row]:
        found = [dict(row) for row in await connection.fetch(query)]
        sealed = await envelopes(connection, {(row["tenant"], row["athlete"]) for row in found if "athlete" in row})
        for row in found:
            if "body" in row:
                row["body"] = sealed.body(row["tenant"], row["athlete"], row["body"])
            if "reason" in row:
                row["reason"] = sealed.text(row["tenant"], row["athlete"], row["reason"])
        return list[Row](found)

    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return History(
            events=await rows(_EVENTS),
            outcomes=await rows(_OUTCOMES),
            conflicts=await rows(_CONFLICTS),
            decisions=await rows(_DECISIONS),
            heads=await rows(_HEADS),
            courses=await rows(_COURSES),
            told=await rows(_TOLD),
            deliveries=await rows(_DELIVERIES),
            notices=await rows(_NOTICES),
            outbox=await connection.fetchval("SELECT count(*) FROM outbox"),
        )


async def _under_way(connection: Any, bus: Bus, source: str, wanted: int) -> str:
    """What is not at rest, looked at in the order of the flow: what a later look finds at rest, an earlier stage cannot move any more."""
    stored = await connection.fetchval("SELECT count(*) FROM events WHERE source = $1", source)
    if stored < wanted:
        return f"{stored} of {wanted} acknowledged events are in history"
    if count := await connection.fetchval("SELECT count(*) FROM outbox"):
        return f"{count} rows wait in the outbox"
    # Of the stream itself: a consumer that is being made anew says for a moment that nothing is pending.
    told = await connection.fetchval("SELECT stream_seq FROM notice_reading") or 0
    beyond = await bus.api(f"STREAM.MSG.GET.{DECISIONS}", {"seq": told + 1, "next_by_subj": ">"}, missing=10037)
    if beyond is not None:
        return f"notify told up to {told}, and {beyond['message']['seq']} waits on the bus"
    for what, query in (
        ("courses wait for their window", "SELECT count(*) FROM course_notices WHERE waiting IS NOT NULL"),
        ("deliveries are pending", "SELECT count(*) FROM deliveries WHERE state = 'pending'"),
    ):
        if count := await connection.fetchval(query):
            return f"{count} {what}"
    return ""

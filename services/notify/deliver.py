"""Delivers what is due: to many endpoints at once, to each course in order, and to no endpoint at another's expense.

The store says what is due; this process holds only what is under way and, per endpoint, when to look again. So a restart loses
nothing: an attempt whose outcome was not recorded is due still, and is made again with the same id and bytes.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

import asyncpg
import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import keys, measures, operations
from services.notify.attempt import Answer, attempt
from services.notify.client import Client
from services.notify.guard import Rules
from services.notify.lanes import Lane
from services.notify.links import Links
from services.notify.notices import EXHAUSTED, FAILING, RECOVERED
from services.notify.operations import Happening
from services.notify.payloads import rendered
from services.notify.release import AFTER_CLINICIAN, Blocked, Reader, judged_again
from services.notify.schedule import honoured
from services.notify.settle import attempt_row, blocked, settle
from services.notify.sign import SecretFault
from services.notify.store import sending, telling
from services.notify.store.connection import Connection, reading, transaction
from services.notify.store.sending import Attempt, Breaker, Due, Settled
from services.notify.vault import Vault, VaultFault
from shared.crash import point
from shared.settings import Settings

MOST_UNDER_WAY: Final = 1024
RECORDED_TOGETHER: Final = 500
DRAIN_S: Final = 5.0
MEASURE_EVERY_S: Final = 5.0
_STORE_FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError, TimeoutError)

_log = structlog.get_logger("milepost.notify.deliver")


class _Done(NamedTuple):
    """An ended attempt; `answer` and `attempt` are None where nothing was sent because nothing may be."""

    due: Due
    answer: Answer | None
    attempt: Attempt | None
    settled: Settled


class _Turn(NamedTuple):
    """A circuit breaker that moved; `was` is until when it rested at the last writing, None when it was closed."""

    breaker: Breaker
    tenant: str
    was: datetime | None


def utc_now() -> datetime:
    """The clock of this service."""
    return datetime.now(UTC)


class Deliverer:
    """Everything that is under way. `hint` tells it where something is due; `run` works until cancelled, then lets attempts end for 5 s."""

    def __init__(self, database: AsyncEngine, settings: Settings, vault: Vault, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._waits = settings.retry_schedule_s
        self._timeout_s = settings.delivery_timeout_s
        self._rules = Rules(settings.webhook_ports, settings.allow_loopback_webhooks)
        self._vault = vault
        self._links = Links(settings)
        self._disable_after_s = settings.disable_endpoint_after_s
        self._clock = clock
        self._changed: dict[str, _Turn] = {}
        self._overdue: set[str] = set()
        self._lanes: dict[str, Lane] = {}
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Queue[_Done] = asyncio.Queue()
        self._wake = asyncio.Event()

    def hint(self, endpoints: Iterable[str], held: Mapping[str, datetime] | None = None) -> None:
        """Something is due now for these endpoints, and for those in `held` at that moment."""
        now = self._clock()
        for endpoint in endpoints:
            self._lane(endpoint).hint(now)
        for endpoint, moment in (held or {}).items():
            self._lane(endpoint).hint(moment)
        self._wake.set()

    async def run(self) -> None:
        """Delivers until cancelled. Raises what the store raises when it cannot be asked."""
        # Begun anew, nothing is under way: what a former run did not record is due still.
        self._lanes.clear()
        self._busy.clear()
        self._tasks.clear()
        self._done = asyncio.Queue()
        self._changed.clear()
        self._overdue.clear()
        async with reading(self._database) as connection:
            for breaker in await sending.breakers(connection):
                if breaker.failing_since is not None:
                    self._lane(breaker.endpoint).restore(breaker.failing_since, breaker.rests_until)
            self.hint(await sending.endpoints_with_pending(connection))
        async with Client(self._rules, self._timeout_s) as client:
            recorder = asyncio.create_task(self._record(), name="recorder")
            measurer = asyncio.create_task(self._measure(), name="measurer")
            recorder.add_done_callback(lambda _: self._wake.set())
            try:
                while not recorder.done():
                    await self._begin_due(client)
                    await self._rest()
                recorder.result()
            finally:
                await self._drain(recorder, measurer)

    async def _begin_due(self, client: Client) -> None:
        self._wake.clear()
        now = self._clock()
        asked = self._room(now)
        if not asked:
            return
        for endpoint in asked:
            # From here on, hints and ended attempts set it anew; what the store says is merged below.
            self._lanes[endpoint].look_at = None
        try:
            async with reading(self._database) as connection:
                # Each statement by itself: parking only puts off what a later look would put off as well.
                lanes = {endpoint: (most, self._lanes[endpoint].under_way) for endpoint, most in asked.items()}
                found = await sending.due(connection, lanes, list(self._busy), now)
                counts = {endpoint: sum(1 for due in found if due.endpoint == endpoint) for endpoint in asked}
                short = [endpoint for endpoint, most in asked.items() if counts[endpoint] < most]
                parked = await sending.park(connection, short, now) if short else set()
                upcoming = await sending.next_due(connection, short, now) if short else {}
        except BaseException:
            self.hint(asked)
            raise
        for endpoint, most in asked.items():
            if counts[endpoint] >= most or endpoint in parked:
                self._lanes[endpoint].hint(now)
            elif endpoint in upcoming:
                self._lanes[endpoint].hint(upcoming[endpoint])
        for due in found:
            if due.key not in self._busy:
                self._begin(client, due)
        for endpoint in asked:
            if self._lanes[endpoint].is_idle:
                del self._lanes[endpoint]

    def _room(self, now: datetime) -> dict[str, int]:
        """How many attempts each endpoint may begin; whoever was served goes to the end of the line."""
        room, granted = MOST_UNDER_WAY - len(self._tasks), dict[str, int]()
        for endpoint, lane in list(self._lanes.items()):
            free = min(lane.free(now), room)
            if free > 0:
                granted[endpoint] = free
                room -= free
                self._lanes[endpoint] = self._lanes.pop(endpoint)
        return granted

    def _begin(self, client: Client, due: Due) -> None:
        self._busy.add(due.key)
        self._lane(due.endpoint).under_way += 1
        task = asyncio.create_task(self._attempt(client, due), name=f"delivery {due.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, client: Client, due: Due) -> None:
        body = b""
        try:
            record = orjson.loads(due.body)
            # Judged again: the policy, the endpoint's role or its terms may have changed since the notice was kept.
            verdict = judged_again(Reader(due.role, third_party=due.third_party, release=due.release or AFTER_CLINICIAN), record)
            if isinstance(verdict, Blocked):
                self._done.put_nowait(_Done(due, None, None, blocked(due, verdict.because, self._clock())))
                return
            link = self._links.made(due, record)
            body = rendered(record, due.payload, due.role, verdict.form, link)
            signing = keys.opened(self._vault, due.tenant, due.endpoint, due.secret, due.retired_secret, due.retired_until, self._clock())
            point(27)
            answer = await attempt(client, self._rules, due.url, due.notice, signing, body, self._clock)
            point(28)
        except (VaultFault, SecretFault) as fault:
            _log.error("a webhook secret cannot be read", tenant=due.tenant, endpoint_id=due.endpoint, reason=str(fault))
            answer = Answer("refused", self._clock(), 0, {}, error="not sent: the endpoint's secret cannot be read; rotate it")
        except Exception:
            # Whatever it was: the delivery keeps its place in the schedule, and the others go on.
            _log.exception("an attempt could not be made", tenant=due.tenant, delivery=due.id)
            answer = Answer("failed", self._clock(), 0, {}, error="not sent: a fault of the sender")
        measures.ATTEMPTS.labels(answer.outcome).inc()
        measures.ATTEMPT_SECONDS.observe(answer.duration_ms / 1000)
        self._done.put_nowait(_Done(due, answer, attempt_row(due, answer, body), settle(due, answer, self._clock(), self._waits)))

    async def _record(self) -> None:
        """Writes outcomes down, as many together as have come; only then does an endpoint's place become free."""
        while True:
            batch = [await self._done.get()]
            while len(batch) < RECORDED_TOGETHER and not self._done.empty():
                batch.append(self._done.get_nowait())
            told = await self._kept(29, partial(self._write, batch))
            for done in batch:
                self._settled(done)
                self._done.task_done()
            if self._changed or self._overdue:
                told |= await self._kept(32, self._note)
            self.hint(told)

    async def _kept(self, points: int, write: Callable[[Connection], Awaitable[set[str]]]) -> set[str]:
        """One transaction, repeated until the store takes it: what it writes is known here only. Returns endpoints with something new."""
        wait_s = 0.1
        while True:
            try:
                async with transaction(self._database, points) as connection:
                    return await write(connection)
            except _STORE_FAULTS as fault:
                _log.warning("outcomes cannot be recorded yet", error=type(fault).__name__, retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)

    async def _write(self, batch: list[_Done], connection: Connection) -> set[str]:
        now = self._clock()
        gone = sorted({done.due.endpoint for done in batch if done.answer is not None and done.answer.outcome == "gone"})
        spent = Counter((done.due.tenant, done.due.endpoint) for done in batch if done.settled.state == "exhausted")
        if gone or spent:
            await telling.in_line(connection)
        await sending.record(connection, [done.attempt for done in batch if done.attempt], [done.settled for done in batch])
        happened = [Happening(tenant, EXHAUSTED, endpoint, {"deliveries": count}) for (tenant, endpoint), count in sorted(spent.items())]
        for endpoint in gone:
            happened += await operations.disabled(connection, endpoint, "answered 410 Gone", now)
        return await operations.tell(connection, happened, now)

    async def _note(self, connection: Connection) -> set[str]:
        """Circuit breakers that opened or closed, and endpoints that have failed for too long."""
        now, changed, overdue = self._clock(), dict(self._changed), sorted(self._overdue)
        await telling.in_line(connection)
        happened: list[Happening] = []
        for breaker, tenant, was in changed.values():
            if (breaker.rests_until is None) != (was is None):
                failing = breaker.rests_until is not None
                told = {"failing_since": breaker.failing_since.isoformat()} if failing and breaker.failing_since else {}
                happened.append(Happening(tenant, FAILING if failing else RECOVERED, breaker.endpoint, told))
        if changed:
            await sending.set_breakers(connection, [breaker for breaker, _, _ in changed.values()])
        for endpoint in overdue:
            days = f"{self._disable_after_s / 86_400:g} days"
            happened += await operations.disabled(connection, endpoint, f"nothing but failures for {days}", now)
        told_endpoints = await operations.tell(connection, happened, now)
        self._overdue.difference_update(overdue)
        for endpoint in changed:
            del self._changed[endpoint]
        return told_endpoints

    def _settled(self, done: _Done) -> None:
        now, lane = self._clock(), self._lane(done.due.endpoint)
        self._busy.discard(done.due.key)
        lane.under_way -= 1
        lane.hint(now)
        if done.settled.next_at is not None:
            lane.hint(done.settled.next_at)
        if done.answer is not None:
            self._judge_endpoint(lane, done, done.answer, now)
        if done.settled.state != "pending":
            measures.DELIVERIES.labels(done.settled.state).inc()

    def _judge_endpoint(self, lane: Lane, done: _Done, answer: Answer, now: datetime) -> None:
        endpoint, was = done.due.endpoint, lane.rests_until
        if answer.outcome == "delivered":
            lane.succeeded()
        elif answer.blames_endpoint:
            asked = answer.asked_s if answer.outcome == "throttled" else None
            lane.failed(answer.started_at, now, self._waits, honoured(done.settled.tries, self._waits, asked))
            if lane.failing_since is not None and (now - lane.failing_since).total_seconds() >= self._disable_after_s:
                self._overdue.add(endpoint)
        if lane.rests_until != was:
            first = self._changed[endpoint].was if endpoint in self._changed else was
            since = lane.failing_since if lane.rests_until else None
            self._changed[endpoint] = _Turn(Breaker(endpoint, since, lane.rests_until), done.due.tenant, first)

    async def _rest(self) -> None:
        """Until something happens, or until the next moment at which something may be due."""
        looks = [moment for lane in self._lanes.values() if (moment := lane.next_look()) is not None]
        wait_s = max(0.0, (min(looks) - self._clock()).total_seconds()) if looks and len(self._tasks) < MOST_UNDER_WAY else None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _measure(self) -> None:
        while True:
            with suppress(*_STORE_FAULTS):
                async with reading(self._database) as connection:
                    backlog = await sending.backlog(connection)
                measures.PENDING.labels("untried").set(backlog.untried)
                measures.PENDING.labels("retrying").set(backlog.retrying)
                measures.OLDEST_SECONDS.set((self._clock() - backlog.oldest).total_seconds() if backlog.oldest else 0)
            standing = Counter(lane.breaker(self._clock()) for lane in self._lanes.values())
            for state in ("open", "half_open"):
                measures.BREAKERS.labels(state).set(standing[state])
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _drain(self, recorder: asyncio.Task[None], measurer: asyncio.Task[None]) -> None:
        measurer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_S)
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                if not recorder.done():
                    await self._done.join()
        recorder.cancel()
        await asyncio.gather(recorder, measurer, *self._tasks, return_exceptions=True)

    def _lane(self, endpoint: str) -> Lane:
        return self._lanes.setdefault(endpoint, Lane())

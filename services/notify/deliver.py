"""Delivers what is due: to many endpoints at once, to each course in order, and to no endpoint at another's expense.

The store says what is due; this process holds only what is under way and, per endpoint, when to look again. So a restart loses
nothing: an attempt whose outcome was not recorded is due still, and is made again with the same id and bytes.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import lanes, measures
from services.notify.attempt import Answer
from services.notify.client import Client
from services.notify.guard import Rules
from services.notify.lanes import SILENT_AFTER, Lane
from services.notify.links import Links
from services.notify.outcomes import Outcomes, Turn
from services.notify.schedule import honoured
from services.notify.sender import Done, Sender
from services.notify.store import sending
from services.notify.store.connection import Own, reading
from services.notify.store.sending import WINDOW, Breaker, Due
from services.notify.vault import Vault
from shared import db
from shared.settings import Settings
from shared.stopping import told_to_stop

GATHER: Final = timedelta(milliseconds=10)
"""How long a few free places wait for more, so that the store is asked for many deliveries at once."""
DRAIN_S: Final = 5.0
MEASURE_EVERY_S: Final = 5.0


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
        self._lanes: dict[str, Lane] = {}
        self._answering: set[str] = set()
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._outcomes = self._fresh_outcomes()

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
        self._outcomes = self._fresh_outcomes()
        async with Client(self._rules, self._timeout_s) as client, Own(self._database) as store:
            async with store.reading() as connection:
                for breaker in await sending.breakers(connection):
                    if breaker.failing_since is not None:
                        self._lane(breaker.endpoint).restore(breaker.failing_since, breaker.rests_until)
                self.hint(await sending.endpoints_with_pending(connection))
            sender = Sender(client, self._rules, self._vault, self._links, self._waits, self._clock)
            recorder = asyncio.create_task(self._outcomes.run(), name="recorder")
            measurer = asyncio.create_task(self._measure(), name="measurer")
            recorder.add_done_callback(lambda _: self._wake.set())
            try:
                while not recorder.done() and not told_to_stop():
                    await self._begin_due(store, sender)
                    await self._rest()
                if recorder.done():
                    recorder.result()
            finally:
                await self._drain(recorder, measurer)

    async def _begin_due(self, store: Own, sender: Sender) -> None:
        self._wake.clear()
        now = self._clock()
        asked = lanes.room(self._lanes, now)
        if not asked:
            return
        for endpoint in asked:
            # Whoever is served goes to the end of the line. From here on, hints and ended attempts set `look_at` anew; what the store
            # says is merged below.
            lane = self._lanes[endpoint] = self._lanes.pop(endpoint)
            lane.look_at = None
        try:
            async with store.reading() as connection:
                # Each statement by itself: parking only puts off what a later look would put off as well.
                wanted = {endpoint: (most, self._lanes[endpoint].unsettled) for endpoint, most in asked.items()}
                found = await sending.due(connection, wanted, list(self._busy), now)
                counts = Counter(due.endpoint for due in found)
                for due in found:
                    if due.key not in self._busy:
                        self._begin(sender, due)
                short = [endpoint for endpoint, most in asked.items() if counts[endpoint] < most]
                ahead = await sending.ahead(connection, short, now) if short else []
                # More is due than is under way: it waits for older deliveries, and would fill the window in front of others.
                behind = [one.endpoint for one in ahead if one.considered > min(self._lanes[one.endpoint].unsettled, WINDOW - 1)]
                parked = await sending.park(connection, behind, now) if behind else set()
        except BaseException:
            self.hint(asked)
            raise
        again = parked | {endpoint for endpoint, most in asked.items() if counts[endpoint] >= most}
        for endpoint in again:
            self._lanes[endpoint].hint(now)
        for one in ahead:
            if one.upcoming is not None and one.endpoint not in parked:
                self._lanes[one.endpoint].hint(one.upcoming)
        for endpoint in asked:
            if self._lanes[endpoint].is_idle:
                del self._lanes[endpoint]

    def _begin(self, sender: Sender, due: Due) -> None:
        self._busy.add(due.key)
        self._lane(due.endpoint).began(self._clock())
        task = asyncio.create_task(self._attempt(sender, due), name=due.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, sender: Sender, due: Due) -> None:
        done = await sender.send(due)
        # Its place is free for another; its course is not, until the outcome is written down.
        now, lane = self._clock(), self._lane(due.endpoint)
        lane.ended(now)
        if done.answer is not None:
            self._judge_endpoint(lane, done, done.answer, now)
        self._outcomes.put(done)
        if lane.has_room:
            self._wake.set()

    def _settled(self, batch: Sequence[Done]) -> None:
        now = self._clock()
        for done in batch:
            lane = self._lane(done.due.endpoint)
            self._busy.discard(done.due.key)
            lane.unsettled -= 1
            lane.hint(now)
            if done.settled.next_at is not None:
                lane.hint(done.settled.next_at)
            if done.settled.state != "pending":
                measures.DELIVERIES.labels(done.settled.state).inc()
        self._wake.set()

    def _judge_endpoint(self, lane: Lane, done: Done, answer: Answer, now: datetime) -> None:
        endpoint, was = done.due.endpoint, lane.rests_until
        if answer.outcome == "delivered":
            lane.succeeded()
        elif answer.blames_endpoint:
            asked = answer.asked_s if answer.outcome == "throttled" else None
            lane.failed(answer.started_at, now, self._waits, honoured(done.settled.tries, self._waits, asked))
            if lane.failing_since is not None and (now - lane.failing_since).total_seconds() >= self._disable_after_s:
                self._outcomes.failed_for_too_long(endpoint)
        (self._answering.add if lane.answers else self._answering.discard)(endpoint)
        if lane.rests_until != was:
            since = lane.failing_since if lane.rests_until else None
            self._outcomes.turned(Turn(Breaker(endpoint, since, lane.rests_until), done.due.tenant, was))

    async def _rest(self) -> None:
        """Until something happens, or until the next moment at which something may be due."""
        now = self._clock()
        granted = lanes.room(self._lanes, now)
        if any(self._lanes[endpoint].has_room for endpoint in granted):
            # Others have their turn: answers to read, decisions to take.
            await asyncio.sleep(0)
            return
        looks = [moment for lane in self._lanes.values() if (moment := lane.next_look(now)) is not None]
        # What is due already waits for more to be asked for together, or for its budget, which grows when an endpoint falls silent.
        due_wait = GATHER if granted else SILENT_AFTER / 4
        wait = min((moment - now if moment > now else due_wait for moment in looks), default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait.total_seconds() if wait is not None else None):
                await self._wake.wait()

    async def _measure(self) -> None:
        while not told_to_stop():
            with suppress(*db.FAULTS):
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
                    await self._outcomes.written()
        recorder.cancel()
        await asyncio.gather(recorder, measurer, *self._tasks, return_exceptions=True)

    def _lane(self, endpoint: str) -> Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = Lane(answers=endpoint in self._answering)
        return lane

    def _fresh_outcomes(self) -> Outcomes:
        return Outcomes(self._database, self._disable_after_s, self._clock, self._settled, self.hint)

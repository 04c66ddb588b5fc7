"""From a request's body to outcomes, once everything that was accepted is on disk on the bus."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from services.ingest.intake import Intake, Judging, Outcome, Sealed
from services.ingest.measures import EVENTS
from services.ingest.publish import Publisher, QueueFull
from shared.auth import Principal
from shared.bus import BusFull, BusRefused, BusUnavailable
from shared.documents import NotJson, load
from shared.durability import ContractBroken
from shared.events import Fault
from shared.problems import Fault as ToldFault, Problem

_log = structlog.get_logger("milepost.ingest")

# The event loop serves others after this many events; judging one takes about 30 µs.
_SHARE: Final = 100
_PIECE: Final = 500
_PIECES_UNDER_WAY: Final = 4
# All faults are told of this many; of the events after that, the first fault each.
_FAULTS_TOLD: Final = 1_000


@dataclass(slots=True)
class Reception:
    """Takes in events for one sender at a time; the I/O around `Intake`."""

    intake: Intake
    publisher: Publisher
    max_event_bytes: int
    max_lines: int
    permit: Callable[[], None] = lambda: None
    """Raises `ContractBroken` while the servers may lose what they confirm."""

    async def one(self, principal: Principal, raw: object) -> Outcome:
        """What became of a single event. Raises `Problem` 503 when the bus cannot take it."""
        judged = self.intake.judge(self.intake.begin(principal), 0, raw)
        await self._publish([judged] if isinstance(judged, Sealed) else [])
        return _counted([judged])[0]

    async def many(self, principal: Principal, raws: Sequence[object]) -> list[Outcome]:
        """What became of each event; either every accepted one is on disk, or `Problem` 503."""
        judging = self.intake.begin(principal)
        judged: list[Sealed | Outcome] = []
        for index, raw in enumerate(raws):
            judged.append(self.intake.judge(judging, index, raw))
            if index % _SHARE == _SHARE - 1:
                await asyncio.sleep(0)
        await self._publish([item for item in judged if isinstance(item, Sealed)])
        return _counted(judged)

    async def together(self, principal: Principal, raws: Sequence[object]) -> list[Outcome]:
        """As `many`, but all or none: where one event is rejected, none is stored, and `Problem` says why."""
        judging = self.intake.begin(principal)
        judged = [self.intake.judge(judging, index, raw) for index, raw in enumerate(raws)]
        rejected = [item for item in judged if isinstance(item, Outcome) and item.outcome == "rejected"]
        if rejected:
            _count(rejected)
            raise refusal(max(item.status for item in rejected), [fault for item in rejected for fault in item.faults])
        await self._publish([item for item in judged if isinstance(item, Sealed)])
        return _counted(judged)

    async def lines(self, principal: Principal, lines: AsyncIterator[bytes | None]) -> list[Outcome]:
        """As `many`, for one event per line, published while the lines still come; what waits in memory is bounded.

        Raises `Problem` 413 when there are more lines than may be.
        """
        judging = self.intake.begin(principal)
        piece: list[Sealed] = []
        under_way: deque[asyncio.Task[None]] = deque()
        outcomes: list[Outcome] = []
        try:
            async for line in lines:
                index = len(outcomes)
                if index == self.max_lines:
                    detail = f"more than {self.max_lines} lines; what came before may be stored, and to send it again is harmless"
                    raise Problem(413, "Too many events", detail, "too-many-events")
                item = self._line(judging, index, line)
                outcomes.append(item.outcome if isinstance(item, Sealed) else item)
                if isinstance(item, Sealed):
                    piece.append(item)
                if index % _SHARE == _SHARE - 1:
                    await asyncio.sleep(0)
                if len(piece) == _PIECE:
                    under_way.append(self._begin_publish(piece))
                    piece = []
                    if len(under_way) == _PIECES_UNDER_WAY:
                        await under_way.popleft()
            under_way.append(self._begin_publish(piece))
            while under_way:
                await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
        _count(outcomes)
        return outcomes

    def _line(self, judging: Judging, index: int, line: bytes | None) -> Sealed | Outcome:
        if line is None:
            fault = Fault("", f"a line of at most {self.max_event_bytes} bytes", "a longer one", "send less in one event")
            return Outcome(index, "rejected", 413, faults=(fault,))
        try:
            return self.intake.judge(judging, index, load(line))
        except NotJson as problem:
            fault = Fault("", "one JSON object per line", f"something else: {problem}", "write each event on one line")
            return Outcome(index, "rejected", 400, faults=(fault,))

    def _begin_publish(self, sealed: list[Sealed]) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._stored(sealed, self._submit(sealed)))
        task.add_done_callback(_seen)
        return task

    async def _publish(self, sealed: list[Sealed]) -> None:
        if sealed:
            await self._stored(sealed, self._submit(sealed))

    def _submit(self, sealed: list[Sealed]) -> "asyncio.Future[None]":
        try:
            self.permit()
            return self.publisher.submit([(item.subject, item.payload) for item in sealed])
        except ContractBroken as fault:
            _log.warning("events are not taken: the durability contract is broken", reason=str(fault))
            raise _later("the servers could lose what they confirm; their operator has to look at it", "contract-broken", 30) from None
        except QueueFull:
            raise _later("more events wait for the bus than may wait", "queue-full", 1) from None

    async def _stored(self, sealed: list[Sealed], done: "asyncio.Future[None]") -> None:
        try:
            await done
        except BusFull:
            raise _later("the bus has no room for further events; its operator has to make some", "bus-full", 30) from None
        except BusUnavailable:
            raise _later("the bus does not confirm events now", "bus-unavailable", 2) from None
        except BusRefused as fault:
            _log.error("the bus refuses events", error=type(fault).__name__, reason=str(fault))
            raise _later("the bus refuses events; its operator has to look at it", "bus-refused", 30) from None
        for item in sealed:
            self.intake.accept(item)


def answer(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The body of an answer: each outcome, and how many there are of each kind."""
    counts = Counter(outcome.outcome for outcome in outcomes)
    told, documents = 0, []
    for outcome in outcomes:
        documents.append(outcome.as_dict(None if told < _FAULTS_TOLD else 1))
        told += len(outcome.faults)
    return {
        "accepted": counts["accepted"],
        "duplicate": counts["duplicate"],
        "rejected": counts["rejected"],
        "outcomes": documents,
    }


# By the status an event would have alone: title, slug.
_REFUSALS: Final = {
    400: ("Not JSON", "not-json"),
    403: ("Not permitted", "not-permitted"),
    409: ("Id used before", "id-conflict"),
    413: ("Too large", "too-large"),
    422: ("Event refused", "event-refused"),
}


def refusal(status: int, faults: Sequence[Fault]) -> Problem:
    """The problem document of a single event, with its faults."""
    title, slug = _REFUSALS[status]
    detail = "; ".join(f"{fault.path or 'the event'}: expected {fault.expected}" for fault in faults[:3])
    further = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    told: list[ToldFault] = [{"path": one.path, "expected": one.expected, "found": one.found, "do": one.do} for one in faults]
    return Problem(status, title, detail + further, slug, told)


def _later(detail: str, slug: str, after_s: int) -> Problem:
    return Problem(
        503,
        "Not available",
        f"{detail}; send the whole request again after the time in Retry-After, what was stored already is recognised",
        slug,
        headers={"Retry-After": str(after_s)},
    )


def _counted(judged: Iterable[Sealed | Outcome]) -> list[Outcome]:
    outcomes = [item.outcome if isinstance(item, Sealed) else item for item in judged]
    _count(outcomes)
    return outcomes


def _count(outcomes: Iterable[Outcome]) -> None:
    for outcome, count in Counter(item.outcome for item in outcomes).items():
        EVENTS.labels(outcome).inc(count)


def _seen(task: "asyncio.Task[None]") -> None:
    """A failed piece ends the request; nobody then waits for the fault of those behind it."""
    if not task.cancelled():
        task.exception()

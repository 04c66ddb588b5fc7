"""Decisions over a stream of events, in arrival order, with both engines and without any server.

Deterministic: what stands in the lines decides every byte. Each athlete (`subject`) is folded apart.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from services.decision.core.athlete import Athlete, Receipt
from services.decision.core.days import written
from services.decision.core.decision import Decision
from services.decision.core.question import Answer
from services.decision.engines.durable import EngineFault, SecondEngine
from services.decision.rules.library import PackLibrary
from shared.events import Event, EventFault, content_digest, parse

MAX_LINE = 1 << 18
OWN_SOURCE = "urn:milepost:decision"


LOOKED_AT = 100_000
"""Lines behind a faulty one that are looked at for more faults."""


class FaultyLine(Exception):
    """A line that stops the simulation: where, which field, what was wrong and what was expected.

    `rest`, read once, gives the lines behind it whose form is at fault too. What a course would make of them, nobody can say any more.
    """

    def __init__(self, line: int, path: str, sentence: str) -> None:
        super().__init__(f"{line}: {path}: {sentence}")
        self.line = line
        self.path = path
        self.sentence = sentence
        self.rest: Iterator[FaultyLine] = iter(())


class Simulation:
    """Feed it lines; it yields the canonical bytes of each decision, in the order made."""

    def __init__(self, packs: PackLibrary, second: SecondEngine) -> None:
        self._packs = packs
        self._second = second
        self._athletes: dict[str, Athlete] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self._latest: datetime | None = None

    def run(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Raises `FaultyLine` at the first faulty or refused line, and `FaultyLines` at the end for events that are still parked."""
        numbered = enumerate(lines, 1)
        for number, line in numbered:
            if line.strip():
                try:
                    decisions = list(self._take(number, line))
                except FaultyLine as fault:
                    fault.rest = _faulty(islice(numbered, LOOKED_AT))
                    raise
                yield from decisions
        waiting = [
            (self._lines[event.source, event.id], path, reason)
            for athlete in self._athletes.values()
            for event, path, reason in athlete.parked
        ]
        if waiting:
            raise FaultyLines(sorted(waiting))

    def _take(self, number: int, line: bytes) -> Iterator[bytes]:
        event, digest = _read(number, line)
        self._latest = event.time if self._latest is None else max(self._latest, event.time)
        if event.recordedtime is None:
            event = _with_recordedtime(event, written(self._latest))
        athlete = self._athletes.setdefault(event.subject, Athlete(self._packs))
        self._lines.setdefault((event.source, event.id), number)
        receipt = athlete.receive(event, digest)
        if receipt.status in ("refused", "conflict"):
            raise FaultyLine(number, receipt.path or "", receipt.reason or "")
        for resolution in receipt.resolved:
            if resolution.status == "refused":
                at = self._lines[resolution.source, resolution.id]
                raise FaultyLine(at, resolution.path or "", resolution.reason or "")
        yield from self._told(athlete, event, receipt)

    def _told(self, athlete: Athlete, event: Event, receipt: Receipt) -> Iterator[bytes]:
        """The decisions, and the hold that follows where the second engine fails or differs."""
        answers = self._second.judge_now([decision.question for decision in receipt.decisions])
        for decision, answer in zip(receipt.decisions, answers, strict=True):
            yield decision.encoded
            if not (isinstance(answer, Answer) and decision.question.agrees(answer)):
                fault = _faulted(event, decision, answer)
                for following in athlete.receive(fault, content_digest(fault.wire())).decisions:
                    yield following.encoded


class FaultyLines(Exception):
    """Events still parked at the end: (line, path, what each waits for)."""

    def __init__(self, waiting: list[tuple[int, str, str]]) -> None:
        super().__init__("events still parked")
        self.waiting = waiting


def _faulty(numbered: Iterable[tuple[int, bytes]]) -> Iterator[FaultyLine]:
    for number, line in numbered:
        if line.strip():
            try:
                _read(number, line)
            except FaultyLine as fault:
                yield fault


def _read(number: int, line: bytes) -> tuple[Event, bytes]:
    if len(line) > MAX_LINE:
        raise FaultyLine(number, "", f"expected at most {MAX_LINE} bytes in a line, found {len(line)}")
    try:
        found = json.loads(line.decode("utf-8").rstrip(), object_pairs_hook=_once, parse_constant=_no_constant)
    except FaultyKey as fault:
        raise FaultyLine(number, "", f"expected each key once, found {fault.key} twice; remove one") from None
    except (ValueError, RecursionError) as fault:
        do = "write the event as JSON without line breaks"
        raise FaultyLine(number, "", f"expected one JSON object in UTF-8 on the line, found {_broken(fault)}; {do}") from None
    try:
        return parse(found), content_digest(found)
    except EventFault as fault:
        first, *others = fault.faults
        also = f" (also at fault: {', '.join(one.path for one in others)})" if others else ""
        raise FaultyLine(number, first.path, first.sentence() + also) from None


def _broken(fault: Exception) -> str:
    """Where a line stops being JSON; never what stands there."""
    if isinstance(fault, UnicodeDecodeError):
        return f"bytes that are not UTF-8 at column {fault.start + 1}"
    if isinstance(fault, json.JSONDecodeError):
        return f"something else from column {fault.pos + 1} ({fault.msg})"
    return "nesting deeper than is read" if isinstance(fault, RecursionError) else str(fault)


class FaultyKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise FaultyKey(key)
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _with_recordedtime(event: Event, recorded: str) -> Event:
    from dataclasses import replace

    return replace(event, recordedtime=recorded)


def _faulted(event: Event, decision: Decision, answer: Answer | EngineFault) -> Event:
    fault = isinstance(answer, EngineFault)
    source, cause, _ = decision.cause
    return parse(
        {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, f"{OWN_SOURCE}\0{decision.course}\0engine\0{source}\0{cause}\0{decision.seq}")),
            "source": OWN_SOURCE,
            "type": "milepost.engine.faulted",
            "subject": event.subject,
            "time": decision.as_of,
            "recordedtime": event.recordedtime,
            "data": {
                "course": decision.course,
                "engine": "durable",
                "kind": "fault" if fault else "disagreement",
                "tries": answer.tries if isinstance(answer, EngineFault) else 1,
                "detail": answer.detail if isinstance(answer, EngineFault) else "the second engine answers otherwise",
            },
        },
        internal=True,
    )

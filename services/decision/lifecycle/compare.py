"""What a candidate pack would have decided over an athlete's history, beside what was decided. Pure; runs in a process of its own.

The candidate sees the same events in the same order of arrival, hence the same facts and the same `as_of`; the step in force is the one
that its own recommendations and the sessions really done lead to. What would have come of other sessions, nobody observed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from services.decision.advice import ACTIONS, RUNNING, URGENCIES
from services.decision.core.athlete import Athlete
from services.decision.core.decision import Decision
from services.decision.core.places import Name
from services.decision.core.protocol import Protocol
from services.decision.core.verdict import Judge
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle.store import Source
from services.decision.rules.check.lived import Lived
from services.decision.rules.difference import Direction
from services.decision.rules.library import HASH, PackLibrary, load_recorded
from services.decision.rules.recorded import at_hand
from shared.events import Event, parse

DIRECTIONS: Final[tuple[Direction, ...]] = ("same", "more_permissive", "more_conservative", "not_comparable")
STARTED: Final = "milepost.course.started"
DOSES: Final = ("run_s", "bout_s", "distance_m", "run_m", "reps", "rpe_max", "sessions_per_week_max", "speed_pct_max")
"""Measures of a dose of which more is freer."""


class Decided(NamedTuple):
    """A decision as it stands in history."""

    course: str
    seq: int
    source: str
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Past:
    """An athlete: everything the fold has seen in order of arrival, and the decisions to set beside the candidate's."""

    athlete: str
    events: Sequence[tuple[bytes, bytes]]
    """(body, digest)"""
    latest: Mapping[str, str]
    """Course to the content hash that it stands on."""
    decided: Sequence[Decided]


@dataclass(frozen=True, slots=True)
class Job:
    """`over` is the id of the protocol whose courses the candidate decides; `own` the tenant's own packs that other courses stand on."""

    candidate: Source
    over: str
    own: Mapping[str, Source]
    athletes: Sequence[Past]


class Difference(NamedTuple):
    """`after` is None where the candidate could not decide; `because` says why, or what changed."""

    direction: Direction
    athlete: str
    course: str
    seq: int
    before: bytes
    after: bytes | None
    because: str


class Outcome(NamedTuple):
    """`fault` is None unless the athlete could not be folded at all; `lived` is what the candidate's rules said at these decisions."""

    athlete: str
    compared: Sequence[Difference]
    fault: str | None
    lived: Lived | None = None


class DamagedDecision(Exception):
    """A stored decision that cannot be read; the text says which, and what to do."""


def decide_again(job: Job) -> list[Outcome]:
    """One outcome for each athlete; never raises for what a history holds."""
    candidate = compiled(job.candidate)
    outcomes = []
    for past in job.athletes:
        try:
            lived = Lived(athletes=1, of_athletes=1)
            outcomes.append(Outcome(past.athlete, _compared(candidate, job, past, lived), None, lived))
        except DamagedDecision as fault:
            outcomes.append(Outcome(past.athlete, (), str(fault)))
        except Exception as fault:
            # Parked with its reason: one history that cannot be folded must not keep the others from being compared.
            outcomes.append(Outcome(past.athlete, (), f"{type(fault).__name__}: {fault}"))
    return outcomes


class CandidatePacks:
    """Courses of `over` follow the candidate, whatever version they named; others what they stand on."""

    def __init__(self, candidate: Protocol, over: str, own: Mapping[str, Source]) -> None:
        self._candidate = candidate
        self._over = over
        self._own = own

    def resolve(self, reference: str) -> Protocol | None:
        if reference.partition("@")[0] == self._over or reference == self._candidate.hash:
            return self._candidate
        found = _own(reference, self._own[reference]) if reference in self._own else _shipped().resolve(reference)
        # A course that was moved to another version of the same protocol follows the candidate too.
        return self._candidate if found is not None and found.id == self._over and reference.startswith(HASH) else found

    def names(self) -> list[str]:
        return sorted({*_shipped().names(), self._over})

    def judge(self, protocol: Protocol) -> Judge:
        return _judge(protocol.hash, protocol)


def body_of(one: Decided) -> dict[str, Any]:
    """A stored decision as it says itself; raises `DamagedDecision`."""
    try:
        body = orjson.loads(one.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict) or "protocol" not in body:
        raise DamagedDecision(f"decision {one.seq} of course {one.course} is stored damaged; `milepost verify` tells what was altered")
    return body


def _compared(candidate: Protocol, job: Job, past: Past, lived: Lived) -> list[Difference]:
    found, refused = _refolded(CandidatePacks(candidate, job.over, job.own), job.over, past)
    differences = []
    stored = [body_of(one) for one in past.decided]
    for one, before in zip(past.decided, stored, strict=True):
        other = found.get((one.course, one.source, one.id))
        if other is None:
            why = refused.get(one.course) or refused.get(f"{one.source}\0{one.id}") or "the candidate decides nothing at this event"
            differences.append(Difference("not_comparable", past.athlete, one.course, one.seq, one.body, None, why))
            continue
        if other.question.pack == candidate.hash:
            lived.take(candidate, other.question)
        after = orjson.loads(other.encoded)
        direction, changed = direction_of(before, after, candidate)
        differences.append(Difference(direction, past.athlete, one.course, one.seq, one.body, other.encoded, "; ".join(changed)))
    return differences


def _refolded(packs: CandidatePacks, over: str, past: Past) -> tuple[dict[tuple[str, str, str], Decision], dict[str, str]]:
    """Every decision by course and cause; and why a course could not start, or an event took no effect."""
    events = [(parse(orjson.loads(body), internal=True), digest) for body, digest in past.events]
    athlete = Athlete(packs, _pins(events, over, past.latest))
    found: dict[tuple[str, str, str], Decision] = {}
    refused: dict[str, str] = {}
    for event, digest in events:
        receipt = athlete.receive(event, digest)
        if receipt.status == "refused":
            name = event.data["course"] if event.type == STARTED else f"{event.source}\0{event.id}"
            refused[name] = f"{receipt.path}: {receipt.reason}"
        for decision in receipt.decisions:
            found[decision.course, decision.cause[0], decision.cause[1]] = decision
    return found, refused


def _pins(events: Sequence[tuple[Event, bytes]], over: str, latest: Mapping[str, str]) -> dict[Name, str]:
    started = (event for event, _ in events if event.type == STARTED)
    others = (event for event in started if event.data["protocol"].partition("@")[0] != over)
    return {(event.source, event.id): latest[event.data["course"]] for event in others if event.data["course"] in latest}


def direction_of(before: Mapping[str, Any], after: Mapping[str, Any], candidate: Protocol) -> tuple[Direction, list[str]]:
    """Which way the second differs, and in what. Freer in anything is more permissive, whatever else it is stricter in."""
    freer: list[str] = []
    stricter: list[str] = []

    def compare(name: str, old: Any, new: Any, more: float) -> None:
        """`more` above 0: the new one is freer."""
        if more:
            (freer if more > 0 else stricter).append(f"{name} {_word(old)} -> {_word(new)}")

    for name, order in (("action", ACTIONS), ("running", RUNNING), ("urgency", URGENCIES)):
        compare(name, before[name], after[name], order.index(before[name]) - order.index(after[name]))
    step = _rung(candidate, after["to_step"]) - _rung(candidate, before["to_step"])
    if before["to_step"] in candidate.place:
        compare("to_step", before["to_step"], after["to_step"], step)
    old, new = before["not_before"], after["not_before"]
    if old != new:
        compare("not_before", old, new, 1 if new is None or (old is not None and new < old) else -1)
    for name in DOSES:
        was, now = (before["dose"] or {}).get(name), (after["dose"] or {}).get(name)
        if was is not None and now is not None:
            compare(f"dose.{name}", was, now, now - was)
    if freer:
        return "more_permissive", freer + stricter
    return ("more_conservative", stricter) if stricter else ("same", [])


def _rung(candidate: Protocol, step: str) -> int:
    return candidate.place.get(step, 0)


def _word(value: Any) -> str:
    return "none" if value is None else str(value)


@lru_cache(maxsize=64)
def compiled(source: Source) -> Protocol:
    """Compiled once for each process."""
    return load_recorded("candidate", source.pack, source.floors).protocol


@lru_cache(maxsize=64)
def _own(hash: str, source: Source) -> Protocol:
    """As workers have it at hand: one that this release cannot run holds."""
    return at_hand("own", source.pack, source.floors, hash)[0]


@lru_cache(maxsize=1)
def _shipped() -> PackLibrary:
    return PackLibrary(ReferenceEngine())


_JUDGES: dict[str, Judge] = {}


def _judge(hash: str, protocol: Protocol) -> Judge:
    if hash not in _JUDGES:
        _JUDGES[hash] = Judge(protocol, ReferenceEngine())
    return _JUDGES[hash]

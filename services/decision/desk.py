"""Settles a batch: every arrival through its athlete's fold, courses guarded against a second owner, every question judged twice.

Nothing is written here. A second pass over an athlete starts from history again, so a batch that is never committed leaves no trace
once its athletes are dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, Protocol

import structlog

from services.decision import measures
from services.decision.arrivals import MIGRATED, Arrival, Outside, engine_faulted
from services.decision.athletes import Athletes
from services.decision.core.athlete import Athlete
from services.decision.core.decision import Decision
from services.decision.core.question import Answer, Question
from services.decision.engines.durable import EngineFault
from services.decision.store import athletes as stored
from services.decision.store.athletes import AthleteKey, EventKey
from services.decision.store.connection import Connection

STARTED: Final = "milepost.course.started"
CORRECTED: Final = "milepost.event.corrected"
NAMING_PROTOCOLS: Final = (STARTED, CORRECTED, MIGRATED)
AT_ONCE: Final = 64
BREATH_S: Final = 0.02
"""Events folded before their questions go to the second engine, which works in another process."""

_UNJUDGED: Final = "the event could not be judged because of an internal fault; it is kept and without effect: send it again under a new id"

_log = structlog.get_logger("milepost.decision")


class SecondOpinion(Protocol):
    """The second engine: one answer, or the fault that stands after its tries, per question."""

    async def judge(self, questions: Sequence[Question]) -> list[Answer | EngineFault]: ...


@dataclass(slots=True)
class _Asked:
    """A question that both engines judge."""

    arrival: Arrival
    decision: Decision
    answer: Answer | EngineFault | None = None


class Desk:
    def __init__(self, athletes: Athletes, second: SecondOpinion, renew_packs: Callable[[Connection], Awaitable[None]]) -> None:
        """`renew_packs` takes in what was published since it was last called."""
        self._renew_packs = renew_packs
        self.athletes = athletes
        self._second = second

    async def settle(self, connection: Connection, arrivals: Sequence[Arrival], keys_may_be_taken: bool = False) -> None:
        """Sets the outcome of each arrival, in the order given, which is the order of the stream.

        `keys_may_be_taken` looks every key up in history first: needed after a `Clash`, too dear otherwise.
        """
        if self._unknown_protocols(arrivals):
            # It may have been published since the last look.
            await self._renew_packs(connection)
            for arrival, path, names in self._unknown_protocols(arrivals):
                arrival.outside = Outside("refused", path, f"expected one of {', '.join(names)}")
        await _set_aside_taken_keys(connection, arrivals, keys_may_be_taken)
        unsettled: Collection[AthleteKey] = {a.athlete_key for a in arrivals if a.outside is None}
        while unsettled:
            athletes = await self.athletes.at(connection, unsettled)
            again, asked = await self._fold(arrivals, athletes)
            again |= await _refuse_foreign_courses(connection, arrivals)
            again |= _compare(one for one in asked if one.arrival.athlete_key not in again)
            self.athletes.drop(again)
            unsettled = again

    def _unknown_protocols(self, arrivals: Sequence[Arrival]) -> list[tuple[Arrival, str, list[str]]]:
        """Events that name no protocol that there is, with the path and the protocols that there are.

        Which protocols there are changes, and the fold may not change with them: these stay outside of it for good.
        """
        unknown = []
        for arrival in arrivals:
            if arrival.type not in NAMING_PROTOCOLS or arrival.event is None or arrival.outside is not None:
                continue
            data = arrival.event.data
            path, named = {
                STARTED: ("data.protocol", data.get("protocol")),
                CORRECTED: ("data.data.protocol", data.get("data", {}).get("protocol")),
                MIGRATED: ("data.to_hash", data.get("to_hash")),
            }[arrival.type]
            packs = self.athletes.packs.of(arrival.tenant)
            if isinstance(named, str) and packs.resolve(named) is None:
                unknown.append((arrival, path, packs.names()))
        return unknown

    async def _fold(self, arrivals: Sequence[Arrival], athletes: Mapping[AthleteKey, Athlete]) -> tuple[set[AthleteKey], list[_Asked]]:
        """Every arrival of these athletes through its fold, and every question it raises judged twice. Also returns the athletes whose
        fold failed: they must be folded again.
        """
        failed: set[AthleteKey] = set()
        asked: list[_Asked] = []
        breathed = monotonic()
        async with asyncio.TaskGroup() as judging:
            for start in range(0, len(arrivals), AT_ONCE):
                raised = []
                for arrival in arrivals[start : start + AT_ONCE]:
                    if monotonic() - breathed > BREATH_S:
                        # Leases are kept by this same process: folding must not hold them up.
                        await asyncio.sleep(0)
                        breathed = monotonic()
                    athlete = athletes.get(arrival.athlete_key)
                    if athlete is None or arrival.athlete_key in failed:
                        continue
                    if not _receive(arrival, athlete):
                        failed.add(arrival.athlete_key)
                    raised += [_Asked(arrival, decision) for decision in _open_questions(arrival)]
                if raised:
                    asked += raised
                    judging.create_task(self._judge(raised))
                    # Lets the other process begin; it answers while the next events are folded here.
                    await asyncio.sleep(0)
        return failed, asked

    async def _judge(self, raised: Sequence[_Asked]) -> None:
        with measures.SECOND_ENGINE_SECONDS.time():
            answers = await self._second.judge([one.decision.question for one in raised])
        for one, answer in zip(raised, answers, strict=True):
            one.answer = answer


def _compare(asked: Iterable[_Asked]) -> set[AthleteKey]:
    """Where the second engine first failed or differed for an athlete, history is to say so at once: such athletes are folded again."""
    differing: dict[AthleteKey, Arrival] = {}
    for one in asked:
        arrival, decision, answer = one.arrival, one.decision, one.answer
        assert answer is not None, "every question is answered before answers are compared"
        if isinstance(answer, Answer) and decision.question.agrees(answer):
            continue
        if differing.setdefault(arrival.athlete_key, arrival) is arrival:
            arrival.faults[decision.course] = _say_so(arrival, decision, answer)
    return set(differing)


def _receive(arrival: Arrival, athlete: Athlete) -> bool:
    """False when the fold itself failed: the event is then refused unseen and the athlete must be folded again without it."""
    for each in arrival.in_turn():
        if each.outside is not None or each.event is None:
            continue
        try:
            each.receipt = athlete.receive(each.event, each.digest)
        except Exception as fault:
            # The fold answers every content; what it raises is a fault of ours. The event is kept, told, and blocks nobody.
            _log.error("an event could not be judged", tenant=each.tenant, partition=each.partition, type=each.type, exc_info=fault)
            each.receipt = None
            each.outside = Outside("refused", "", _UNJUDGED)
            return False
    return True


def _open_questions(arrival: Arrival) -> list[Decision]:
    """Decisions still to be judged twice: not those where the second engine already failed, nor those that its failure itself caused."""
    if arrival.receipt is None:
        return []
    return [decision for decision in arrival.receipt.decisions if decision.course not in arrival.faults]


def _say_so(arrival: Arrival, decision: Decision, answer: Answer | EngineFault) -> Arrival:
    kind: Literal["fault", "disagreement"]
    if isinstance(answer, EngineFault):
        kind, tries, detail = "fault", answer.tries, answer.detail
    else:
        kind, tries, detail = "disagreement", 1, _difference(decision.question.answer, answer)
    measures.ENGINE_FAULTS.labels(kind).inc()
    _log.error("the engines do not say the same: the course holds", tenant=arrival.tenant, partition=arrival.partition, kind=kind)
    return engine_faulted(arrival, decision, kind, tries, detail)


def _difference(reference: Answer, other: Answer) -> str:
    rules = [n for n, (a, b) in enumerate(zip(reference.verdicts, other.verdicts, strict=False)) if a != b]
    return f"reference answers {reference.action}, durable {other.action}; rules that differ, by their place in the pack: {rules[:20]}"


async def _set_aside_taken_keys(connection: Connection, arrivals: Sequence[Arrival], look_up: bool) -> None:
    """The same key again is the fold's business within one athlete; across athletes, or after a refusal outside the fold, it is ours."""
    taken: dict[EventKey, stored.Holder] = {}
    if look_up:
        taken = await stored.holders(connection, {a.key for a in arrivals})
    for arrival in arrivals:
        holder = taken.get(arrival.key)
        if holder is None:
            taken[arrival.key] = stored.Holder(arrival.athlete, arrival.digest, arrival.outside is None)
        elif holder.athlete != arrival.athlete or not holder.folded or arrival.outside is not None:
            same = holder.digest == arrival.digest
            reason = "this source and id were used before, for other content; the first stays: send a new id"
            arrival.outside = Outside("duplicate", "", "") if same else Outside("conflict", "id", reason)


async def _refuse_foreign_courses(connection: Connection, arrivals: Sequence[Arrival]) -> set[AthleteKey]:
    """Refuses what would begin a course under an id that another athlete of the tenant has. Returns the athletes to fold again."""
    begun = [
        (arrival, (arrival.tenant, decision.course))
        for arrival in arrivals
        if arrival.receipt is not None
        for decision in arrival.receipt.decisions
        if decision.seq == 1
    ]
    if not begun:
        return set()
    owners = await stored.owners(connection, {course for _, course in begun})
    spoiled = set()
    for arrival, course in begun:
        if owners.setdefault(course, arrival.athlete) != arrival.athlete:
            reason = "this course id belongs to another athlete of the tenant: choose another"
            arrival.receipt, arrival.outside = None, Outside("refused", "data.course", reason)
            spoiled.add(arrival.athlete_key)
    return spoiled

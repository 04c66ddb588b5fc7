"""Turns settled arrivals into the rows of one transaction, numbered without gaps behind each partition's head."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from services.decision import measures
from services.decision.arrivals import Arrival, moment
from services.decision.core.decision import Decision
from services.decision.forgetting import erasure_row
from services.decision.reminders import TIME_REACHED, told_of_time
from services.decision.store.remains import ERASED
from services.decision.store.rows import (
    OUTSIDE_THE_FOLD,
    ConflictRow,
    CourseRow,
    DecisionRow,
    EventRow,
    Head,
    OutboxRow,
    OutcomeRow,
    TermsRow,
    TimerRow,
    Writes,
)
from shared.events.terms import terms_of

STARTED = "milepost.course.started"
ENDED = "milepost.course.ended"


def entries(heads: Mapping[int, Head], arrivals: Sequence[Arrival], read_to: Mapping[int, int]) -> Writes:
    """Everything to write for these arrivals. `read_to` is, per partition, the stream sequence up to which the bus was read."""
    writes = Writes()
    numbers = {partition: heads[partition].seq for partition in sorted({a.partition for a in arrivals} | set(read_to))}
    for arrival in arrivals:
        for each in arrival.in_turn():
            _enter(writes, numbers, each)
    for partition, number in numbers.items():
        head = heads[partition]
        writes.before.append(head)
        writes.after.append(head._replace(seq=number, stream_seq=max(head.stream_seq, read_to.get(partition, 0))))
    return writes


def _enter(writes: Writes, numbers: dict[int, int], arrival: Arrival) -> None:
    if arrival.timer is not None:
        writes.spent.append(arrival.timer)
    status, path, reason, n = _outcome(arrival)
    measures.EVENTS.labels(status).inc()
    if status == "duplicate":
        return
    if status == "conflict":
        row = ConflictRow(
            arrival.tenant,
            arrival.source,
            arrival.id,
            arrival.digest,
            arrival.recorded_at,
            arrival.body,
            arrival.athlete,
            arrival.partition,
        )
        writes.conflicts.append((row, _refusal(arrival, arrival.source, arrival.id, arrival.type, path, reason)))
        return
    numbers[arrival.partition] += 1
    seq = numbers[arrival.partition]
    writes.events.append(
        EventRow(
            arrival.partition,
            seq,
            arrival.tenant,
            arrival.athlete,
            arrival.source,
            arrival.id,
            arrival.type,
            arrival.time,
            arrival.recorded_at,
            arrival.stream_seq,
            arrival.digest,
            arrival.body,
        )
    )
    if status == "accepted" and arrival.type == ERASED:
        writes.erasures.append(erasure_row(arrival))
    _note_terms(writes, arrival)
    writes.outcomes.append(OutcomeRow(arrival.tenant, arrival.source, arrival.id, seq, n, status, path, reason, arrival.partition))
    if status == "refused":
        writes.outbox.append(_refusal(arrival, arrival.source, arrival.id, arrival.type, path, reason))
    if arrival.receipt is None:
        return
    for place, change in enumerate(arrival.receipt.resolved, 1):
        path, reason = storable(change.path), storable(change.reason)
        writes.outcomes.append(
            OutcomeRow(arrival.tenant, change.source, change.id, seq, place, change.status, path, reason, arrival.partition)
        )
        if change.status == "refused":
            writes.outbox.append(_refusal(arrival, change.source, change.id, None, path, reason))
    for decision in arrival.receipt.decisions:
        _decide(writes, arrival, decision, seq)


def _note_terms(writes: Writes, arrival: Arrival) -> None:
    """What the source of an event asks for, by the event's id; where the event corrects another, by that one's id as well, since what is
    decided names the event that was corrected."""
    if arrival.event is None or "terms" not in arrival.event.extensions:
        return
    terms = " ".join(terms_of(arrival.event.extensions["terms"]))
    writes.terms.append(TermsRow(arrival.tenant, arrival.source, arrival.id, arrival.athlete, terms))
    if (corrected := arrival.event.data.get("corrects")) is not None:
        # Under a source of its own: the corrected event may have terms too, and both hold.
        writes.terms.append(TermsRow(arrival.tenant, f"{arrival.source} {arrival.id}", corrected, arrival.athlete, terms))


def _outcome(arrival: Arrival) -> tuple[str, str | None, str | None, int]:
    if arrival.receipt is not None:
        return arrival.receipt.status, storable(arrival.receipt.path), storable(arrival.receipt.reason), 0
    assert arrival.outside is not None, "an arrival is settled before it is entered"
    return arrival.outside.status, storable(arrival.outside.path), storable(arrival.outside.reason), OUTSIDE_THE_FOLD


def _decide(writes: Writes, arrival: Arrival, decision: Decision, event_seq: int) -> None:
    says, state = decision.said, decision.state
    tenant, course = arrival.tenant, decision.course
    source, cause, cause_type = decision.cause
    as_of, as_at = moment(decision.as_of), moment(decision.as_at)
    measures.DECISIONS.labels(says["action"]).inc()
    writes.decisions.append(
        DecisionRow(
            tenant,
            course,
            decision.seq,
            UUID(decision.id),
            arrival.athlete,
            arrival.partition,
            event_seq,
            source,
            cause,
            as_of,
            as_at,
            decision.encoded,
        )
    )
    protocol = f"{says['protocol']['id']}@{says['protocol']['version']}"
    writes.courses[tenant, course] = CourseRow(
        tenant,
        course,
        arrival.athlete,
        arrival.partition,
        protocol,
        str(state["status"]),
        decision.seq,
        says["action"],
        says["urgency"],
        says["answer"] is not None,
        as_of,
        as_at,
        orjson.dumps(state),
    )
    writes.timers[tenant, course] = [
        TimerRow(tenant, course, kind, arrival.athlete, arrival.partition, moment(at)) for kind, at in dict(decision.due).items()
    ]
    stored = writes.stored.setdefault((tenant, course), decision.seq - 1)
    told, zone = {"source": source, "id": cause, "type": cause_type}, {"zone": state["timezone"]}
    named = {**zone, "body": {"course": course, "protocol": protocol}}
    if decision.seq == 1:
        writes.outbox.append(message(arrival, "course.started", course, told, named))
    # Only as it arrives: one that comes into force again with another event was told, or had nobody to be told to.
    if (
        cause_type == TIME_REACHED
        and (source, cause) == (arrival.source, arrival.id)
        and arrival.event is not None
        and (said := told_of_time(arrival, decision, stored)) is not None
    ):
        kind, more = said
        writes.outbox.append(message(arrival, kind, course, told, {**zone, **more}))
    # The decision itself stands in history; written here too, it would double what each transaction has to sync.
    writes.outbox.append(message(arrival, "decision", course, told, {**zone, "seq": decision.seq}))
    if cause_type == ENDED:
        writes.outbox.append(message(arrival, "course.ended", course, told, named))


def _refusal(arrival: Arrival, source: str, event: str, kind: str | None, path: str | None, reason: str | None) -> OutboxRow:
    course = arrival.event.course if arrival.event is not None else None
    cause = {"source": arrival.source, "id": arrival.id, "type": arrival.type}
    body = {"source": source, "id": event, "type": kind, "path": path or "", "reason": reason or ""}
    return message(arrival, "event.refused", course, cause, {"body": body})


def message(arrival: Arrival, kind: str, course: str | None, cause: dict[str, str], more: dict[str, Any]) -> OutboxRow:
    """An outbox row; its number is put in front when it leaves (`relay.numbered`)."""
    told = {"kind": kind, "tenant": arrival.tenant, "athlete": arrival.athlete, "course": course, "cause": cause, **more}
    return OutboxRow(arrival.partition, arrival.tenant, arrival.athlete, orjson.dumps(told))


def storable(text: str | None) -> str | None:
    """Text as PostgreSQL can hold it: a reason may quote a value that contains NUL."""
    return None if text is None else text.replace("\0", "�")

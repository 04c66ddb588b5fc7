"""One event on its way into history: as the bus brought it, or as decision itself appends it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import orjson

from services.decision.core.athlete import Receipt
from services.decision.core.decision import Decision
from services.decision.store.athletes import AthleteKey, EventKey
from services.decision.store.remains import ERASED, SOURCE
from services.decision.store.rows import TimerRow
from shared.events import Event, EventFault, canonical, content_digest, parse
from shared.events.forms import instant
from shared.events.versions import marked
from shared.proof import Envelope

OWN_SOURCE = "urn:milepost:decision"
MIGRATED = "milepost.course.migrated"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outside:
    """What becomes of an event that the athlete's fold is not to see."""

    status: Literal["accepted", "refused", "duplicate", "conflict"]
    path: str
    reason: str


@dataclass(slots=True)
class Arrival:
    """An event in its place in the partition. Exactly one of `receipt` and `outside` is set once it is settled."""

    partition: int
    stream_seq: int | None
    tenant: str
    athlete: str
    source: str
    id: str
    type: str
    time: datetime
    recorded_at: datetime
    digest: bytes
    body: bytes
    event: Event | None
    """None when it cannot be read as an event at all."""
    outside: Outside | None = None
    receipt: Receipt | None = None
    timer: TimerRow | None = None
    """The timer that this event answers."""
    envelope: Envelope | None = None
    """What the athlete's rows are sealed with, once `sealed_by` was called: `digest` is keyed from then on."""
    faults: dict[str, "Arrival"] = field(default_factory=dict)
    """Per course on which the second engine failed or differed here: the event that says so, which follows at once."""

    @property
    def athlete_key(self) -> AthleteKey:
        return self.tenant, self.athlete

    @property
    def key(self) -> EventKey:
        return self.tenant, self.source, self.id

    def sealed_by(self, envelope: Envelope) -> "Arrival":
        """Contents are told apart as they are stored: by a digest that only the athlete's key makes."""
        self.envelope, self.digest = envelope, envelope.digest(self.digest)
        return self

    def in_turn(self) -> "Iterator[Arrival]":
        """This event, then those that follow from it."""
        yield self
        yield from self.faults.values()


def read(partition: int, stream_seq: int, body: bytes) -> Arrival:
    """A message of the bus as an arrival. One that cannot be read is kept too, as refused, so that it blocks nobody."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _unreadable(partition, stream_seq, body, {}, "", "the message is not JSON")
    if not isinstance(found, dict):
        return _unreadable(partition, stream_seq, body, {}, "", "the message is not a JSON object")
    if found.get("type") == ERASED and found.get("source") == SOURCE:
        return _erasure(partition, stream_seq, body, found)
    try:
        # The one internal type that comes by the bus: a clinician's migration, which decision's own route sends.
        event = parse(found, internal=found.get("type") == MIGRATED)
    except EventFault as fault:
        first = fault.faults[0]
        return _unreadable(partition, stream_seq, body, found, first.path, str(fault))
    if event.tenant is None or event.recordedtime is None:
        return _unreadable(partition, stream_seq, body, found, "tenant", "the attributes that ingest adds are missing")
    return _arrival(event, partition, stream_seq, content_digest(found), body)


def _erasure(partition: int, stream_seq: int, body: bytes, found: dict[str, Any]) -> Arrival:
    """The event that asks to forget an athlete: no fold sees it, and of several the first counts, whatever else they say."""
    arrival = _unreadable(partition, stream_seq, body, found, "", "")
    arrival.outside, arrival.digest = Outside("accepted", "", ""), hashlib.sha256(arrival.id.encode()).digest()
    return arrival


def set_aside(partition: int, stream_seq: int, body: bytes) -> Arrival:
    """A message whose event cannot be stored as it was judged: kept as refused."""
    arrival = read(partition, stream_seq, body)
    if arrival.outside is None:
        arrival.event, arrival.outside = None, Outside("refused", "", "the event could not be stored as judged; it is kept as it came")
    return arrival


def time_reached(timer: TimerRow, now: datetime) -> Arrival:
    """The event that says that a date of a course has come. Its `time` is the instant that was due, whenever that is noticed."""
    due = stamp(timer.due)
    return _own(
        timer.tenant,
        timer.athlete,
        timer.course,
        timer.partition,
        "milepost.time.reached",
        f"{timer.course}\0{timer.kind}\0{due}",
        due,
        stamp(now),
        {"course": timer.course, "kind": timer.kind},
        timer,
    )


def engine_faulted(after: Arrival, decision: Decision, kind: Literal["fault", "disagreement"], tries: int, detail: str) -> Arrival:
    """The event that makes a course hold because the engines do not say the same. It carries no clock of its own: it is dated with the
    newest that the course knows, and was known when the event that caused it was.
    """
    source, cause, _ = decision.cause
    said = _own(
        after.tenant,
        after.athlete,
        decision.course,
        after.partition,
        "milepost.engine.faulted",
        f"{decision.course}\0engine\0{source}\0{cause}\0{decision.seq}",
        decision.as_of,
        stamp(after.recorded_at),
        {"course": decision.course, "engine": "durable", "kind": kind, "tries": tries, "detail": detail},
    )
    return said if after.envelope is None else said.sealed_by(after.envelope)


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, as short as it can be without loss."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _own(
    tenant: str,
    athlete: str,
    course: str,
    partition: int,
    kind: str,
    name: str,
    time: str,
    recorded: str,
    data: dict[str, Any],
    timer: TimerRow | None = None,
) -> Arrival:
    found = {
        "specversion": "1.0",
        "id": str(uuid5(NAMESPACE_URL, f"{OWN_SOURCE}\0{name}")),
        "source": OWN_SOURCE,
        "type": kind,
        "subject": athlete,
        "time": time,
        "course": course,
        "tenant": tenant,
        "recordedtime": recorded,
        **marked(kind),
        "data": data,
    }
    arrival = _arrival(parse(found, internal=True), partition, None, content_digest(found), canonical(found))
    arrival.timer = timer
    return arrival


def _arrival(event: Event, partition: int, stream_seq: int | None, digest: bytes, body: bytes) -> Arrival:
    return Arrival(
        partition=partition,
        stream_seq=stream_seq,
        tenant=event.tenant or "",
        athlete=event.subject,
        source=event.source,
        id=event.id,
        type=event.type,
        time=event.time,
        recorded_at=moment(event.recordedtime),
        digest=digest,
        body=body,
        event=event,
    )


def moment(text: str | None) -> datetime:
    """The instant of a text that was checked before; 1970 where there is none."""
    return (instant(text) if text else None) or EPOCH


def _unreadable(partition: int, stream_seq: int, body: bytes, found: dict[str, Any], path: str, reason: str) -> Arrival:
    def text(name: str, otherwise: str) -> str:
        value = found.get(name)
        return value.replace("\0", "�") if isinstance(value, str) and value else otherwise

    time, recorded = text("time", ""), text("recordedtime", "")
    return Arrival(
        partition=partition,
        stream_seq=stream_seq,
        tenant=text("tenant", "-"),
        athlete=text("subject", "-"),
        source=text("source", OWN_SOURCE),
        id=text("id", f"unreadable-{stream_seq}"),
        type=text("type", "-"),
        time=moment(time),
        recorded_at=moment(recorded),
        digest=hashlib.sha256(body).digest(),
        body=body,
        event=None,
        outside=Outside("refused", path, reason),
    )

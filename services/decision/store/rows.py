"""What one transaction of the worker writes, row by row, in the column order of `shared.tables`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.proof import Envelope

OUTSIDE_THE_FOLD = -1
"""`event_outcomes.n` of an event that was refused before the athlete's fold saw it; loading an athlete leaves such events out."""


class Head(NamedTuple):
    """A partition as this worker owns it."""

    partition: int
    epoch: int
    stream_seq: int
    seq: int


class EventRow(NamedTuple):
    partition: int
    seq: int
    tenant: str
    athlete: str
    source: str
    id: str
    type: str
    time: datetime
    recorded_at: datetime
    stream_seq: int | None
    digest: bytes
    body: bytes
    commitment: bytes | None = None
    leaf: bytes | None = None


class OutcomeRow(NamedTuple):
    tenant: str
    source: str
    id: str
    seq: int
    n: int
    status: str
    path: str | None
    reason: str | None
    partition: int
    commitment: bytes | None = None


class ConflictRow(NamedTuple):
    tenant: str
    source: str
    id: str
    digest: bytes
    recorded_at: datetime
    body: bytes
    athlete: str
    partition: int


class KeyRow(NamedTuple):
    tenant: str
    athlete: str
    wrapped: bytes
    created_at: datetime


class ErasureRow(NamedTuple):
    """Somebody asked to be forgotten; `event` is the event that says so."""

    tenant: str
    pseudonym: str
    partition: int
    event: bytes
    requested_at: datetime


class DecisionRow(NamedTuple):
    tenant: str
    course: str
    seq: int
    id: UUID
    athlete: str
    partition: int
    event_seq: int
    cause_source: str
    cause_id: str
    as_of: datetime
    as_at: datetime
    body: bytes
    commitment: bytes | None = None


class CourseRow(NamedTuple):
    tenant: str
    course: str
    athlete: str
    partition: int
    protocol: str
    status: str
    seq: int
    action: str
    urgency: str
    answered: bool
    as_of: datetime
    as_at: datetime
    state: bytes
    """JSON, sealed before it is stored."""


class TimerRow(NamedTuple):
    tenant: str
    course: str
    kind: str
    athlete: str
    partition: int
    due: datetime


class OutboxRow(NamedTuple):
    partition: int
    tenant: str
    athlete: str
    body: bytes


class TermsRow(NamedTuple):
    """Terms that an event's source attached; several with a space between."""

    tenant: str
    source: str
    id: str
    athlete: str
    terms: str


@dataclass(slots=True)
class Writes:
    """Everything one batch writes. `before` and `after` are the heads of the partitions it touches, in the same order."""

    before: list[Head] = field(default_factory=list)
    after: list[Head] = field(default_factory=list)
    keys: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The key of every athlete that the batch is about; without it, nothing can be committed to."""
    envelopes: dict[tuple[str, str], Envelope] = field(default_factory=dict)
    """What seals the rows of each athlete, where it is at hand already."""
    new_keys: list[KeyRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    conflicts: list[tuple[ConflictRow, OutboxRow]] = field(default_factory=list)
    """Each with what is told if it is new: the same conflict sent again is told once."""
    decisions: list[DecisionRow] = field(default_factory=list)
    courses: dict[tuple[str, str], CourseRow] = field(default_factory=dict)
    spent: list[TimerRow] = field(default_factory=list)
    """Timers that have been answered; gone unless a decision of this batch sets them anew."""
    timers: dict[tuple[str, str], list[TimerRow]] = field(default_factory=dict)
    """Per course that was decided: all its timers from now on."""
    stored: dict[tuple[str, str], int] = field(default_factory=dict)
    """Per course that was decided: its latest decision before this batch, which set the timers that were at hand; 0: none."""
    erasures: list[ErasureRow] = field(default_factory=list)
    terms: list[TermsRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)

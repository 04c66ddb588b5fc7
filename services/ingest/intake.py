"""What becomes of one event: its form, its sender's right to say it, its place on the bus."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal

import orjson

from services.ingest.identity import identified
from services.ingest.remembered import Key, Remembered
from shared.auth import Principal
from shared.bus import event_subject
from shared.events import Event, EventFault, Fault, parse
from shared.events.faults import found
from shared.events.forms import instant
from shared.placing import is_reserved, partition, pseudonym
from shared.settings import Settings

AHEAD: Final = timedelta(minutes=5)
"""How far ahead of this clock a sender's clock may be."""

RECEIVED_HERE: Final = ("tenant", "recordedtime")

Result = Literal["accepted", "duplicate", "rejected"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event of a request. `status` is what it would have been answered alone."""

    index: int
    outcome: Result
    status: int
    source: str | None = None
    id: str | None = None
    faults: tuple[Fault, ...] = ()

    def as_dict(self, faults_shown: int | None = None) -> dict[str, Any]:
        shown = self.faults if faults_shown is None else self.faults[:faults_shown]
        return {
            "index": self.index,
            "source": self.source,
            "id": self.id,
            "outcome": self.outcome,
            "status": self.status,
            "faults": [fault.as_dict() for fault in shown] if shown else [],
        }


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event ready for the bus."""

    outcome: Outcome
    subject: str
    payload: bytes
    key: Key
    digest: bytes


@dataclass(slots=True)
class Judging:
    """One request's judging: who sends, when it was received, and what it has named so far."""

    principal: Principal
    now: datetime
    within: dict[Key, bytes] = field(default_factory=dict)

    recordedtime: str = field(init=False)

    def __post_init__(self) -> None:
        self.recordedtime = self.now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Intake:
    """Judges events one by one. Holds no I/O: what it lets through is still to be published."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._max_event_bytes = settings.max_event_bytes
        self._max_depth = settings.max_depth
        self._clock = clock
        self._subject = lru_cache(50_000)(_subjects(settings.pseudonym_key_bytes))
        self._remembered = Remembered()

    def begin(self, principal: Principal) -> Judging:
        """The judging of one request by this sender, received now."""
        return Judging(principal, self._clock())

    def judge(self, judging: Judging, index: int, raw: object) -> Sealed | Outcome:
        """The event sealed for the bus, or its outcome where it goes no further."""
        if too_deep(raw, self._max_depth):
            return _rejected(index, raw, 422, Fault("", f"at most {self._max_depth} levels of nesting", "more", "send it flatter"))
        faults: list[Fault] = []
        if isinstance(raw, dict):
            raw, faults = _without_ours(raw)
            raw, forbidden = identified(raw, judging.principal)
            if forbidden:
                return _rejected(index, raw, 403, *forbidden)
        try:
            event = parse(raw)
        except EventFault as fault:
            return _rejected(index, raw, 422, *faults, *fault.faults)
        faults += _ahead(event, judging.now + AHEAD)
        if is_reserved(event.subject):
            stands = "a name that stands for an erased athlete"
            faults.append(Fault("subject", "the identifier of an athlete", stands, "name the athlete otherwise"))
        if faults:
            return _rejected(index, raw, 422, *faults)
        return self._seal(judging, index, event)

    def accept(self, sealed: Sealed) -> None:
        """Remember an event that is on disk on the bus."""
        self._remembered.accept(sealed.key, sealed.digest)

    def _seal(self, judging: Judging, index: int, event: Event) -> Sealed | Outcome:
        tenant = judging.principal.tenant
        key = (tenant, event.source, event.id)
        digest = _fingerprint(event)
        before = judging.within.get(key)
        seen = self._remembered.seen(key, digest) if before is None else "same" if before == digest else "other"
        if seen == "same":
            return Outcome(index, "duplicate", 202, event.source, event.id)
        if seen == "other":
            fault = Fault(
                "id", "an id that is new, or the same content as before", "an id that was used with other content", "send a new id"
            )
            return Outcome(index, "rejected", 409, event.source, event.id, (fault,))
        payload = orjson.dumps(event.wire() | {"tenant": tenant, "recordedtime": judging.recordedtime})
        if len(payload) > self._max_event_bytes:
            fault = Fault("", f"at most {self._max_event_bytes} bytes in one event", f"{len(payload)} bytes", "send less in one event")
            return Outcome(index, "rejected", 413, event.source, event.id, (fault,))
        judging.within[key] = digest
        outcome = Outcome(index, "accepted", 202, event.source, event.id)
        return Sealed(outcome, self._subject(tenant, event.subject), payload, key, digest)


def too_deep(value: object, most: int) -> bool:
    """Whether a JSON value nests deeper than `most` objects and lists.

    >>> too_deep({"a": [1]}, 2), too_deep({"a": [[1]]}, 2)
    (False, True)
    """
    level = [value] if isinstance(value, dict | list) else []
    while level:
        if most == 0:
            return True
        most -= 1
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if type(inner) is dict or type(inner) is list
        ]
    return False


def _without_ours(raw: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """The event without the attributes that only ingest may set, and a fault for each that was sent."""
    sent = [name for name in RECEIVED_HERE if name in raw]
    if not sent:
        return raw, []
    faults = [Fault(name, "no such attribute from outside", "an attribute that is set here", "leave it out") for name in sent]
    return {name: value for name, value in raw.items() if name not in RECEIVED_HERE}, faults


def _ahead(event: Event, latest: datetime) -> list[Fault]:
    faults = []
    corrected = event.data.get("time") if event.type == "milepost.event.corrected" else None
    for path, text, time in (("time", event.time_text, event.time), ("data.time", corrected, instant(corrected) if corrected else None)):
        if time is not None and time > latest:
            do = "send it once it has happened, or set the clock"
            faults.append(Fault(path, "a moment no more than five minutes ahead", found(text), do))
    return faults


def _fingerprint(event: Event) -> bytes:
    """Sameness for the short memory of this process; 16 bytes. History compares `content_digest`, which is canonical and slower."""
    content = (event.type, event.subject, event.time_text, event.course, event.data)
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _rejected(index: int, raw: object, status: int, *faults: Fault) -> Outcome:
    source, event_id = (raw.get("source"), raw.get("id")) if isinstance(raw, dict) else (None, None)
    return Outcome(index, "rejected", status, _named(source), _named(event_id), faults)


def _named(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 200 else None


def _subjects(key: bytes) -> Callable[[str, str], str]:
    def subject(tenant: str, athlete: str) -> str:
        return event_subject(partition(tenant, athlete), pseudonym(key, tenant, athlete))

    return subject

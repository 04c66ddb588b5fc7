"""The CloudEvent around an event's data: attributes checked, unknown ones refused, the instant read."""

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from shared.events.canonical import content_digest
from shared.events.check import MAX_FAULTS, at, check_data, known, suggestion
from shared.events.faults import EventFault, Fault, found
from shared.events.forms import INSTANT_FORM, instant
from shared.events.frozen import frozen
from shared.events.terms import terms_of
from shared.events.versions import marked, upcast
from shared.events.vocabulary import NAMES_COURSE, TYPES

_REQUIRED = ("specversion", "id", "source", "type", "subject", "time")
_EXTENSIONS = ("traceparent", "tracestate", "partitionkey", "sequence", "dataschema", "terms")
_EXTENDED = frozenset(_EXTENSIONS)
_ATTRIBUTES = frozenset((*_REQUIRED, *_EXTENSIONS, "datacontenttype", "course", "tenant", "recordedtime", "data"))
# Control characters and lone surrogates: neither survives logs, SQL text and UTF-8.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Characters of a URI reference (RFC 3986).
_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
_JSON = re.compile(r"application/json(\s*;.*)?", re.IGNORECASE)


@frozen
class Event:
    """One event, valid in form.

    `time` is aware; `time_text` is what was sent. `data` is plain JSON with exactly the fields that were sent. `course`, `tenant` and
    `recordedtime` (RFC 3339) are None where the attribute is absent. Not to be changed: history and caches share it.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    time_text: str
    course: str | None
    tenant: str | None
    recordedtime: str | None
    data: dict[str, Any]
    extensions: dict[str, str]
    key: tuple[datetime, str, str] = field(init=False, compare=False, repr=False)
    """The fold's order: (time as an instant in UTC, source, id)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.time.astimezone(UTC), self.source, self.id))

    def wire(self) -> dict[str, Any]:
        """The event as a CloudEvent in structured JSON; `parse` reads it back to an equal event."""
        out: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time_text,
            "datacontenttype": "application/json",
        }
        if self.course is not None:
            out["course"] = self.course
        if self.tenant is not None:
            out["tenant"] = self.tenant
        if self.recordedtime is not None:
            out["recordedtime"] = self.recordedtime
        out.update(self.extensions)
        out.update(marked(self.type))
        out["data"] = self.data
        return out

    def digest(self) -> bytes:
        """`content_digest` of this event, 32 bytes."""
        return content_digest(self.wire())


def parse(obj: object, internal: bool = False) -> Event:
    """An event from a decoded CloudEvent in JSON; raises EventFault with all faults of its form.

    Attributes that are null count as unset, as CloudEvents has it; in `data`, null is a fault. With `internal`, as history is read: the
    types that only decision appends are accepted too, and data of an earlier version is read as today's (`versions.upcast`).
    """
    if type(obj) is not dict and not isinstance(obj, Mapping):
        raise EventFault([Fault("", "a CloudEvent as a JSON object", found(obj), "send one JSON object per event")])
    if internal:
        obj = upcast(obj)
    faults: list[Fault] = []
    if not obj.keys() <= _ATTRIBUTES:
        faults.extend(_unknown(obj))
    get = obj.get
    if get("specversion") != "1.0":
        faults.append(_wrong("specversion", '"1.0"', get("specversion"), 'send "specversion": "1.0"'))
    content_type = get("datacontenttype")
    if (
        content_type is not None
        and content_type != "application/json"
        and not (isinstance(content_type, str) and _JSON.fullmatch(content_type))
    ):
        faults.append(Fault("datacontenttype", "application/json", found(content_type), "send data as JSON"))
    event_id = _text("id", get("id"), faults)
    source = _text("source", get("source"), faults)
    if source and not _is_uri(source):
        faults.append(Fault("source", "a URI reference", found(source), "name the sending system as in urn:clinic:app"))
    subject = _text("subject", get("subject"), faults)
    time_text = get("time")
    time = instant(time_text) if isinstance(time_text, str) else None
    if time is None:
        faults.append(_wrong("time", INSTANT_FORM, time_text, "send when it happened, with its offset from UTC"))
    course, tenant, recorded = get("course"), get("tenant"), get("recordedtime")
    course = None if course is None else _text("course", course, faults)
    tenant = None if tenant is None else _text("tenant", tenant, faults)
    recorded = None if recorded is None else _text("recordedtime", recorded, faults)
    if recorded and instant(recorded) is None:
        faults.append(Fault("recordedtime", INSTANT_FORM, found(recorded), "leave it out; it is set where the event is received"))
    extensions: dict[str, str] = {}
    if not _EXTENDED.isdisjoint(obj):
        extensions = {name: _text(name, obj[name], faults, 512) for name in _EXTENSIONS if name in obj and obj[name] is not None}
        if "terms" in extensions:
            _check_terms(extensions["terms"], faults)
    event_type, data = get("type"), None
    if not isinstance(event_type, str) or not known(event_type, internal):
        do = suggestion(event_type, tuple(TYPES)) or "send one of " + ", ".join(TYPES)
        faults.append(_wrong("type", "an event type of Milepost", event_type, do))
        event_type = ""
    elif "data" not in obj:
        faults.append(Fault("data", "an object", "nothing", "send the fields of the event as a JSON object"))
    else:
        data = check_data(event_type, obj["data"], faults)
        if course is not None and data is not None and event_type in NAMES_COURSE and data["course"] != course:
            faults.append(Fault("course", "the same course as in data.course", found(course), "leave it out, or send the same"))
    if faults or time is None or data is None:
        raise EventFault(faults)
    return Event(event_id, source, event_type, subject, time, str(time_text), course, tenant, recorded, data, extensions)


@lru_cache(maxsize=1024)
def _is_uri(text: str) -> bool:
    """Of the few sources that send; a text of at most 200 characters."""
    return _URI.fullmatch(text) is not None


def _check_terms(text: str, faults: list[Fault]) -> None:
    try:
        terms_of(text)
    except ValueError as fault:
        faults.append(Fault("terms", str(fault).removeprefix("expected "), found(text), "send the terms of the source, or leave it out"))


def _text(name: str, value: object, faults: list[Fault], longest: int = 200) -> str:
    # What can be printed holds no unfit character; only the rest has to be searched.
    if type(value) is str and 0 < len(value) <= longest and (value.isprintable() or not _UNFIT.search(value)):
        return value
    faults.append(_wrong(name, f"a text of 1 to {longest} characters without control characters", value, "correct the value"))
    return ""


def _wrong(path: str, expected: str, value: object, do: str) -> Fault:
    return Fault(path, expected, "nothing" if value is None else found(value), do)


def _unknown(obj: Mapping[Any, Any]) -> list[Fault]:
    faults = []
    for name in islice((name for name in obj if name not in _ATTRIBUTES), MAX_FAULTS):
        if not isinstance(name, str):
            faults.append(Fault("", "names that are text", found(name), "send plain JSON"))
        elif name == "data_base64":
            faults.append(Fault(name, "no such attribute", "an unknown attribute", "send data as a JSON object in data"))
        else:
            do = suggestion(name, sorted(_ATTRIBUTES)) or "leave it out; the fields of the event belong into data"
            faults.append(Fault(at("", name), "no such attribute", "an unknown attribute", do))
    return faults

"""The bytes that are sent, from a stored notice and what its endpoint asked for: pure, so every attempt sends the same bytes.

Shape and size follow Standard Webhooks: `{"type", "timestamp", "data"}`, below 20 kB. `thin` carries what a worklist shows and where
to fetch the rest, so that reading the record stays an audited act; `full` carries the decision.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

import orjson

from services.notify.notices import ADVICE_TYPES, COACH_TYPES, DISABLED, ENDED, REFERRED, REFUSED, STARTED, TEST, Notice, is_released

Role = Literal["clinician", "coach", "integrator"]
Payload = Literal["thin", "full"]

MOST_BYTES: Final = 20_000
_MOST_REASON: Final = 1_000
_THIN: Final = (
    *("id", "course", "subject", "seq", "action", "from_step", "to_step", "running", "urgency", "not_before", "summary"),
    *("supersedes", "as_of", "as_at"),
)
_COACH_THIN: Final = ("id", "course", "subject", "seq", "action", "from_step", "to_step", "running", "not_before", "as_of", "as_at")
_COACH_FULL: Final = (*_COACH_THIN, "dose", "rest_days", "valid_until", "stop_if")
"""No urgency, no summary and no reasons: they name symptoms and flags."""


def stored(notice: Notice, timestamp: str) -> bytes:
    """What history keeps of a notice: everything that any endpoint may be sent. `timestamp` is RFC 3339."""
    record = {"type": notice.type, "timestamp": timestamp, "subject": notice.athlete, "course": notice.course, "body": dict(notice.body)}
    return orjson.dumps(record)


def is_told(role: str, kind: str, body: Mapping[str, Any], coaches_only: bool) -> bool:
    """Whether an endpoint with this role is told this notice at all. `coaches_only`: the others have been told this advice before."""
    if role != "coach":
        return not coaches_only
    return kind in COACH_TYPES and (kind not in ADVICE_TYPES or is_released(body))


def rendered(kept: bytes, payload: str, role: str) -> bytes:
    """The body of every attempt to send the notice kept as `stored` made it. A full body of 20 kB or more is sent thin."""
    record = orjson.loads(kept)
    full = _bytes(record, payload == "full", role)
    return full if len(full) < MOST_BYTES or payload != "full" else _bytes(record, False, role)


def fetch_link(course: str) -> str:
    """Where the decision in force is read, relative to the service's address."""
    return f"/v1/courses/{quote(course, safe='')}/recommendation"


def _bytes(record: Mapping[str, Any], whole: bool, role: str) -> bytes:
    return orjson.dumps({"type": record["type"], "timestamp": record["timestamp"], "data": _data(record, whole, role)})


def _data(record: Mapping[str, Any], whole: bool, role: str) -> dict[str, Any]:
    kind, body, course = record["type"], record["body"], record["course"]
    if kind in ADVICE_TYPES or kind == REFERRED:
        if role == "coach":
            data = {**_pick(body, _COACH_FULL if whole else _COACH_THIN), "status": "released"}
        elif whole:
            data = dict(body)
        else:
            data = _pick(body, (*_THIN, "referral") if kind == REFERRED else _THIN)
        return {**data, "fetch": fetch_link(course)}
    if kind in (STARTED, ENDED):
        return {"course": course, "subject": record["subject"], "protocol": body.get("protocol"), "fetch": fetch_link(course)}
    if kind == REFUSED:
        source, event = str(body.get("source", "")), str(body.get("id", ""))
        return {
            "source": source,
            "id": event,
            "type": body.get("type"),
            "subject": record["subject"],
            "path": body.get("path"),
            "reason": str(body.get("reason", ""))[:_MOST_REASON],
            "fetch": f"/v1/events/{quote(source, safe='')}/{quote(event, safe='')}",
        }
    if kind in (DISABLED, TEST):
        return dict(body)
    raise ValueError(f"no payload is defined for notices of type {kind!r}")


def _pick(body: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: body.get(name) for name in names}

"""The bytes that are sent, from a stored notice and what its endpoint asked for: pure, so every attempt sends the same bytes.

Shape and size follow Standard Webhooks: `{"type", "timestamp", "data"}`, below 20 kB. `thin` carries what a worklist shows and where
to fetch the rest, so that reading the record stays an audited act; `full` carries the decision. `words` says it for a person.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

import orjson

from services.notify.notices import (
    ADVICE_TYPES,
    ENDED,
    EXPIRED,
    REFERRED,
    REFUSED,
    REMINDERS,
    REPORT_DUE,
    STARTED,
    UNANSWERED,
    Notice,
    is_released,
)
from services.notify.release import GATED_ROLES, Form
from services.notify.words import Words, for_athlete, for_clinician, for_coach, reminders

Role = Literal["clinician", "coach", "athlete", "integrator"]
Payload = Literal["thin", "full"]

MOST_BYTES: Final = 20_000
_MOST_REASON: Final = 1_000
_DECIDED: Final = ADVICE_TYPES | {REFERRED, UNANSWERED}
_THIN: Final = (
    *("id", "course", "subject", "seq", "action", "from_step", "to_step", "running", "urgency", "not_before", "summary"),
    *("supersedes", "as_of", "as_at"),
)
_COACH: Final = ("id", "course", "subject", "seq", "action", "from_step", "to_step", "running", "not_before", "as_of", "as_at")
_COACH_MORE: Final = ("dose", "rest_days", "valid_until")
_STATUS: Final = ("course", "subject", "seq", "running", "not_before", "as_of", "as_at")
"""No urgency, no summary and no reasons: they name symptoms and flags."""


def record_of(notice: Notice, timestamp: str) -> dict[str, Any]:
    """What is known of a notice: everything that any endpoint may be sent, and what decides who is. `timestamp` is RFC 3339."""
    record: dict[str, Any] = {
        "type": notice.type,
        "timestamp": timestamp,
        "subject": notice.athlete,
        "course": notice.course,
        "body": dict(notice.body),
    }
    more = {
        "audience": None if notice.audience == "everyone" else notice.audience,
        "terms": notice.context.terms,
        "zone": notice.context.zone,
        "recall": notice.recall,
        "urgent": notice.urgent,
        "escalation": notice.escalation,
    }
    return record | {name: value for name, value in more.items() if value}


def stored(notice: Notice, timestamp: str) -> bytes:
    """What history keeps of a notice: its record as JSON."""
    return orjson.dumps(record_of(notice, timestamp))


def is_urgent(record: Mapping[str, Any]) -> bool:
    """Whether quiet hours do not hold this back: a referral, or that an advance not yet run is taken back."""
    return record["type"] in (REFERRED, UNANSWERED) or bool(record.get("urgent"))


def rendered(record: Mapping[str, Any], payload: str, role: str, form: Form = "whole", link: str | None = None) -> bytes:
    """The body of every attempt to send this stored notice in this form. A full body of 20 kB or more is sent thin.

    `link` leads a clinician to the page on which the decision can be answered.
    """
    full = _bytes(record, payload == "full", role, form, link)
    return full if len(full) < MOST_BYTES or payload != "full" else _bytes(record, False, role, form, link)


def fetch_link(course: str) -> str:
    """Where the decision in force is read, relative to the service's address."""
    return f"/v1/courses/{quote(course, safe='')}/recommendation"


def _bytes(record: Mapping[str, Any], whole: bool, role: str, form: Form, link: str | None) -> bytes:
    data = _data(record, whole, role, form)
    if link is not None:
        data["answer_link"] = link
    return orjson.dumps({"type": record["type"], "timestamp": record["timestamp"], "data": data})


def _data(record: Mapping[str, Any], whole: bool, role: str, form: Form) -> dict[str, Any]:
    kind, body, course = record["type"], record["body"], record["course"]
    if kind in _DECIDED:
        return _decided(record, whole, role, form)
    if kind in (STARTED, ENDED):
        return {"course": course, "subject": record["subject"], "protocol": body.get("protocol"), "fetch": fetch_link(course)}
    if kind == EXPIRED:
        return _expired(record, whole, role)
    if kind in REMINDERS:
        said = reminders.report_due if kind == REPORT_DUE else reminders.stalled
        words = _words(said(body, role, record["timestamp"], record.get("zone"))) if whole or role != "integrator" else {}
        return {**body, "course": course, "subject": record["subject"], **words, "fetch": fetch_link(course)}
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
    return dict(body)


def _expired(record: Mapping[str, Any], whole: bool, role: str) -> dict[str, Any]:
    body = record["body"]
    words = _words(reminders.expired(body, role, record["timestamp"], record.get("zone"))) if whole or role != "integrator" else {}
    if role in GATED_ROLES:
        shown = {**_pick(body, ("id", "course", "subject", "seq")), "status": "expired"}
    else:
        shown = dict(body) if whole else _pick(body, _THIN)
    return {**shown, **_pick(body, ("valid_until", "expired_at")), **words, "fetch": fetch_link(record["course"])}


def _decided(record: Mapping[str, Any], whole: bool, role: str, form: Form) -> dict[str, Any]:
    decision, zone, fetch = record["body"], record.get("zone"), {"fetch": fetch_link(record["course"])}
    if role in GATED_ROLES:
        shown = gated(decision, form)
        words = for_coach(shown, zone) if role == "coach" else for_athlete(decision, shown, zone)
        more = _pick(decision, _COACH_MORE) if whole and form == "released" else {}
        return {**{name: value for name, value in shown.items() if name != "dose" or whole}, **more, **_words(words), **fetch}
    data = dict(decision) if whole else _pick(decision, (*_THIN, "referral") if record["type"] == REFERRED else _THIN)
    if record.get("escalation"):
        data["escalation"] = record["escalation"]
    # A system reads fields; only with the whole record it gets the words for the people behind it as well.
    if role == "clinician" or whole:
        data |= _words(for_clinician(decision, zone))
    return data | fetch


def gated(decision: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """What a coach may be shown of a decision: status, dose and stop rules."""
    stop = {"stop_if": decision.get("stop_if") or []}
    if form == "released":
        return {**_pick(decision, _COACH), "status": "released", "step": decision["to_step"], "dose": decision.get("dose"), **stop}
    # An advance that waits for its answer: matters stand as before, at the step in force.
    awaiting = not is_released(decision)
    running = "repeat" if awaiting and decision["running"] == "as_dosed" else decision["running"]
    shown = {**_pick(decision, _STATUS), "running": running, "status": "awaiting_clinician" if awaiting else "released", **stop}
    return shown | {"step": decision["from_step"]} if form == "awaiting" else shown


def _words(words: Words) -> dict[str, Any]:
    return {"words": {**words._asdict(), "reasons": list(words.reasons)}}


def _pick(body: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: body.get(name) for name in names}

"""Who may say what: `by` comes from the credential, and what a clinician decides takes a clinician's key.

`by.role` is the key's role. `by.id` is `key:<key id>`, unless the sender names a person by an id of its own; the key vouches for
that person. A role that is not the key's, an id that belongs to another key, or a key without the scope `clinical:write` is refused.
"""

from typing import Any

from shared.auth import Principal
from shared.events import Fault
from shared.events.vocabulary import NEEDS_PERSON

CLINICAL = "clinical:write"

# A correction carries the whole new data of an event that is not at hand here; these fields tell that a person must stand behind it.
_MARKS_OF_A_PERSON = ("by", "gate", "answer", "limits", "until")


def identified(raw: dict[str, Any], principal: Principal) -> tuple[dict[str, Any], list[Fault]]:
    """The event with `by` from the credential where its type has one, and the faults of a sender who may not say this.

    Anything whose form is at fault is left as it is: the check of form names it.
    """
    data, event_type = raw.get("data"), raw.get("type")
    if not isinstance(data, dict) or not isinstance(event_type, str):
        return raw, []
    if event_type in NEEDS_PERSON:
        stated, faults = _by(data, "data", principal)
        return {**raw, "data": stated}, faults
    if event_type == "milepost.course.started":
        return raw, _clinical(principal, "data.start_step") if "start_step" in data else []
    if event_type == "milepost.event.retracted":
        stated, faults = _named(data, "data", principal)
        return {**raw, "data": stated}, faults
    if event_type == "milepost.event.corrected" and isinstance(inner := data.get("data"), dict):
        if any(mark in inner for mark in _MARKS_OF_A_PERSON):
            stated, faults = _by(inner, "data.data", principal)
            return {**raw, "data": {**data, "data": stated}}, faults
        if "start_step" in inner:
            return raw, _clinical(principal, "data.data.start_step")
    return raw, []


def _by(data: dict[str, Any], path: str, principal: Principal) -> tuple[dict[str, Any], list[Fault]]:
    faults = _clinical(principal, f"{path}.by")
    return (data, faults) if faults else _named(data, path, principal)


def _named(data: dict[str, Any], path: str, principal: Principal) -> tuple[dict[str, Any], list[Fault]]:
    """The data with who says it; no scope beyond sending is needed for that."""
    faults: list[Fault] = []
    own = f"key:{principal.key_id}"
    by = data.get("by", {})
    if not isinstance(by, dict):
        return data, []
    role, person = by.get("role", principal.role), by.get("id", own)
    if role != principal.role:
        do = "leave by out, or send the event with a key of that role"
        faults.append(Fault(f"{path}.by.role", f"{principal.role}, the role of the key", "another role", do))
    if isinstance(person, str) and person.startswith("key:") and person != own:
        do = "leave by.id out, or name the person by an id of your system"
        faults.append(Fault(f"{path}.by.id", f"{own}, the id of the key", "the id of another key", do))
    return {**data, "by": {**by, "id": person, "role": role}}, faults


def _clinical(principal: Principal, path: str) -> list[Fault]:
    if CLINICAL in principal.scopes:
        return []
    found = f"a key of role {principal.role} without {CLINICAL}"
    return [Fault(path, f"a key with the scope {CLINICAL}", found, "send it with a clinician's key")]

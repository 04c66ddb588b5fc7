"""Who may be told what: the one place that judges it, asked when a notice is kept and again before every attempt. Pure.

Under `after_clinician`, the default, an advance reaches a coach or an athlete only once a clinician has accepted it: a recommendation is
made for a healthcare professional to review, and neither of them is one. `status_only` tells them at once how matters stand and never a
step or a dose; `direct` tells them everything at once, on the tenant's own responsibility. Hold, regress and refer always go out at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.notify.notices import (
    ADVICE_TYPES,
    ALWAYS_TYPES,
    ATHLETE_TYPES,
    COACH_TYPES,
    EXPIRED,
    OPERATIONAL,
    STALLED,
    TYPES,
    is_released,
)

Form = Literal["whole", "released", "awaiting", "status"]
"""How much a reader gets: the decision; status, dose and stop rules; that matters stand as before; the status alone."""

AFTER_CLINICIAN: Final = "after_clinician"
STATUS_ONLY: Final = "status_only"
DIRECT: Final = "direct"
GATED_ROLES: Final = frozenset({"coach", "athlete"})
TYPES_OF: Final = {"coach": COACH_TYPES, "athlete": ATHLETE_TYPES}
NO_COACH: Final = "no_coach"
NO_THIRD_PARTY: Final = "no_third_party"

NOT_FOR_ROLE: Final = "not for the role that the endpoint has now"
UNRELEASED: Final = "not released: an advance waits for a clinician's answer"


@dataclass(frozen=True)
class Reader:
    """An endpoint, or a key at the live stream, in so far as it decides what is told. `chosen`: the types asked for; none means all."""

    role: str
    chosen: frozenset[str] = frozenset()
    third_party: bool = False
    escalates: bool = False
    release: str = AFTER_CLINICIAN


@dataclass(frozen=True)
class Told:
    """The reader is told, in this form."""

    form: Form


@dataclass(frozen=True)
class Blocked:
    """The reader asked for it and must not have it; kept with the reason."""

    because: str


def judged(reader: Reader, record: Mapping[str, Any]) -> Told | Blocked | None:
    """What a reader gets of a stored notice (`payloads.stored`), or None when it is none of its business."""
    kind = record["type"]
    if not _asked_for(reader, kind, record):
        return None
    terms: Collection[str] = record.get("terms") or ()
    if reader.role == "coach" and NO_COACH in terms:
        return Blocked("terms of a source: no_coach")
    if reader.third_party and NO_THIRD_PARTY in terms:
        return Blocked("terms of a source: no_third_party")
    if reader.role not in GATED_ROLES or kind not in ADVICE_TYPES | {EXPIRED}:
        return Told("whole")
    return _gated(reader, record)


def judged_again(reader: Reader, record: Mapping[str, Any]) -> Told | Blocked:
    """What an endpoint gets of a notice that was kept for it, as its role, its terms and the policy are now."""
    verdict, kind = judged(reader, record), record["type"]
    if verdict is not None or reader.role not in GATED_ROLES:
        return verdict or Told("whole")
    # What a coach may have and was told already, or, since the role changed, what a coach may not have at all.
    return Told("released") if kind in ADVICE_TYPES else Blocked(NOT_FOR_ROLE)


def tightens(before: str, after: str) -> bool:
    """Whether coaches may have been told of advances that they may not be told of any more."""
    return before == DIRECT and after != DIRECT


def types_for(role: str) -> tuple[str, ...]:
    """What an endpoint of this role may choose among."""
    return TYPES_OF.get(role, TYPES)


def _asked_for(reader: Reader, kind: str, record: Mapping[str, Any]) -> bool:
    if kind not in types_for(reader.role) and kind not in ALWAYS_TYPES:
        return False
    if kind == STALLED and reader.role in GATED_ROLES and record["body"].get("because") != "nothing_heard":
        # That a step takes long is for a clinician to look at.
        return False
    if record.get("escalation"):
        # Said again because nobody took it up: to second endpoints, and to everybody who asked for it by name or takes everything.
        return reader.escalates or not reader.chosen or kind in reader.chosen
    if kind in OPERATIONAL:
        return kind in reader.chosen
    if record.get("audience") == "coaches" and reader.role not in GATED_ROLES:
        return False
    return not reader.chosen or kind in reader.chosen or kind in ALWAYS_TYPES


def _gated(reader: Reader, record: Mapping[str, Any]) -> Told | Blocked | None:
    decision = record["body"]
    if record["type"] == EXPIRED:
        # Of what ran out they hear that it did, where they heard of it at all; never its step.
        return Told("status") if reader.release != AFTER_CLINICIAN or is_released(decision) else Blocked(UNRELEASED)
    repeated = record.get("audience") == "coaches"
    if reader.release == DIRECT:
        # What is said again for coaches alone, they were told already.
        return None if repeated and is_released(decision) else Told("released")
    if reader.release == STATUS_ONLY:
        return Told("status")
    if is_released(decision):
        return Told("released")
    # They were told of a step that is not in force any more: better to say so than to leave them with it.
    return Told("awaiting") if record.get("recall") else Blocked(UNRELEASED)

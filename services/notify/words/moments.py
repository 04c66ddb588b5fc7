"""The parts of every reader's words: moments in the athlete's zone, doses, next sessions."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Record = Mapping[str, Any]

_SURFACES: Final = {"grass": "on grass", "treadmill": "on a treadmill", "track": "on a track", "road": "on the road", "trail": "on a trail"}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


class Words(NamedTuple):
    """What a person reads: one sentence, why, what the next session is, and how matters stood when this was known."""

    summary: str
    reasons: tuple[str, ...]
    next: str
    known: str


def zone_of(name: str | None) -> ZoneInfo:
    """The zone, or UTC for one that is not known.

    >>> zone_of("Europe/Zurich").key, zone_of("Moon/Sea").key, zone_of(None).key
    ('Europe/Zurich', 'UTC', 'UTC')
    """
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def day(text: str) -> str:
    """A local date in words.

    >>> day("2026-03-07")
    'Saturday 7 March 2026'
    """
    return _in_words(date.fromisoformat(text))


def moment(text: str, zone: str | None) -> str:
    """An instant as a wall clock shows it in that zone.

    >>> moment("2026-03-01T11:00:01Z", "Europe/Zurich")
    'Sunday 1 March 2026, 12:00 (Europe/Zurich)'
    """
    local = datetime.fromisoformat(text).astimezone(zone_of(zone))
    return f"{_in_words(local.date())}, {local:%H:%M} ({zone_of(zone).key})"


def known(decision: Record, zone: str | None) -> str:
    """When this was known."""
    return f"As known on {moment(decision['as_at'], zone)}."


def dose(measures: Record | None) -> str:
    """A dose in words; empty where nothing of it is known.

    >>> dose({"run_s": 60, "walk_s": 120, "reps": 5, "sessions_per_week_max": 3})
    '5 times 1 min running and 2 min walking, at most 3 sessions a week'
    """
    if not measures:
        return ""
    bouts = []
    if measures.get("run_s"):
        bouts.append(f"{length(measures['run_s'])} running")
    elif measures.get("run_m"):
        bouts.append(f"{measures['run_m']:g} m running")
    if measures.get("walk_s"):
        bouts.append(f"{length(measures['walk_s'])} walking")
    elif measures.get("walk_m"):
        bouts.append(f"{measures['walk_m']:g} m walking")
    if not bouts and measures.get("distance_m"):
        bouts.append(f"{measures['distance_m']:g} m")
    said = " and ".join(bouts)
    if said and (measures.get("reps") or 1) > 1:
        said = f"{measures['reps']} times {said}"
    extras = [said] if said else []
    if measures.get("speed_pct_max"):
        extras.append(f"at most {measures['speed_pct_max']:g} % of top speed")
    if measures.get("rpe_max"):
        extras.append(f"effort at most {measures['rpe_max']:g} of 10")
    if measures.get("terrain"):
        extras.append(f"terrain: {measures['terrain']}")
    if measures.get("surface") in _SURFACES:
        extras.append(_SURFACES[measures["surface"]])
    if measures.get("sessions_per_week_max"):
        extras.append(f"at most {measures['sessions_per_week_max']} sessions a week")
    return ", ".join(extras)


def length(seconds: float) -> str:
    """
    >>> length(60), length(90), length(45), length(3600)
    ('1 min', '1 min 30 s', '45 s', '60 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    return " ".join(part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else "") if part)


def next_session(decision: Record, step: str | None, measures: Record | None) -> str:
    """What the next session is, and from when; empty where the step is not told."""
    running = decision["running"]
    if running == "withheld":
        return "No running for now."
    if running == "walk_only":
        return f"Walking only{_from(decision)}."
    if step is None:
        return ""
    said = dose(measures)
    which = f"repeat step {step}" if running == "repeat" else f"step {step}"
    return f"Next session: {which}{f' ({said})' if said else ''}{_from(decision)}."


def _from(decision: Record) -> str:
    not_before = decision.get("not_before")
    return f", not before {day(not_before)}" if not_before else ""


def _in_words(one: date) -> str:
    return f"{_DAYS[one.weekday()]} {one.day} {_MONTHS[one.month - 1]} {one.year}"

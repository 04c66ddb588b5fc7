"""Events of athletes who train: a course that starts, then every second day a session with its reports, up to yesterday."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

SOURCE: Final = "urn:bench:app"
PER_SESSION: Final = 5

Raw = dict[str, Any]


def begin_of(events: int) -> datetime:
    """When a course of so many events began, so that it ends yesterday: time itself then has nothing to say of it during the bench."""
    today = datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0)
    return today - timedelta(days=2 * (events // PER_SESSION + 1) + 2)


def event(athlete: str, number: int, begin: datetime) -> Raw:
    """Event `number` of the athlete's one course: 0 starts it, then five for each session."""
    if number == 0:
        injury = {"tissue": "joint", "site": "knee", "side": "left"}
        data: Raw = {"course": f"{athlete}-c", "protocol": "progressive-return", "injury": injury, "timezone": "Europe/Berlin"}
        return _raw(athlete, 0, "course.started", begin, data | {"birth_year": 1990, "start_step": "W3", "baseline": {"pain_nrs": 0}})
    day, what = divmod(number - 1, PER_SESSION)
    time = begin + timedelta(days=2 * day + 1)
    session = f"{athlete}-s{day}"
    if what == 0:
        done: Raw = {"session": session, "kind": "run_walk", "completed": True, "rpe": 3, "gait_changed": False, "terrain": "flat"}
        return _raw(athlete, number, "session.completed", time, done | {"technique_ok": True, "technique_by": "clinician", "run_s": 720})
    if what == 4:
        return _raw(athlete, number, "wellness.reported", time + timedelta(hours=15), {"sleep_h": 7.5, "fatigue": day % 5, "stress": 2})
    when, hours = (("during", 0.3), ("after", 1.0), ("next_morning", 14.0))[what - 1]
    data = {"session": session, "when": when, "pain_nrs": (day + what) % 3, "pain_change": "same"}
    if when != "during":
        data |= {"swelling": "none", "swelling_change": "same", "stiffness_change": "same"}
    return _raw(athlete, number, "symptom.reported", time + timedelta(hours=hours), data)


def _raw(athlete: str, number: int, kind: str, time: datetime, data: Raw) -> Raw:
    return {
        "specversion": "1.0",
        "id": f"{athlete}-{number}",
        "source": SOURCE,
        "type": f"milepost.{kind}",
        "subject": athlete,
        "time": time.isoformat().replace("+00:00", "Z"),
        "data": data,
    }


def course(athlete: str, events: int) -> list[Raw]:
    """The athlete's whole course, in order."""
    begin = begin_of(events)
    return [event(athlete, number, begin) for number in range(events)]


def clinic(prefix: str, athletes: int, events_each: int) -> list[Raw]:
    """Every athlete's first event, then every athlete's second, …: the order in which a clinic's events come."""
    begin = begin_of(events_each)
    return [event(f"{prefix}{athlete}", number, begin) for number in range(events_each) for athlete in range(athletes)]


def batches(raws: list[Raw], size: int) -> list[bytes]:
    """As `application/cloudevents-batch+json` bodies."""
    return [orjson.dumps(raws[at : at + size]) for at in range(0, len(raws), size)]

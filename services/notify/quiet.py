"""Quiet hours: until when a notice that can wait is held back. Pure."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from services.notify.words.moments import zone_of


def held_until(quiet_hours: Mapping[str, Any] | None, athletes_zone: str | None, now: datetime) -> datetime | None:
    """The end of the quiet hours that `now` lies in, or None when it lies in none.

    `quiet_hours` is `{"begin": "22:00", "until": "07:00", "timezone": null}`; without a zone of its own the athlete's counts. `begin`
    equal to `until` is no quiet at all.

    >>> from datetime import UTC
    >>> night = {"begin": "22:00", "until": "07:00", "timezone": "Europe/Zurich"}
    >>> held_until(night, None, datetime(2026, 3, 1, 23, tzinfo=UTC)).isoformat()
    '2026-03-02T07:00:00+01:00'
    >>> held_until(night, None, datetime(2026, 3, 1, 12, tzinfo=UTC))
    """
    if not quiet_hours:
        return None
    zone = zone_of(quiet_hours.get("timezone") or athletes_zone)
    local = now.astimezone(zone)
    begin, until = time.fromisoformat(quiet_hours["begin"]), time.fromisoformat(quiet_hours["until"])
    if begin < until:
        quiet, day = begin <= local.time() < until, local.date()
    else:
        quiet = begin != until and (local.time() >= begin or local.time() < until)
        day = local.date() + timedelta(days=1) if local.time() >= begin else local.date()
    return datetime.combine(day, until, zone) if quiet else None

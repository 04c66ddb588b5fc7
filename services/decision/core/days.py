"""Local dates. A course's days are dates of its own zone, taken from the `tzdata` wheel so that every machine agrees."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

Key = tuple[datetime, str, str]
"""The fold's order: (time as an instant in UTC, source, id)."""


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name, never from the system's own files: those differ from machine to machine."""
    from importlib.resources import files

    place = files("tzdata.zoneinfo").joinpath(*name.split("/"))
    with place.open("rb") as stored:
        return ZoneInfo.from_file(stored, key=name)


def local_date(instant: datetime, zone_name: str) -> date:
    return _local_date(instant if instant.tzinfo is UTC else instant.astimezone(UTC), zone_name)


@lru_cache(maxsize=8192)
def _local_date(instant: datetime, zone_name: str) -> date:
    """Of an instant in UTC alone: two of one zone that differ in their `fold` are equal, yet an hour apart."""
    return instant.astimezone(zone(zone_name)).date()


@lru_cache(maxsize=4096)
def start_of(day: date, zone_name: str, at: time = time(0)) -> datetime:
    """The instant in UTC at which the local date (or a local hour of it) begins."""
    return datetime.combine(day, at, tzinfo=zone(zone_name)).astimezone(UTC)


@lru_cache(maxsize=4096)
def aged(at: datetime, days: int, zone_name: str) -> datetime:
    """The instant (UTC) until which what was found at `at` is no more than `days` days old.

    A day is 24 hours, and a date of the local clock; where the clocks change between, one of the two ends sooner, and that one counts:
    in doubt evidence is too old, and what is too old never advances.
    """
    local = at.astimezone(zone(zone_name))
    same = [datetime.combine(local.date() + timedelta(days=days), local.time(), tzinfo=local.tzinfo).replace(fold=fold) for fold in (0, 1)]
    return min(at.astimezone(UTC) + timedelta(days=days), *(one.astimezone(UTC) for one in same))


def written(instant: datetime) -> str:
    """RFC 3339 in UTC with `Z`, fractions only where there are any.

    >>> written(datetime(2026, 3, 2, 7, tzinfo=UTC))
    '2026-03-02T07:00:00Z'
    """
    return _written(instant if instant.tzinfo is UTC else instant.astimezone(UTC))


def rewritten(text: str) -> str:
    """`written` of the instant that a text in RFC 3339 names; the text itself where it is written so.

    >>> rewritten("2026-03-02T08:00:00.50+01:00"), rewritten("2026-03-02T07:00:00.123456Z")
    ('2026-03-02T07:00:00.500000Z', '2026-03-02T07:00:00.123456Z')
    """
    # As whoever receives events writes them: microseconds, of which not all are zero.
    if len(text) == 27 and text[10] == "T" and text[19] == "." and text[26] == "Z" and text[20:26] != "000000":
        return text
    return written(datetime.fromisoformat(text.upper()))


@lru_cache(maxsize=8192)
def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def later(day: date, days: int) -> date:
    return day + _spans(days)


@lru_cache(maxsize=1024)
def _spans(days: int) -> timedelta:
    """Asked for a dozen times an event, and to make one takes five times as long as to add it."""
    return timedelta(days=days)

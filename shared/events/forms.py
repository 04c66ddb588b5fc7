"""Scalar forms of the vocabulary: identifiers, dates, instants, numbers with unit and range.

Ranges are generous: they keep out slips of unit and nonsense, never a real athlete.
"""

import re
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

# RFC 3339 with an offset. Leap seconds are left out: no clock that sends events shows one, and Python cannot hold it.
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
INSTANT_FORM = "a date and time with offset (RFC 3339) between 1900 and 2200, as in 2026-03-02T07:00:00+01:00"
DATE_FORM = "a date between 1900 and 2200, as in 2026-03-02"
ZONE_FORM = "a time zone of the IANA list, as in Europe/Berlin"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YEARS = range(1900, 2201)


def instant(text: str) -> datetime | None:
    """The instant a text names, aware, or None where it is not RFC 3339 with an offset in the years 1900 to 2200.

    >>> instant("2026-03-02T07:00:00+01:00").isoformat()
    '2026-03-02T07:00:00+01:00'
    >>> instant("2026-03-02T07:00:00") is None
    True
    """
    if INSTANT.fullmatch(text) is None or not "1900" <= text[:4] <= "2200":
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


@cache
def zones() -> frozenset[str]:
    """Names of the zones, from the tzdata wheel: the same list on every machine."""
    text = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(text.split())


def _as_instant(text: str) -> str:
    if instant(text) is None:
        raise PydanticCustomError("form", "{form}", {"form": INSTANT_FORM})
    return text


def _as_date(text: str) -> str:
    try:
        if _DATE.fullmatch(text) and date.fromisoformat(text).year in _YEARS:
            return text
    except ValueError:
        pass
    raise PydanticCustomError("form", "{form}", {"form": DATE_FORM})


def _as_zone(text: str) -> str:
    if text not in zones():
        raise PydanticCustomError("form", "{form}", {"form": ZONE_FORM})
    return text


_LINE = r"^[^\x00-\x1F\x7F-\x9F]*$"
_PROSE = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$"

Id = Annotated[str, Field(min_length=1, max_length=200, pattern=_LINE)]
Step = Annotated[str, Field(min_length=1, max_length=64, pattern=_LINE)]
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=_LINE)]
Prose = Annotated[str, Field(min_length=1, max_length=2000, pattern=_PROSE)]
ProtocolRef = Annotated[
    str,
    Field(
        max_length=128,
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}(@[0-9A-Za-z][0-9A-Za-z.+_-]{0,39})?$",
        description="a protocol as id or id@version",
        examples=["progressive-return", "progressive-return@1.0.0"],
    ),
]
Date = Annotated[str, AfterValidator(_as_date), Field(json_schema_extra={"format": "date", "description": DATE_FORM})]
Instant = Annotated[str, AfterValidator(_as_instant), Field(json_schema_extra={"format": "date-time", "description": INSTANT_FORM})]
Zone = Annotated[str, AfterValidator(_as_zone), Field(json_schema_extra={"description": ZONE_FORM, "examples": ["Europe/Berlin"]})]

Flagged = Annotated[bool, Strict()]
Nrs = Annotated[float, Field(ge=0, le=10, json_schema_extra={"description": "numeric rating scale, 0 none to 10 worst imaginable"})]
TenScale = Annotated[float, Field(ge=0, le=10)]
Seconds = Annotated[float, Field(ge=0, le=172_800)]
Metres = Annotated[float, Field(ge=0, le=500_000)]
Percent = Annotated[float, Field(ge=0, le=100)]
HeartRate = Annotated[int, Field(ge=20, le=260)]
Cadence = Annotated[float, Field(ge=60, le=300, json_schema_extra={"description": "steps per minute, both feet"})]
Year = Annotated[int, Field(ge=1900, le=2100)]
PerWeek = Annotated[float, Field(ge=0, le=28)]
Climb = Annotated[float, Field(ge=0, le=20_000)]
SpeedPercent = Annotated[float, Field(ge=0, le=150, json_schema_extra={"description": "percent of own maximal speed"})]

Terrain = Literal["flat", "rolling", "hills"]

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""How every typed dictionary of the vocabulary is checked."""

"""Instants as they are written, and the local date they fall on."""

from datetime import datetime

import pytest

from services.decision.core.days import local_date, rewritten, written, zone

BERLIN = "Europe/Berlin"


def test_the_hour_that_there_is_twice_is_written_as_two() -> None:
    """Two instants of one zone that differ in their `fold` alone count as equal, and what is kept of one must not be told of the other."""
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=zone(BERLIN), fold=fold) for fold in (0, 1))
    assert first == second
    assert (written(first), written(second)) == ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z")


@pytest.mark.parametrize("text", ["2026-03-02T23:30:00+00:00", "2026-03-03T00:30:00+01:00", "2026-03-02T18:30:00-05:00"])
def test_one_instant_has_one_text_and_one_local_date_whatever_its_offset(text: str) -> None:
    instant = datetime.fromisoformat(text)
    assert written(instant) == "2026-03-02T23:30:00Z"
    assert local_date(instant, BERLIN).isoformat() == "2026-03-03"
    assert local_date(instant, "America/New_York").isoformat() == "2026-03-02"


@pytest.mark.parametrize(
    "text",
    [
        *("2026-03-02T07:00:00Z", "2026-03-02T07:00:00.1Z", "2026-03-02T07:00:00.000000Z", "2026-03-02T07:00:00.123456Z"),
        *("2026-03-02t07:00:00.123456z", "2026-03-02T07:00:00.1234567Z", "2026-03-02T07:00:00.12+01:00", "2026-03-02T07:00:00.10000+01"),
    ],
)
def test_a_text_that_is_written_again_is_as_its_instant_is_written(text: str) -> None:
    assert rewritten(text) == written(datetime.fromisoformat(text.upper()))

"""How old evidence is where the clocks change between: whichever way of counting makes it older."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.decision.core.athlete import Athlete
from services.decision.core.days import aged
from services.decision.core.facts.registry import find
from services.decision.rules.library import load_text
from tests.property.histories import BEGIN, Raw, event, receive_all, report, started
from tests.unit.test_core_pack_referrals import Own

GOOD = Path(__file__).parent / "rules" / "packs" / "good.yaml"
PACKS = Own(load_text("good.yaml", GOOD.read_bytes()).protocol)
BERLIN = [
    # On 29 March the clocks went on an hour: by the local clock 14 days are an hour shorter.
    ("2026-03-20T10:00:00+01:00", "2026-04-03T10:00:00+02:00"),
    # On 25 October they go back: 14 times 24 hours are over an hour before the local clock says so.
    ("2026-10-20T10:00:00+02:00", "2026-11-03T09:00:00+01:00"),
    ("2026-06-01T10:00:00+02:00", "2026-06-15T10:00:00+02:00"),
    # An hour that there is twice, and one that there is not.
    ("2026-10-11T02:30:00+02:00", "2026-10-25T02:30:00+02:00"),
    ("2026-03-15T02:30:00+01:00", "2026-03-29T01:30:00+01:00"),
]


@pytest.mark.law("unknown-never-advances")
@pytest.mark.parametrize(("found", "until"), BERLIN)
def test_a_days_age_ends_with_24_hours_or_with_the_local_clock_whichever_comes_first(found: str, until: str) -> None:
    assert aged(datetime.fromisoformat(found), 14, "Europe/Berlin") == datetime.fromisoformat(until)


@pytest.mark.law("unknown-never-advances")
@pytest.mark.parametrize(("found", "until"), BERLIN[:3])
def test_no_advance_rests_on_a_test_that_either_clock_calls_too_old(found: str, until: str) -> None:
    def standing(at: str) -> Raw:
        """With a report at that moment, the walk of entry being at most 14 days old."""
        start = started(protocol=PACKS.protocol.id) | {"time": found}
        passed = {"test": "walk_30_min", "passed": True, "pain_nrs": 0, "assessor": "clinician"}
        walk = event(1, "milestone.assessed", datetime.fromisoformat(found), passed)
        calm = report(2, "daily", None, datetime.fromisoformat(at), pain_nrs=0) | {"course": "c1"}
        return receive_all([start, walk, calm], Athlete(PACKS))[0].content("c1")

    assert standing(until)["action"] == "advance"
    later = standing(until.replace(":00+", ":01+"))
    assert later["action"] == "hold" and any("older than 14 days" in one for one in later["missing"]), later["missing"]


def test_what_holds_until_a_date_holds_on_that_date_and_no_longer() -> None:
    start = started(start_step="W1")
    until = receive_all([start])[1][-1].body["valid_until"]

    def then(days: int) -> str:
        at = datetime.fromisoformat(until).replace(hour=9, tzinfo=UTC) + timedelta(days=days)
        return str(receive_all([start, report(1, "daily", None, at, pain_nrs=0) | {"course": "c1"}])[1][-1].body["valid_until"])

    assert then(-1) == then(0) == until < then(1)


def test_fatigue_is_the_latest_word_and_of_one_moment_the_worst() -> None:
    def fatigue(*said: tuple[int, int]) -> object:
        told = [
            event(n, "wellness.reported", BEGIN + timedelta(hours=hours), {"fatigue": score}) for n, (hours, score) in enumerate(said, 1)
        ]
        athlete, _ = receive_all([started(start_step="W1"), *told])
        return find("fatigue.now", athlete._lines["c1"].verdict.view).value

    assert fatigue((1, 8), (2, 3)) == 3
    assert fatigue((1, 8), (2, 3), (2, 5)) == 5

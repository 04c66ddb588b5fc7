"""Facts that follow symptoms over days and weeks, healing, and how a session was run: each with its unknown cases."""

from datetime import timedelta
from typing import Any

import pytest

from services.decision.core.athlete import Athlete
from services.decision.core.facts.registry import View, find
from services.decision.core.trivalent import Unknown
from shared.events import content_digest, parse
from tests.property.histories import BEGIN, PACKS, Raw, event, report, session, started

FIRST = started(start_step="W2")


def found(name: str, *raws: Raw) -> Any:
    """What the fact is after these events; the reason where it is unknown."""
    athlete = Athlete(PACKS)
    for raw in raws:
        assert athlete.receive(parse(raw), content_digest(raw)).status == "accepted"
    value = find(name, _view(athlete)).value
    return value.reason if isinstance(value, Unknown) else value


def _view(athlete: Athlete) -> View:
    return athlete._lines["c1"].verdict.view


def daily(number: int, day: int, pain: float, **more: Any) -> Raw:
    return report(number, "daily", None, BEGIN + timedelta(days=day, hours=2), pain_nrs=pain, **more)


def morning(number: int, day: int, **said: Any) -> Raw:
    return report(number, "next_morning", None, BEGIN + timedelta(days=day), **said)


def run(**data: Any) -> Raw:
    return event(50, "session.completed", BEGIN + timedelta(days=1, hours=10), {"session": "s1", "kind": "run", "completed": True, **data})


@pytest.mark.parametrize(
    ("reports", "free", "since"),
    [
        ([], "was not reported in the last 15 days", "was not reported in the last 15 days"),
        ([(1, 0), (2, 0), (2, 0)], 2, 15),
        ([(1, 0), (2, 1), (3, 0), (4, 0)], 2, 2),
        ([(1, 0), (2, 1)], 0, 0),
        ([(2, 1), (2, 0)], 0, 0),
        ([(day, 0) for day in range(1, 20)], 15, 15),
    ],
)
def test_dates_without_pain_count_since_the_last_pain(reports: list[tuple[int, int]], free: Any, since: Any) -> None:
    raws = [FIRST, *(daily(10 + n, day, pain) for n, (day, pain) in enumerate(reports))]
    assert found("healing.pain_free_dates", *raws) == free
    assert found("healing.dates_since_pain", *raws) == since


def test_a_date_under_an_analgesic_is_not_free_of_pain_and_pain_under_one_is_pain() -> None:
    assert found("healing.pain_free_dates", FIRST, daily(10, 1, 0), daily(11, 2, 0, analgesic="nsaid")) == 1
    assert found("healing.dates_since_pain", FIRST, daily(10, 1, 0), daily(11, 2, 1, analgesic="nsaid")) == 0


def test_daily_pain_under_an_analgesic_counts_as_pain_and_not_as_a_date() -> None:
    week = [FIRST, *(daily(10 + day, day, 1) for day in range(1, 7))]
    masked = daily(20, 7, 6, analgesic="opioid")
    assert found("daily.worst_of_7", *week, masked) == 6
    assert found("daily.dates_of_7", *week, masked) == 6
    assert found("daily.worst_of_7", FIRST, masked) == "was not reported"


@pytest.mark.parametrize(
    ("earlier", "value"),
    [
        ({}, "were not told"),
        ({"prior_injuries": []}, False),
        ({"prior_injuries": [{"tissue": "muscle", "site": "calf"}]}, False),
        ({"prior_injuries": [{"tissue": "muscle"}, {"tissue": "bone", "site": "metatarsal"}]}, True),
        ({"prior_injuries": ["stress fracture"]}, "were told without their tissue"),
        ({"prior_injuries": ["stress fracture", {"tissue": "bone"}]}, True),
    ],
)
def test_an_earlier_injury_of_bone_is_known_only_where_tissues_are_told(earlier: dict[str, Any], value: Any) -> None:
    assert found("injury.bone_before", started(start_step="W2", **earlier)) == value


@pytest.mark.parametrize(
    ("mornings", "rise"),
    [
        ([], "was not reported in the last 15 days"),
        ([(8, 2)], "was not reported without an analgesic in each of the last two weeks"),
        ([(1, 1), (3, 1), (8, 2), (10, 4)], 2),
        ([(1, 3), (3, 3), (8, 1), (10, 2)], -1.5),
        ([(1, 1), (7, 1), (8, 2)], 0.5),
        ([(1, 1), (15, 3)], "was not reported without an analgesic in each of the last two weeks"),
    ],
)
def test_mornings_are_compared_week_on_week_by_their_medians(mornings: list[tuple[int, int]], rise: Any) -> None:
    raws = [FIRST, *(morning(10 + n, day, pain_nrs=pain, stiffness_min=10 * pain) for n, (day, pain) in enumerate(mornings))]
    assert found("trend.morning_pain", *raws) == rise
    assert found("trend.morning_stiffness", *raws) == (rise if isinstance(rise, str) else 10 * rise)


def test_a_morning_under_an_analgesic_never_hides_a_rise() -> None:
    weeks = [FIRST, morning(10, 1, pain_nrs=1), morning(11, 8, pain_nrs=3)]
    assert found("trend.morning_pain", *weeks, morning(12, 9, pain_nrs=0, analgesic="nsaid")) == 2
    assert found("trend.morning_pain", *weeks, morning(12, 9, pain_nrs=9, analgesic="nsaid")) == 5
    assert found("trend.morning_pain", *weeks, morning(12, 1, pain_nrs=9, analgesic="nsaid")) == 2
    assert isinstance(found("trend.morning_pain", FIRST, weeks[1], morning(11, 8, pain_nrs=3, analgesic="nsaid")), str)


def test_pain_two_days_after_counts_from_any_of_the_last_sessions() -> None:
    later = BEGIN + timedelta(days=3, hours=2)
    raised = report(60, "two_days_after", "s1", later + timedelta(hours=10), pain_nrs=2)
    assert found("session.pain_higher_two_days_after", FIRST) == "No session has been done at this step yet"
    assert found("session.pain_higher_two_days_after", FIRST, *session(10, 1)) == "was not reported"
    assert (
        found("session.pain_higher_two_days_after", FIRST, *session(10, 1), report(60, "two_days_after", "s1", later, pain_nrs=0)) is False
    )
    assert found("session.pain_higher_two_days_after", FIRST, *session(10, 1), *session(20, 3), raised) is True


@pytest.mark.parametrize(
    ("data", "terrain"),
    [
        ({}, "was not reported"),
        ({"surface": "road"}, "was not reported"),
        ({"surface": "treadmill"}, "flat"),
        ({"surface": "track"}, "flat"),
        ({"surface": "treadmill", "terrain": "hills"}, "hills"),
        ({"terrain": "rolling"}, "rolling"),
    ],
)
def test_terrain_is_what_was_said_or_flat_on_a_level_surface(data: dict[str, Any], terrain: str) -> None:
    assert found("session.terrain", FIRST, run(**data)) == terrain


@pytest.mark.parametrize(
    ("step", "data", "over"),
    [
        ("H2", {}, "was not reported"),
        ("H2", {"speed_pct_max": 45}, -5),
        ("H2", {"speed_pct_max": 60.5}, 10.5),
    ],
)
def test_speed_is_told_against_the_cap_of_the_step(step: str, data: dict[str, Any], over: Any) -> None:
    start = started("hamstring-threshold", "muscle", "hamstring", start_step=step)
    assert found("session.speed_over_step", start, run(**data)) == over


def test_a_step_without_a_speed_cap_has_none_to_exceed() -> None:
    assert found("session.speed_over_step", FIRST, run(speed_pct_max=95)) == 0


@pytest.mark.parametrize(
    ("baseline", "data", "share"),
    [
        ({"usual_pace_s_per_km": 300}, {"run_s": 1200, "run_distance_m": 2000}, 50),
        ({"usual_pace_s_per_km": 300}, {"run_s": 540, "run_distance_m": 2000}, 111.1),
        ({"usual_pace_s_per_km": 1800}, {"run_s": 1, "run_distance_m": 90000}, 1000),
        ({}, {"run_s": 1200, "run_distance_m": 2000}, "are not all known"),
        ({"usual_pace_s_per_km": 300}, {"run_s": 0, "run_distance_m": 2000}, "are not all known"),
        ({"usual_pace_s_per_km": 300}, {"run_s": 1200}, "are not all known"),
    ],
)
def test_pace_is_a_share_of_the_usual_speed(baseline: dict[str, Any], data: dict[str, Any], share: Any) -> None:
    assert found("pace.of_usual_pct", started(start_step="W2", baseline=baseline), run(**data)) == share


def test_pace_is_unknown_before_the_first_session() -> None:
    assert found("pace.of_usual_pct", FIRST) == "No session has been done at this step yet"

"""When a delivery is tried again, and when an endpoint rests."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from services.notify.lanes import FIRST_LIMIT, MOST_ANSWERING, MOST_DOUBTFUL, MOST_LIMIT, MOST_UNSETTLED, Lane, room
from services.notify.schedule import pause_after, retry_after, wait_before

WAITS = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_schedule_has_ten_attempts_over_about_75_hours() -> None:
    waits = [wait_before(tries, WAITS, draw=lambda: 0.5) for tries in range(11)]
    assert waits[-1] is None
    assert sum(wait for wait in waits if wait is not None) / 3600 == pytest.approx(75.6, abs=0.1)


@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_a_fifth(tries: int, draw: float) -> None:
    wait = wait_before(tries, WAITS, draw=lambda: draw)
    assert wait is not None and 0.8 * WAITS[tries] <= wait <= 1.2 * WAITS[tries]


@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True), st.floats(0, 1e9))
def test_retry_after_never_shortens_and_at_most_doubles_a_wait(tries: int, draw: float, asked: float) -> None:
    without, with_ = wait_before(tries, WAITS, draw=lambda: draw), wait_before(tries, WAITS, asked, lambda: draw)
    assert without is not None and with_ is not None
    assert without <= with_ <= max(without, min(2 * WAITS[tries], 86_400))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *[("7", 7), (" 7 ", 7), ("9" * 500, 86_400), ("Sun, 01 Mar 2026 12:01:00 GMT", 60), ("Sun, 01 Mar 9999 12:00:00 GMT", 86_400)],
        *[(header, None) for header in ("0", "-1", "1.5", "soon", "", "٧", "Sun, 01 Mar 2026 11:59:00 GMT", "Mon, 99 Foo", None)],
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_no_retry_after_header_breaks_the_sender(header: str) -> None:
    found = retry_after(header, NOW)
    assert found is None or 0 < found <= 86_400


def test_an_endpoint_rests_from_its_third_failure_on_and_never_longer_than_half_a_minute() -> None:
    assert [pause_after(failures, WAITS) for failures in (1, 2)] == [0, 0]
    assert all(0 < pause_after(failures, WAITS) <= 30 for failures in range(3, 30))


def test_a_receiver_that_asks_for_time_gets_up_to_five_minutes_at_once() -> None:
    assert pause_after(1, WAITS, 20) == 20
    assert pause_after(1, WAITS, 9000) == 300


def _failing(lane: Lane, times: int, now: datetime) -> datetime:
    for _ in range(times):
        lane.failed(now, now + timedelta(seconds=1), WAITS)
        now += timedelta(seconds=2)
    return now


def test_a_dead_endpoint_is_probed_one_by_one() -> None:
    lane = Lane(look_at=NOW)
    assert lane.free(NOW) == FIRST_LIMIT
    now = _failing(lane, 3, NOW)
    assert lane.free(now) == 0
    assert lane.rests_until is not None and lane.free(lane.rests_until) == 1


def test_failures_that_were_under_way_together_count_once() -> None:
    lane = Lane(look_at=NOW)
    for _ in range(8):
        lane.failed(NOW, NOW + timedelta(seconds=15), WAITS)
    assert lane.failures == 1
    assert lane.free(NOW + timedelta(seconds=15)) == FIRST_LIMIT // 2


def test_an_endpoint_that_answers_again_is_trusted_with_more_and_more() -> None:
    lane = Lane(look_at=NOW)
    now = _failing(lane, 5, NOW)
    for _ in range(10):
        lane.succeeded()
    assert lane.free(now) == MOST_LIMIT


def test_an_idle_lane_is_looked_at_only_after_a_hint() -> None:
    lane = Lane()
    assert lane.free(NOW) == 0 and lane.next_look(NOW) is None and lane.is_idle
    lane.hint(NOW + timedelta(seconds=5))
    lane.hint(NOW + timedelta(seconds=9))
    assert lane.next_look(NOW) == NOW + timedelta(seconds=5)
    assert lane.free(NOW + timedelta(seconds=5)) == FIRST_LIMIT


def _held(count: int, answers: bool, under_way: int, since: datetime) -> dict[str, Lane]:
    """Endpoints that have this many attempts under way, since then."""
    made = {}
    for number in range(count):
        lane = Lane(look_at=NOW, limit=MOST_LIMIT, answers=answers)
        for _ in range(under_way):
            lane.began(since)
        made[f"{answers} {number}"] = lane
    return made


def test_an_endpoint_that_answers_has_a_place_however_many_others_are_silent() -> None:
    now = NOW + timedelta(seconds=5)
    # Some that never answered, and some that did until a moment ago: together they hold more places than there are.
    lanes = _held(8, False, 64, NOW) | _held(12, True, 64, NOW) | {"well": Lane(look_at=NOW, answers=True)}
    assert sum(lane.under_way for lane in lanes.values()) > MOST_ANSWERING + MOST_DOUBTFUL
    assert room(lanes, now) == {"well": FIRST_LIMIT}


def test_endpoints_of_which_nothing_is_known_share_places_of_their_own() -> None:
    lanes = {f"new {number}": Lane(look_at=NOW) for number in range(1000)}
    granted = room(lanes, NOW)
    assert sum(granted.values()) == MOST_DOUBTFUL
    assert list(granted) == list(lanes)[: len(granted)]
    assert room(lanes | {"well": Lane(look_at=NOW, answers=True)}, NOW)["well"] == FIRST_LIMIT


def test_an_endpoint_that_falls_silent_gets_nothing_more_until_it_answers() -> None:
    lane = Lane(look_at=NOW, limit=MOST_LIMIT, answers=True)
    lane.began(NOW)
    lane.began(NOW)
    later = NOW + timedelta(seconds=2)
    assert lane.free(NOW) == MOST_LIMIT - 2
    assert lane.free(later) == 0 and lane.next_look(later) is None and lane.is_doubtful(later)
    lane.ended(later)
    assert lane.free(later) == MOST_LIMIT - 1


def test_what_is_not_yet_written_down_takes_no_place_but_is_bounded() -> None:
    lane = Lane(look_at=NOW, limit=MOST_LIMIT, answers=True)
    for _ in range(MOST_UNSETTLED - 1):
        lane.began(NOW)
        lane.ended(NOW)
    assert lane.under_way == 0 and lane.free(NOW) == 1
    lane.began(NOW)
    assert lane.free(NOW) == 0 and lane.next_look(NOW) is None

"""When somebody ran and when they walked."""

import pytest
from hypothesis import given, strategies as st

from services.ingest.formats.run_walk import Sample, split


def samples(*bouts: tuple[int, float | None, float | None]) -> list[Sample]:
    """One sample each second: (seconds, speed, steps per minute)."""
    out, time, distance = [], 0.0, 0.0
    for lasts, speed, cadence in bouts:
        for _ in range(lasts):
            out.append(Sample(time, speed, cadence, distance))
            time += 1
            distance += speed or 0
    return out


RUN = (2.6, 166.0)
WALK = (1.4, 112.0)


def test_repetitions_are_counted_and_timed():
    found = split(samples(*[(60, *RUN), (240, *WALK)] * 6))
    assert (found.run_s, found.walk_s, found.reps) == (360, 1440, 6)
    assert found.run_distance_m == pytest.approx(6 * 60 * 2.6)
    assert found.walked == pytest.approx(0.8)


def test_steps_tell_more_than_speed():
    slow_jog, fast_walk = (1.6, 150.0), (2.3, 125.0)
    found = split(samples((60, *slow_jog), (60, *fast_walk)))
    assert (found.run_s, found.walk_s) == (60, 60)


def test_without_steps_speed_tells():
    found = split(samples((60, 2.6, None), (60, 1.2, None), (60, 0.0, None)))
    assert (found.run_s, found.walk_s, found.known_s) == (60, 60, 180)


def test_a_stumble_and_a_traffic_light_end_no_repetition():
    found = split(samples((300, *RUN), (5, *WALK), (300, *RUN), (20, 0.0, 0.0), (300, *RUN)))
    assert found.reps == 1
    assert found.run_s == 905


def test_a_minute_of_walking_ends_a_repetition():
    assert split(samples((300, *RUN), (60, *WALK), (300, *RUN))).reps == 2


def test_a_pause_of_the_recording_counts_as_no_time():
    before, after = samples((60, *RUN)), samples((60, *RUN))
    later = [Sample(item.time + 600, item.speed, item.cadence_spm, item.distance) for item in after]
    assert split(before + later).run_s == 120


def test_what_the_device_did_not_measure_is_not_known():
    found = split(samples((100, None, None)))
    assert (found.run_s, found.walk_s, found.known_s, found.reps) == (0, 0, 0, 0)


def test_no_samples_are_no_time():
    assert split([]).known_s == 0


@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from([RUN, WALK, (0.0, 0.0), (None, None)])), max_size=12))
def test_time_is_never_made_or_lost(bouts):
    taken = samples(*((lasts, *movement) for lasts, movement in bouts))
    found = split(taken)
    assert sum(found.seconds) == pytest.approx(len(taken))
    assert found.known_s <= sum(found.seconds) + 1e-9
    assert found.run_s + found.walk_s <= found.known_s + 1e-9
    assert sum(second for second, runs in zip(found.seconds, found.running, strict=True) if runs) == pytest.approx(found.run_s)

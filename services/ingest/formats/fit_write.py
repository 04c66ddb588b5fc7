"""Writes a run-walk session as a watch would record it: one record each second, a lap for each bout, the session, the device.

The same arguments give the same bytes; variation comes from slow waves, not from chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sin, tau
from typing import Any, Final

WALK_SPM: Final = 112.0
_MAKER: Final = "development"
_MODEL: Final = "run-walk recorder"
_SERIAL: Final = 17
# Milliseconds of ground contact and millimetres of oscillation of an easy runner; the waves below move them by a few percent.
_CONTACT_MS: Final = 262.0
_OSCILLATION_MM: Final = 88.0


@dataclass(frozen=True, slots=True)
class _Second:
    time: datetime
    runs: bool
    speed: float
    distance: float
    cadence_spm: float
    hr: int
    wave: float


def write_run_walk(
    start: datetime,
    reps: Sequence[tuple[float, float]],
    run_speed: float = 2.6,
    walk_speed: float = 1.4,
    cadence_spm: float = 166.0,
    hr: int = 138,
    dynamics: bool = True,
    rpe: float | None = None,
    warm_up_s: float = 0.0,
) -> bytes:
    """A FIT activity of repetitions (seconds run, seconds walked) from an aware `start`, after `warm_up_s` of walking.

    Speeds in m/s; `cadence_spm` steps per minute of both feet while running, `hr` beats per minute while running, `rpe` 0 to 10;
    `dynamics` adds ground contact, vertical oscillation and step length. Raises ValueError for a naive start or a session without a second.
    """
    from garmin_fit_sdk import Encoder
    from garmin_fit_sdk.profile import Profile

    if start.tzinfo is None:
        raise ValueError("start must be aware: give it an offset from UTC")
    planned = [(False, warm_up_s), *((runs, lasts) for run_s, walk_s in reps for runs, lasts in ((True, run_s), (False, walk_s)))]
    bouts = [(runs, round(lasts)) for runs, lasts in planned if round(lasts) > 0]
    if not bouts:
        raise ValueError("the session has no second in it: give repetitions of (seconds run, seconds walked)")
    seconds = list(_seconds(start, bouts, (run_speed, walk_speed), cadence_spm, hr))
    encoder = Encoder()

    def put(kind: str, **fields: Any) -> None:
        encoder.write_mesg({"mesg_num": Profile["mesg_num"][kind], **fields})

    end = start + timedelta(seconds=len(seconds))
    device = {"manufacturer": _MAKER, "product": 1, "serial_number": _SERIAL}
    put("FILE_ID", type="activity", time_created=start, product_name=_MODEL, **device)
    put("DEVICE_INFO", timestamp=start, device_index="creator", software_version=1.0, **device)
    put("EVENT", timestamp=start, event="timer", event_type="start")
    for second in seconds:
        put("RECORD", **_record(second, dynamics))
    put("EVENT", timestamp=end, event="timer", event_type="stop_all")
    passed = 0
    for index, (_, lasts) in enumerate(bouts):
        put("LAP", message_index=index, **_summary(seconds[passed : passed + lasts], dynamics))
        passed += lasts
    effort = {} if rpe is None else {"workout_rpe": round(rpe * 10)}
    put(
        "SESSION",
        message_index=0,
        sport="running",
        sub_sport="generic",
        first_lap_index=0,
        num_laps=len(bouts),
        **_summary(seconds, dynamics),
        **effort,
    )
    put("ACTIVITY", timestamp=end, total_timer_time=len(seconds), num_sessions=1, type="manual")
    return bytes(encoder.close())


def _seconds(
    start: datetime, bouts: Sequence[tuple[bool, int]], speeds: tuple[float, float], cadence_spm: float, hr: int
) -> Iterator[_Second]:
    distance, second = 0.0, 0
    beat = hr - 35.0
    for runs, lasts in bouts:
        for _ in range(lasts):
            wave = sin(tau * second / 47)
            speed = (speeds[0] if runs else speeds[1]) * (1 + 0.02 * wave)
            distance += speed
            # The heart follows with a time constant of half a minute.
            beat += ((hr if runs else hr - 25) - beat) / 30
            steps = cadence_spm + wave if runs else WALK_SPM + wave
            yield _Second(start + timedelta(seconds=second), runs, speed, distance, steps, round(beat), wave)
            second += 1


def _record(second: _Second, dynamics: bool) -> dict[str, Any]:
    strides = second.cadence_spm / 2
    fields: dict[str, Any] = {
        "timestamp": second.time,
        "distance": second.distance,
        "enhanced_speed": second.speed,
        "heart_rate": second.hr,
        "cadence": int(strides),
        "fractional_cadence": strides - int(strides),
    }
    if dynamics and second.runs:
        fields["stance_time"] = _CONTACT_MS - 4 * second.wave
        fields["vertical_oscillation"] = _OSCILLATION_MM + 2 * second.wave
        fields["step_length"] = 1000 * second.speed / (second.cadence_spm / 60)
    return fields


def _summary(seconds: Sequence[_Second], dynamics: bool) -> dict[str, Any]:
    count = len(seconds)
    strides = sum(second.cadence_spm for second in seconds) / count / 2
    distance = sum(second.speed for second in seconds)
    running = [second for second in seconds if second.runs]
    fields: dict[str, Any] = {
        "timestamp": seconds[-1].time + timedelta(seconds=1),
        "start_time": seconds[0].time,
        "total_elapsed_time": count,
        "total_timer_time": count,
        "total_distance": distance,
        "enhanced_avg_speed": distance / count,
        "avg_heart_rate": round(sum(second.hr for second in seconds) / count),
        "max_heart_rate": max(second.hr for second in seconds),
        "avg_cadence": int(strides),
        "avg_fractional_cadence": strides - int(strides),
    }
    if dynamics and running:
        wave = sum(second.wave for second in running) / len(running)
        fields["avg_stance_time"] = _CONTACT_MS - 4 * wave
        fields["avg_vertical_oscillation"] = _OSCILLATION_MM + 2 * wave
    return fields

"""The `data` of reports: sessions, symptoms, sensors, milestones, wellness."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from shared.events.catalogue import Flag, Side, Site, Test
from shared.events.forms import (
    STRICT,
    Cadence,
    Climb,
    Flagged,
    HeartRate,
    Id,
    Metres,
    Nrs,
    Percent,
    Seconds,
    SpeedPercent,
    Step,
    TenScale,
    Terrain,
    Word,
)

Change = Literal["lower", "same", "higher"]


@with_config(STRICT)
class SessionCompleted(TypedDict):
    """One session that was done; the event's `time` is its start."""

    session: Id
    kind: Literal["run_walk", "run", "cross_training", "strength", "plyometric", "mobility"]
    step: NotRequired[Step]
    planned: NotRequired[Flagged]
    completed: NotRequired[Flagged]
    stopped_for: NotRequired[Literal["pain", "fatigue", "illness", "time", "other"]]
    duration_s: NotRequired[Seconds]
    run_s: NotRequired[Seconds]
    walk_s: NotRequired[Seconds]
    reps: NotRequired[Annotated[int, Field(ge=0, le=1000)]]
    distance_m: NotRequired[Metres]
    run_distance_m: NotRequired[Metres]
    rpe: NotRequired[TenScale]
    rpe_scale: NotRequired[Literal["cr10", "omni"]]
    hr_avg_bpm: NotRequired[HeartRate]
    hr_max_bpm: NotRequired[HeartRate]
    surface: NotRequired[Literal["treadmill", "track", "road", "grass", "trail", "turf", "water", "anti_gravity"]]
    body_weight_pct: NotRequired[Percent]
    terrain: NotRequired[Terrain]
    ascent_m: NotRequired[Climb]
    descent_m: NotRequired[Climb]
    speed_pct_max: NotRequired[SpeedPercent]
    gait_changed: NotRequired[Flagged]
    technique_ok: NotRequired[Flagged]
    technique_by: NotRequired[Literal["clinician", "coach", "self"]]


@with_config(STRICT)
class SessionSkipped(TypedDict):
    """A planned session that did not happen."""

    step: NotRequired[Step]
    reason: Literal["pain", "illness", "fatigue", "time", "other"]


@with_config(STRICT)
class SymptomReported(TypedDict):
    """What the athlete feels at one moment; `location` absent is the injured area."""

    session: NotRequired[Id]
    when: Literal["before", "warm_up", "during", "after", "next_morning", "next_day", "two_days_after", "rest", "night", "daily"]
    pain_nrs: NotRequired[Nrs]
    pain_change: NotRequired[Change]
    location: NotRequired[Literal["injured", "elsewhere"]]
    site: NotRequired[Site]
    side: NotRequired[Side]
    soreness: NotRequired[Literal["none", "muscle", "injured_area"]]
    settled: NotRequired[Flagged]
    settled_min: NotRequired[Annotated[float, Field(ge=0, le=10_080, description="minutes until back to the level before")]]
    swelling: NotRequired[Literal["none", "trace", "1+", "2+", "3+"]]
    swelling_change: NotRequired[Change]
    stiffness_change: NotRequired[Change]
    stiffness_min: NotRequired[Annotated[float, Field(ge=0, le=1440)]]
    graded_by: NotRequired[Literal["clinician", "self"]]
    analgesic: NotRequired[Literal["none", "simple", "nsaid", "opioid", "injection"]]
    flags: NotRequired[Annotated[list[Flag], Field(max_length=40)]]


@with_config(STRICT)
class Device(TypedDict):
    maker: NotRequired[Word]
    model: NotRequired[Word]
    origin: Literal["native", "developer_field", "platform"]


@with_config(STRICT)
class SensorSummarised(TypedDict):
    """Running dynamics of one session, or of a third of it, from one device."""

    session: Id
    segment: NotRequired[Literal["whole", "first_third", "last_third"]]
    device: Device
    coverage_pct: NotRequired[Percent]
    cadence_spm: NotRequired[Cadence]
    ground_contact_ms: NotRequired[Annotated[float, Field(ge=50, le=1000)]]
    vertical_oscillation_mm: NotRequired[Annotated[float, Field(ge=0, le=300)]]
    step_length_mm: NotRequired[Annotated[float, Field(ge=100, le=3000, description="one step, not one stride")]]
    contact_balance_left_pct: NotRequired[Percent]
    leg_stiffness_kn_per_m: NotRequired[Annotated[float, Field(ge=0, le=100)]]
    loading_rate_bw_per_s: NotRequired[Annotated[float, Field(ge=0, le=1000)]]
    impact_g: NotRequired[Annotated[float, Field(ge=0, le=100)]]
    pronation_deg: NotRequired[Annotated[float, Field(ge=-100, le=100)]]
    foot_strike: NotRequired[Literal["rear", "mid", "fore"]]
    speed_m_per_s: NotRequired[Annotated[float, Field(ge=0, le=15)]]
    power_w: NotRequired[Annotated[float, Field(ge=0, le=3000)]]


@with_config(STRICT)
class MilestoneAssessed(TypedDict):
    """One functional test and its result."""

    test: Test
    value: NotRequired[Annotated[float, Field(ge=-10_000, le=10_000)]]
    unit: NotRequired[Annotated[str, Field(min_length=1, max_length=20, pattern=r"^[^\x00-\x1F\x7F-\x9F]*$")]]
    side: NotRequired[Side]
    lsi_pct: NotRequired[Annotated[float, Field(ge=0, le=200, description="limb symmetry index")]]
    reference: NotRequired[Literal["other_limb", "pre_injury", "own_baseline"]]
    pain_nrs: NotRequired[Nrs]
    passed: NotRequired[Flagged]
    assessor: Literal["clinician", "coach", "self"]


@with_config(STRICT)
class Readiness(TypedDict):
    scale: Literal["acl_rsi", "i_prrs", "tsk_11"]
    score: Annotated[float, Field(ge=0, le=100)]


@with_config(STRICT)
class WellnessReported(TypedDict):
    sleep_h: NotRequired[Annotated[float, Field(ge=0, le=24)]]
    fatigue: NotRequired[TenScale]
    stress: NotRequired[TenScale]
    mood: NotRequired[TenScale]
    illness: NotRequired[Literal["none", "mild", "febrile"]]
    readiness: NotRequired[Readiness]

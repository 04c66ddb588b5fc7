"""The `data` of each event type, as strict typed dictionaries that Pydantic checks.

A typed dictionary, not a model: what leaves the check is exactly what was sent, and absent stays absent. `NotRequired` is the
contract's `?`; null is refused, for absent is how a sender says unknown.
"""

from types import MappingProxyType
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from shared.events.catalogue import Flag, Gate, Side, Site, Test, Tissue
from shared.events.forms import (
    Cadence,
    Climb,
    Date,
    Flagged,
    HeartRate,
    Id,
    Instant,
    Metres,
    Nrs,
    Percent,
    PerWeek,
    Prose,
    ProtocolRef,
    Seconds,
    SpeedPercent,
    Step,
    TenScale,
    Word,
    Year,
    Zone,
)

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Terrain = Literal["flat", "rolling", "hills"]
Change = Literal["lower", "same", "higher"]
Action = Literal["advance", "hold", "regress"]
Role = Literal["clinician", "coach", "integrator", "author", "auditor", "admin"]

# Names of the two shapes a value may have; they never show in a path.
UNION_TAGS = frozenset({"as_text", "as_number", "as_object"})


def _shape(value: object) -> str:
    if isinstance(value, dict):
        return "as_object"
    return "as_text" if isinstance(value, str) else "as_number"


def _text_or_object(value: object) -> str:
    return "as_object" if isinstance(value, dict) else "as_text"


Grade = Annotated[
    Annotated[Word, Tag("as_text")] | Annotated[Annotated[int, Field(ge=0, le=10)], Tag("as_number")],
    Discriminator(_shape, custom_error_type="form", custom_error_message="a grade, as in 2 or 2a"),
]


@with_config(STRICT)
class By(TypedDict):
    """The person who did it; over HTTP it comes from the credential."""

    id: Id
    role: Role


@with_config(STRICT)
class Injury(TypedDict):
    tissue: Tissue
    site: Site
    side: Side
    onset_date: NotRequired[Date]
    surgery_date: NotRequired[Date]
    delivery_date: NotRequired[Date]
    procedures: NotRequired[Annotated[list[Word], Field(max_length=20)]]
    grade: NotRequired[Grade]
    high_risk: NotRequired[Flagged]


@with_config(STRICT)
class PriorInjury(TypedDict):
    """An earlier injury, as far as it is known."""

    tissue: NotRequired[Tissue]
    site: NotRequired[Site]
    side: NotRequired[Side]
    onset_date: NotRequired[Date]
    resolved_date: NotRequired[Date]
    year: NotRequired[Year]


Prior = Annotated[Annotated[Word, Tag("as_text")] | Annotated[PriorInjury, Tag("as_object")], Discriminator(_text_or_object)]


@with_config(STRICT)
class Baseline(TypedDict):
    """What was usual before the injury."""

    longest_run_m: NotRequired[Metres]
    week_run_m: NotRequired[Metres]
    sessions_per_week: NotRequired[PerWeek]
    usual_pace_s_per_km: NotRequired[Annotated[float, Field(ge=100, le=1800)]]
    cadence_spm: NotRequired[Cadence]
    pain_nrs: NotRequired[Nrs]
    hr_max_bpm: NotRequired[HeartRate]


@with_config(STRICT)
class Goal(TypedDict):
    event_date: NotRequired[Date]
    distance_m: NotRequired[Metres]
    duration_s: NotRequired[Seconds]
    terrain: NotRequired[Terrain]


@with_config(STRICT)
class CourseStarted(TypedDict):
    """A return under one protocol for one injury begins."""

    course: Id
    protocol: ProtocolRef
    injury: Injury
    timezone: Zone
    start_step: NotRequired[Step]
    sport: NotRequired[Literal["endurance", "sprint", "team", "recreational"]]
    birth_year: NotRequired[Year]
    prior_injuries: NotRequired[Annotated[list[Prior], Field(max_length=50)]]
    baseline: NotRequired[Baseline]
    goal: NotRequired[Goal]


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


@with_config(STRICT)
class ClearanceRecorded(TypedDict):
    """A clinician opens or closes a gate; `valid_until` is the last date on which it holds."""

    gate: Gate
    granted: Flagged
    by: By
    valid_until: NotRequired[Date]


@with_config(STRICT)
class Recommended(TypedDict):
    """What a decision recommended, by which an answer finds it."""

    action: Action
    from_step: Step
    to_step: Step


@with_config(STRICT)
class RecommendationAnswered(TypedDict):
    decision: NotRequired[Id]
    of: NotRequired[Recommended]
    answer: Literal["accepted", "declined", "modified"]
    step: NotRequired[Step]
    reason: NotRequired[Prose]
    by: By


@with_config(STRICT)
class Limits(TypedDict):
    sessions_per_week: NotRequired[PerWeek]
    run_s: NotRequired[Seconds]
    terrain: NotRequired[Terrain]
    speed_pct_max: NotRequired[SpeedPercent]


@with_config(STRICT)
class CourseAdjusted(TypedDict):
    """A clinician sets a step or a limit unasked; `until` is the last date on which it holds."""

    step: NotRequired[Step]
    limits: NotRequired[Limits]
    until: NotRequired[Date]
    reason: Prose
    by: By


@with_config(STRICT)
class CourseMarked(TypedDict):
    """A course is paused, resumed or ended."""

    course: Id
    reason: NotRequired[Prose]


@with_config(STRICT)
class EventCorrected(TypedDict):
    """Whole new data for an event; checked against the original's type where the original is known."""

    corrects: Id
    corrects_source: NotRequired[Id]
    time: NotRequired[Instant]
    data: dict[str, Any]


@with_config(STRICT)
class EventRetracted(TypedDict):
    retracts: Id
    retracts_source: NotRequired[Id]
    reason: Prose


@with_config(STRICT)
class TimeReached(TypedDict):
    """Appended by decision alone: a date that matters to a course has come."""

    course: Id
    kind: Literal["valid_until", "eligible_from", "report_due"]
    at: Instant


@with_config(STRICT)
class EngineFaulted(TypedDict):
    """Appended by decision alone: the second engine failed or differed, so the course holds."""

    course: Id
    engine: Word
    kind: Literal["fault", "disagreement"]
    tries: Annotated[int, Field(ge=0, le=1000)]
    detail: Prose


TYPES: MappingProxyType[str, type] = MappingProxyType(
    {
        "milepost.course.started": CourseStarted,
        "milepost.session.completed": SessionCompleted,
        "milepost.session.skipped": SessionSkipped,
        "milepost.symptom.reported": SymptomReported,
        "milepost.sensor.summarised": SensorSummarised,
        "milepost.milestone.assessed": MilestoneAssessed,
        "milepost.wellness.reported": WellnessReported,
        "milepost.clearance.recorded": ClearanceRecorded,
        "milepost.recommendation.answered": RecommendationAnswered,
        "milepost.course.adjusted": CourseAdjusted,
        "milepost.course.paused": CourseMarked,
        "milepost.course.resumed": CourseMarked,
        "milepost.course.ended": CourseMarked,
        "milepost.event.corrected": EventCorrected,
        "milepost.event.retracted": EventRetracted,
    }
)

INTERNAL_TYPES: MappingProxyType[str, type] = MappingProxyType(
    {
        "milepost.time.reached": TimeReached,
        "milepost.engine.faulted": EngineFaulted,
    }
)

# Types whose `data.course` names the course; the extension attribute `course`, if sent, must agree.
NAMES_COURSE = frozenset(
    {
        "milepost.course.started",
        "milepost.course.paused",
        "milepost.course.resumed",
        "milepost.course.ended",
        "milepost.time.reached",
        "milepost.engine.faulted",
    }
)

# Types that only a person may cause: `by` is filled from the credential.
NEEDS_PERSON = frozenset({"milepost.clearance.recorded", "milepost.recommendation.answered", "milepost.course.adjusted"})

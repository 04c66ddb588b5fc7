"""The `data` of events about a course: its beginning, its marks, and what clinicians decide about it."""

from typing import Annotated, Literal, NotRequired

from pydantic import Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from shared.events.catalogue import Gate, Side, Site, Tissue
from shared.events.forms import (
    STRICT,
    Cadence,
    Date,
    Flagged,
    HeartRate,
    Id,
    Metres,
    Nrs,
    PerWeek,
    Prose,
    ProtocolRef,
    Seconds,
    SpeedPercent,
    Step,
    Terrain,
    Word,
    Year,
    Zone,
)

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
class CourseMarked(TypedDict):
    """A course is paused, resumed or ended."""

    course: Id
    reason: NotRequired[Prose]


@with_config(STRICT)
class CourseMigrated(TypedDict):
    """Appended by decision alone: a clinician lets a course go on under another protocol, or another version of its own."""

    course: Id
    protocol: ProtocolRef
    from_hash: Id
    to_hash: Id
    step: NotRequired[Step]
    reason: Prose
    by: By


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

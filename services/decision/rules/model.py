"""A pack as its author writes it. Strict: an unknown key, a wrong type or a missing source is a fault with its place."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.decision.core.protocol import Axis, Kind, Operator, Running, Urgency

Word = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
Prose = Annotated[str, Field(min_length=1, max_length=600)]
Evidence = Literal["primary", "secondary", "expert_default"]
Whole = Annotated[int, Field(ge=0, le=1_000_000)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SourceText(Strict):
    """What a citation id stands for, and how far it was read."""

    text: Prose
    doi: str | None = None
    url: str | None = None
    evidence: Evidence


class DoseText(Strict):
    run_s: Whole | None = None
    walk_s: Whole | None = None
    reps: Whole | None = None
    bout_s: Whole | None = None
    distance_m: Whole | None = None
    run_m: Whole | None = None
    sessions_per_week_max: Annotated[int, Field(ge=1, le=14)] | None = None
    rpe_max: Annotated[int, Field(ge=0, le=10)] | None = None
    terrain: Literal["flat", "rolling", "hills"] = "flat"
    speed_pct_max: Annotated[int, Field(ge=1, le=100)] | None = None
    easy_run_s: Whole | None = None
    quality: bool = False
    note: str = ""


class StepText(Strict):
    step: Word
    dose: DoseText
    raises: list[Axis] = []
    rest_days: Annotated[int, Field(ge=0, le=14)] | None = None


class ConditionText(Strict):
    """`fact`, how it is compared (`is`), with what (`value`), how old it may be and who must have assessed it."""

    fact: str
    op: Annotated[bool | Operator, Field(alias="is")]
    value: int | float | str | list[str] | None = None
    max_age_days: Annotated[int, Field(ge=1, le=365)] | None = None
    assessor: Literal["clinician", "coach"] | None = None
    cite: list[Word] = []


class AnyText(Strict):
    any: Annotated[list[ConditionText], Field(min_length=2, max_length=12)]


class ThenText(Strict):
    steps_back: Annotated[int, Field(ge=0, le=50)] = 0
    to_entry: bool = False
    rest_days: Annotated[int, Field(ge=0, le=60)] | None = None
    running: Running | None = None
    urgency: Urgency = "routine"
    resume_when: list[Prose] = []


class RuleText(Strict):
    rule: Word
    kind: Kind
    text: Prose
    at: str | list[Word] = "everywhere"
    """`everywhere`, `ladder` (every step but entry), `entry`, a range `W12..W20`, or a list of steps."""
    tissues: list[str] | None = None
    when: Annotated[list[ConditionText | AnyText], Field(min_length=1, max_length=24)]
    then: ThenText = ThenText()
    cite: Annotated[list[Word], Field(min_length=1)]
    grade: Evidence
    unknown: Literal["hold", "pass"] = "hold"
    disagreement: str = ""


class RateText(Strict):
    max_steps: Annotated[int, Field(ge=1, le=20)]
    in_days: Annotated[int, Field(ge=1, le=90)]
    at: str | list[Word]
    axis: Axis | None = None
    cite: list[Word]


class ProgressText(Strict):
    clean_sessions: Annotated[int, Field(ge=1, le=20)]
    after_failure: Annotated[int, Field(ge=1, le=20)]
    on_rebuild: Annotated[int, Field(ge=1, le=20)]
    unclean_restarts: bool
    non_consecutive: bool


class PopulationText(Strict):
    tissues: list[str]
    sites: list[str] = []


class DeloadText(Strict):
    after_days: Annotated[int, Field(ge=7, le=180)]
    days: Annotated[int, Field(ge=1, le=28)]
    share_pct: Annotated[int, Field(ge=10, le=100)]
    fewer_sessions: Annotated[int, Field(ge=0, le=7)]


class SecondSetbackText(Strict):
    within_days: Annotated[int, Field(ge=1, le=90)]
    steps_back: Annotated[int, Field(ge=1, le=10)]


class FloorText(Strict):
    """Rules that every pack includes."""

    pack: Word
    version: str
    title: Prose
    sources: dict[Word, SourceText]
    rules: list[RuleText]


class PackText(Strict):
    pack: Word
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    title: Prose
    first_line: Prose
    """What the reader must know before anything else, as where no ladder was published."""
    for_whom: list[Prose]
    not_for: list[Prose]
    includes: list[Word]
    sources: dict[Word, SourceText]
    population: PopulationText
    ladder: Annotated[list[StepText], Field(min_length=1, max_length=60)]
    rest_days: Annotated[int, Field(ge=0, le=14)]
    progress: ProgressText
    rates: list[RateText] = []
    deload: DeloadText | None = None
    second_setback: SecondSetbackText | None = None
    clean: Annotated[list[ConditionText | AnyText], Field(min_length=1)]
    stop_if: Annotated[list[Prose], Field(min_length=1)]
    disagreement: list[Prose] = []
    rules: list[RuleText]

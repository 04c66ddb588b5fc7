"""A pack as its author writes it. Strict: an unknown key, a wrong type or a missing source is a fault with its place."""

from datetime import date
from typing import Annotated, Any, Literal

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
    checked_on: date | None = None
    """When its numbers were last read against the source; what cites it for a number needs it, expert defaults excepted."""
    tissues: list[str] = []
    """The tissues it speaks for, or `[any]` where it speaks of none in particular. Asked of every published source of a threshold."""


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
    cite: list[Word] = []
    """Where this dose is from; the ladder's `ladder_cite` if it is not said."""
    rest_days: Annotated[int, Field(ge=0, le=14)] | None = None


class ConditionText(Strict):
    """`fact`, how it is compared (`is`), with what (`value`), how old it may be and who must have assessed it."""

    fact: str
    op: Annotated[bool | Operator, Field(alias="is")]
    value: str | list[str] | None = None
    """An amount with its unit (`2 nrs`), a choice, or a list of choices."""
    max_age: str | None = None
    """How old what it rests on may be: `14 d`, `6 wk`."""
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
    unless: list[Word] = []
    """Rules that except this one: where one of them is met, this rule is set aside. Not for rules that refer."""


class RateText(Strict):
    max_steps: Annotated[int, Field(ge=1, le=20)]
    in_days: Annotated[int, Field(ge=1, le=90)]
    at: str | list[Word]
    axis: Axis | None = None
    cite: Annotated[list[Word], Field(min_length=1)]
    counts: Literal["gained", "trained"] = "gained"
    """`gained`: steps first reached in these days. `trained`: different steps with a session in these days, counting the next one."""


class ProgressText(Strict):
    clean_sessions: Annotated[int, Field(ge=1, le=20)]
    after_failure: Annotated[int, Field(ge=1, le=20)]
    on_rebuild: Annotated[int, Field(ge=1, le=20)]
    unclean_restarts: bool
    non_consecutive: bool
    cite: Annotated[list[Word], Field(min_length=1)]


class PopulationText(Strict):
    tissues: list[str]
    sites: list[str] = []


class DeloadText(Strict):
    after_days: Annotated[int, Field(ge=7, le=180)]
    days: Annotated[int, Field(ge=1, le=28)]
    share_pct: Annotated[int, Field(ge=10, le=100)]
    fewer_sessions: Annotated[int, Field(ge=0, le=7)]
    cite: Annotated[list[Word], Field(min_length=1)]


class SecondSetbackText(Strict):
    within_days: Annotated[int, Field(ge=1, le=90)]
    steps_back: Annotated[int, Field(ge=1, le=10)]
    cite: Annotated[list[Word], Field(min_length=1)]


class RestText(Strict):
    """Whole local dates without running after a session, where the step does not say otherwise."""

    days: Annotated[int, Field(ge=0, le=14)]
    cite: Annotated[list[Word], Field(min_length=1)]


class WaiverText(Strict):
    """A check that this pack is allowed to fail, by whom, why and until when."""

    check: Word
    at: str = ""
    """The place it is waived at, as the check prints it; everywhere if empty."""
    reason: Prose
    owner: Prose
    until: date


class SurvivorText(Strict):
    """A mutant of the rules that no story and no boundary tells apart, and why that is right."""

    mutant: Prose
    why: Prose


class ExpectText(Strict):
    """What stands at this point of a story. What is not said is not checked."""

    action: Literal["advance", "hold", "regress"] | None = None
    from_step: Word | int | None = None
    to_step: Word | int | None = None
    """A step, or its number on the ladder, from 1."""
    axis: Axis | None = None
    running: Running | None = None
    urgency: Urgency | None = None
    modifier: Literal["none", "deload", "rebuild"] | None = None
    rest_days: int | None = None
    not_before_day: int | None = None
    """Day of the story on which the next session may be at the earliest."""
    because: list[Word] = []
    """Rules that decide: each must stand among the reasons with its own kind as outcome."""
    silent: list[Word] = []
    """Rules that must not stand among the reasons."""
    unmet: list[Word] = []
    """Rules that stand among the reasons as not met or unknown."""
    missing: list[Prose] = []
    """Words that the list of what is missing must contain."""


class StoryText(Strict):
    """An athlete's course told day by day, and how it must end."""

    story: Prose
    cite: list[Word] = []
    not_under: list[Word] = []
    """Of a story of the floor: the packs that it is not told under."""
    course: dict[str, Any] = {}
    """Data of `course.started` on day 0, over what `usual` says. `start_step` may be the number of the step on the ladder, from 1."""
    events: list[dict[str, Any]]
    """In order: `day`, `at` (local time), `event` (type without `milepost.`) and its data; or `day` (or `days`) and `often`, with what
    differs under the name of its part, and `without`; or `expect`."""
    expect: ExpectText


class StoriesText(Strict):
    """`usual` holds data that every event of a type has in these stories unless it says otherwise, `course` for the start."""

    usual: dict[str, dict[str, Any]] = {}
    often: dict[Word, dict[Word, dict[str, Any]]] = {}
    """Several events that are told in one line: name of the line to its parts, each an event with `at` and, where it is another day,
    `on` (days after). `session: own` in a part is the id that the line gives it.
    """
    told: list[StoryText]


class FloorText(Strict):
    """Rules that every pack includes."""

    format: Literal[1]
    pack: Word
    version: str
    title: Prose
    sources: dict[Word, SourceText]
    rules: list[RuleText]
    told: list[StoryText] = []
    """Stories that are told under every pack that says what a `run` is in its own `often`: its run, its ladder."""


class PackText(Strict):
    """A whole rule pack."""

    format: Literal[1]
    """Version of this language."""
    pack: Word
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    title: Prose
    first_line: Prose
    """What the reader must know before anything else, as where no ladder was published."""
    for_whom: list[Prose]
    not_for: list[Prose]
    red_flags: Annotated[list[Prose], Field(min_length=1)]
    """What sends the athlete to a clinician at once, in words; the floor's rules act on them."""
    checked_by: Prose
    """Who answers for the numbers: a role, never a person's name."""
    review_by: date
    """When the sources are to be read again at the latest."""
    effective_from: date | None = None
    expires: date | None = None
    """The last date on which the pack advances anybody; afterwards it holds."""
    includes: list[Word]
    sources: dict[Word, SourceText]
    population: PopulationText
    ladder: Annotated[list[StepText], Field(min_length=1, max_length=60)]
    ladder_cite: Annotated[list[Word], Field(min_length=1)]
    rest_days: RestText
    progress: ProgressText
    rates: list[RateText] = []
    deload: DeloadText | None = None
    second_setback: SecondSetbackText | None = None
    clean: Annotated[list[ConditionText | AnyText], Field(min_length=1)]
    stop_if: Annotated[list[Prose], Field(min_length=1)]
    disagreement: list[Prose] = []
    rules: list[RuleText]
    stories: StoriesText
    waivers: list[WaiverText] = []
    survivors: list[SurvivorText] = []

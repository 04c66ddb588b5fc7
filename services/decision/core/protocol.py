"""A protocol as the core sees it: a ladder of steps, rules over facts, rates and recovery.

Built by `services.decision.rules` from a YAML pack; immutable; known by the SHA-256 of its canonical form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Kind = Literal["refer", "regress", "hold", "advance"]
Running = Literal["as_dosed", "repeat", "walk_only", "withheld"]
Urgency = Literal["routine", "review", "stop_and_refer"]
Operator = Literal["at_most", "at_least", "below", "above", "is", "one_of", "not_one_of"]
OPPOSITE: dict[Operator, Operator] = {
    "at_most": "above",
    "at_least": "below",
    "below": "at_least",
    "above": "at_most",
    "one_of": "not_one_of",
    "not_one_of": "one_of",
}
"""What holds where the other is known not to; `is` is turned by its value."""
Axis = Literal["duration", "intensity", "frequency"]

ENTRY = "entry"
COMPLETE = "complete"

RUNNING_ORDER: tuple[Running, ...] = ("as_dosed", "repeat", "walk_only", "withheld")
URGENCY_ORDER: tuple[Urgency, ...] = ("routine", "review", "stop_and_refer")
TERRAIN_ORDER = ("flat", "rolling", "hills")


@dataclass(frozen=True, slots=True)
class Dose:
    """What one session of a step asks for. Times in seconds, distances in metres; `None` where the source gives no figure."""

    run_s: int | None = None
    walk_s: int | None = None
    reps: int | None = None
    bout_s: int | None = None
    distance_m: int | None = None
    run_m: int | None = None
    sessions_per_week_max: int | None = None
    rpe_max: int | None = None
    terrain: str = "flat"
    speed_pct_max: int | None = None
    easy_run_s: int | None = None
    """Run time of the step's easy sessions, where it has two kinds."""
    quality: bool = False
    """The step holds faster running; a deload leaves it out."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    dose: Dose
    raises: tuple[Axis, ...]
    """What this step raises over the one before it: one axis, or more only where a cited table does so."""
    cite: tuple[str, ...] = ()
    """Where the dose is from."""


@dataclass(frozen=True, slots=True)
class FactType:
    """What a fact means, in which unit, and which direction is worse."""

    name: str
    kind: Literal["number", "boolean", "choice"]
    unit: str
    worse: Literal["higher", "lower", "true", "false", "none"]
    family: str
    meaning: str
    ask: str
    """What somebody has to report for this fact to be known; completes the sentence "Needed: …"."""
    scale: int = 1
    """A number times this is an integer, as the second engine wants it."""
    choices: tuple[str, ...] = ()
    instrument: str = ""
    lacking: str = ""
    """How to say in words that the fact stands in the way, with `{value}` for what it is."""
    low: float = 0
    high: float = 1
    """The bounds of a number, inclusive, in its unit."""

    @property
    def top(self) -> int:
        """The greatest value as the engines compare it."""
        return len(self.choices) - 1 if self.choices else round(self.high * self.scale)

    @property
    def bottom(self) -> int:
        """The least value as the engines compare it."""
        return 0 if self.choices else round(self.low * self.scale)


@dataclass(frozen=True, slots=True)
class Slot:
    """A fact as one condition wants to read it: not older than `max_age_days`, from an assessor of at least this standing."""

    fact: str
    max_age_days: int | None = None
    assessor: Literal["clinician", "coach"] | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    slot: int
    """Index into `Protocol.slots`."""
    op: Operator
    value: int | float | bool | str | tuple[str, ...]
    encoded: int | tuple[int, ...]
    """`value` as scaled integer, 0/1, or choice index(es): what both engines compare with."""
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Met when one of its conditions is met."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Then:
    """What a rule does when it decides. `steps_back` counts rungs; `to_entry` goes back to the entry gates."""

    steps_back: int = 0
    to_entry: bool = False
    rest_days: int | None = None
    running: Running | None = None
    urgency: Urgency = "routine"
    resume_when: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    kind: Kind
    text: str
    when: tuple[Condition | AnyOf, ...]
    then: Then
    cite: tuple[str, ...]
    grade: Literal["primary", "secondary", "expert_default"]
    steps: tuple[str, ...] | None = None
    """Step ids (or `entry`) at which the rule applies; `None` is every step of the ladder but not `entry` for advance rules, and
    everywhere for the others."""
    tissues: tuple[str, ...] | None = None
    unknown: Literal["hold", "pass"] = "hold"
    """What an unknown condition of a protective rule does: vote hold, or be shown without blocking (optional monitoring)."""
    disagreement: str = ""
    excepted_by: tuple[str, ...] = ()
    """Rules that set this one aside where they are met; compiled into `when`, named for the reader."""


@dataclass(frozen=True, slots=True)
class RateCap:
    """At most `max_steps` steps gained in any `in_days` consecutive local dates, while advancing to one of `steps`."""

    max_steps: int
    in_days: int
    steps: tuple[str, ...]
    axis: Axis | None = None
    cite: tuple[str, ...] = ()
    counts: Literal["gained", "trained"] = "gained"
    """Steps gained; or different steps trained at, the one advanced to among them."""


@dataclass(frozen=True, slots=True)
class Deload:
    """After `after_days` of loading, `days` with the run time times `share`, no quality, `fewer_sessions` fewer."""

    after_days: int
    days: int
    share_pct: int
    fewer_sessions: int
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How many clean sessions a step takes, and what restarts the count."""

    clean_sessions: int
    after_failure: int
    on_rebuild: int
    unclean_restarts: bool
    non_consecutive: bool
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecondSetback:
    """A second regress within so many days goes further back and asks for review."""

    within_days: int
    steps_back: int
    cite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Population:
    """Whom the pack is for. An injury outside it is accepted, held and sent to review."""

    tissues: tuple[str, ...]
    sites: tuple[str, ...] = ()
    """Empty: any site."""


@dataclass(frozen=True, slots=True)
class Protocol:
    id: str
    version: str
    hash: str
    title: str
    ladder: tuple[Step, ...]
    slots: tuple[Slot, ...]
    rules: tuple[Rule, ...]
    clean: tuple[Condition | AnyOf, ...]
    """Every one met over a session's own facts makes the session clean; read from `session.*` slots only."""
    population: Population
    progress: Progress
    rates: tuple[RateCap, ...]
    rest_days: Mapping[str, int]
    """Whole dates without running after a session at the step."""
    deload: Deload | None
    stop_if: tuple[str, ...]
    sources: Mapping[str, str]
    """Citation id to what it is."""
    grades: Mapping[str, str]
    """Citation id to its evidence: primary, secondary or expert_default."""
    facts: Mapping[str, FactType]
    disagreement: tuple[str, ...] = ()
    second_setback: SecondSetback | None = None
    expires: date | None = None
    """The last local date on which it advances anybody; afterwards it holds."""
    opening: tuple[str, ...] = ()
    """What the reader must know first: how far the ladder is published, whom it is for and whom not."""
    place: Mapping[str, int] = field(default_factory=dict)
    """Step id to rung, in their order: `entry` is -1, `complete` is the length of the ladder; filled by the loader."""

    steps: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """`entry`, the ladder in order, `complete`."""
    above: Mapping[str, str] = field(init=False, compare=False, repr=False)
    """Step id to the step above it; `complete` to itself."""

    def __post_init__(self) -> None:
        steps = tuple(self.place)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "above", dict(zip(steps, (*steps[1:], *steps[-1:]), strict=True)))

    def step(self, step: str) -> Step | None:
        """The rung, or None for `entry` and `complete`."""
        rung = self.place[step]
        return self.ladder[rung] if 0 <= rung < len(self.ladder) else None


TISSUES = ("bone", "tendon", "muscle", "ligament", "joint", "postpartum", "other")

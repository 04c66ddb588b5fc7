"""Shapes of the answers, for the OpenAPI document. The bytes come from history as they are."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Action = Literal["advance", "hold", "regress"]
Running = Literal["as_dosed", "repeat", "walk_only", "withheld"]
Urgency = Literal["routine", "review", "stop_and_refer"]


class Shape(BaseModel):
    """Fields may be added in later versions."""

    model_config = ConfigDict(extra="allow")


class ProtocolName(Shape):
    id: str
    version: str
    hash: str


class DecisionForm(Shape):
    """A decision with its explanation, as it stands in history."""

    id: str
    course: str
    subject: str
    seq: int
    action: Action
    from_step: str
    to_step: str
    dose: dict[str, Any] | None
    running: Running
    not_before: str | None
    eligible_from: str | None
    valid_until: str | None
    urgency: Urgency
    summary: str
    reasons: list[dict[str, Any]]
    blocking: list[Any]
    missing: list[Any]
    protocol: ProtocolName
    engine: str
    as_of: str
    as_at: str
    supersedes: str | None
    hash: str


class ConditionTrace(Shape):
    """One condition: what was found, against what, by how much, and the verdict."""

    fact: str
    value: Any
    unit: str
    op: str
    threshold: Any
    margin: float | None
    verdict: Literal["met", "not_met", "unknown"]
    any_of: int | None
    events: list[str]
    why: str | None = None


class RuleTrace(Shape):
    """One rule with every condition; out of scope it takes no part in the decision."""

    rule: str
    kind: Literal["refer", "regress", "hold", "advance"]
    outcome: str
    in_scope: bool
    text: str
    citation: list[str]
    evidence: list[ConditionTrace]


class SectionForm(Shape):
    heading: str
    lines: list[str]


class SmallestChange(Shape):
    """The fewest facts that would have to be otherwise for the pack to advance, and of as many the nearest."""

    possible: bool
    exact: bool
    text: str
    changes: list[dict[str, Any]]


class MeasureNext(Shape):
    """A missing report: by how much it shortens the change if good, how many rules it settles, what it would mean at worst."""

    report: str
    text: str
    by: str
    facts: list[str]
    saves: int
    settles: int
    enough: bool
    at_worst: str


class EmergencyForm(Shape):
    call_now: bool
    within_h: int
    text: str


class RenderingForm(Shape):
    """A decision in words, made when asked for. `emergency` for an athlete; what would advance and what to measure for a clinician."""

    audience: Literal["clinician", "coach", "athlete"]
    summary: str
    sections: list[SectionForm]
    text: str
    emergency: EmergencyForm | None = None
    recomputed: bool | None = None
    would_advance_if: SmallestChange | None = None
    measure_next: list[MeasureNext] | None = None


class ExplainedDecision(DecisionForm):
    """A decision, with what was asked for beside it."""

    trace: list[RuleTrace] | None = None
    explanation: RenderingForm | None = None


class ComputedDecision(Shape):
    """What would have been decided, had all been known: computed when asked for, so without number, id and hash."""

    computed: Literal[True]
    course: str
    subject: str
    action: Action
    from_step: str
    to_step: str
    dose: dict[str, Any] | None
    running: Running
    not_before: str | None
    urgency: Urgency
    summary: str
    reasons: list[dict[str, Any]]
    blocking: list[Any]
    missing: list[Any]
    protocol: ProtocolName
    engine: str
    as_of: str
    as_at: str | None


class ReleasedForm(Shape):
    """What a coach's key reads: what to do next, without reasons, flags, symptoms or evidence."""

    course: str
    subject: str
    seq: int
    status: Literal["released", "awaiting_clinician"]
    step: str | None
    dose: dict[str, Any] | None
    running: Running
    not_before: str | None
    stop_if: list[Any]
    report_due: list[Any]
    summary: str
    as_of: str
    as_at: str
    explanation: RenderingForm | None = None


class CourseForm(Shape):
    """A course as it stands: its status, and in `state` the step in force, the injury and the open flags."""

    course: str
    subject: str
    protocol: str
    status: str
    seq: int
    as_of: str
    as_at: str
    state: dict[str, Any]


class CourseWithFacts(CourseForm):
    facts: list[dict[str, Any]]


class CoursesForm(Shape):
    items: list[CourseForm]


class DecisionsPage(Shape):
    items: list[DecisionForm]
    next: str | None


class TimelineItem(Shape):
    """`item` says which: an event (`event`, `status`), an answer (the same), or a decision (`decision`)."""

    item: Literal["event", "answer", "decision"]


class TimelinePage(Shape):
    items: list[TimelineItem]
    next: str | None


class WorklistItem(Shape):
    course: str
    subject: str
    protocol: str
    status: str
    answered: bool
    recommendation: DecisionForm


class WorklistPage(Shape):
    items: list[WorklistItem]
    next: str | None


class AthleteAdvice(Shape):
    """The most conservative advice over all open courses; `courses` holds the decision of each."""

    subject: str
    course: str
    running: Running
    not_before: str | None
    summary: str
    as_of: str
    as_at: str


class EventForm(Shape):
    """What became of an event."""

    source: str
    id: str
    type: str
    subject: str
    status: Literal["accepted", "refused", "parked"]
    path: str | None
    reason: str | None
    time: str
    recordedtime: str
    seq: int
    decisions: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    event: dict[str, Any] | None


class ProtocolForm(Shape):
    id: str
    version: str
    hash: str
    title: str


class ProtocolsForm(Shape):
    items: list[ProtocolForm]


class AnswerCounts(Shape):
    """How recommendations were answered; `override_share` is the share declined or modified, null where there are none."""

    answers: int
    accepted: int
    declined: int
    modified: int
    override_share: float | None


class RuleOverrides(AnswerCounts):
    rule: str
    outcome: str


class ReasonOverrides(Shape):
    """`reason` is null for answers without one."""

    reason: str | None
    declined: int
    modified: int


class OverridesForm(AnswerCounts):
    by_rule: list[RuleOverrides]
    by_reason: list[ReasonOverrides]


class AnswerReceipt(Shape):
    """Where the answer can be followed: `GET /v1/events/{source}/{id}`."""

    source: str
    id: str
    course: str
    of: dict[str, Any]


class MigrationReceipt(Shape):
    """Where the migration can be followed: `GET /v1/events/{source}/{id}`."""

    source: str
    id: str
    course: str
    protocol: str
    hash: str

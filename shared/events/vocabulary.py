"""The event types and the `data` of each, as strict typed dictionaries that Pydantic checks.

A typed dictionary, not a model: what leaves the check is exactly what was sent, and absent stays absent. `NotRequired` is the
contract's `?`; null is refused, for absent is how a sender says unknown. `courses` and `reports` hold most of them; here are those about
other events and those that only decision appends.
"""

from types import MappingProxyType
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from shared.events.courses import By, ClearanceRecorded, CourseAdjusted, CourseMarked, CourseMigrated, CourseStarted, RecommendationAnswered
from shared.events.forms import STRICT, Id, Instant, Prose, Word
from shared.events.reports import (
    MilestoneAssessed,
    SensorSummarised,
    SessionCompleted,
    SessionSkipped,
    SymptomReported,
    WellnessReported,
)


@with_config(STRICT)
class EventCorrected(TypedDict):
    """Whole new data for an event; checked against the original's type where the original is known."""

    corrects: Id
    corrects_source: NotRequired[Id]
    time: NotRequired[Instant]
    data: dict[str, Any]


@with_config(STRICT)
class EventRetracted(TypedDict):
    """An event is taken back; over HTTP `by` comes from the credential, for a clinician's word is only a clinician's to take back."""

    retracts: Id
    retracts_source: NotRequired[Id]
    reason: Prose
    by: NotRequired[By]


@with_config(STRICT)
class TimeReached(TypedDict):
    """Appended by decision alone: a date that matters to a course has come; the event's `time` says which."""

    course: Id
    kind: Literal["valid_until", "eligible_from", "report_due", "nothing_heard", "same_step"]


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
        "milepost.course.migrated": CourseMigrated,
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
        "milepost.course.migrated",
    }
)

# Types that only a person may cause: `by` is filled from the credential.
NEEDS_PERSON = frozenset({"milepost.clearance.recorded", "milepost.recommendation.answered", "milepost.course.adjusted"})

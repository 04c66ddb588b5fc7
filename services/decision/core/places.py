"""What becomes of an event: accepted, parked or refused, and on which courses it takes effect."""

from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol as Port

from services.decision.core.protocol import Protocol
from shared.events import Event
from shared.events.frozen import frozen

Name = tuple[str, str]
"""An event's identity within its tenant: (source, id)."""
META = ("milepost.event.corrected", "milepost.event.retracted")
PERSONAL = ("milepost.clearance.recorded", "milepost.recommendation.answered", "milepost.course.adjusted", "milepost.course.migrated")
NAMING = (
    "milepost.course.paused",
    "milepost.course.resumed",
    "milepost.course.ended",
    "milepost.time.reached",
    "milepost.engine.faulted",
    "milepost.course.migrated",
)
OF_SESSION = ("milepost.sensor.summarised", "milepost.symptom.reported")
SHARED = ("milepost.session.completed", "milepost.session.skipped", "milepost.wellness.reported")
MIGRATED = "milepost.course.migrated"
FAR = datetime(9999, 1, 1, tzinfo=UTC)


class Packs(Port):
    """The protocols there are."""

    def resolve(self, reference: str) -> Protocol | None:
        """By `id` (the live version), `id@version`, or content hash (which may have been retired since); None when there is none."""
        ...

    def names(self) -> list[str]: ...


@frozen
class Place:
    """What becomes of an event. `courses` pairs each course it takes effect on with the facet that counts there."""

    status: Literal["accepted", "refused", "parked"]
    path: str | None = None
    reason: str | None = None
    courses: tuple[tuple[str, str], ...] = ()
    event: Event | None = None
    """With the correction in force worked in."""

    @property
    def waits(self) -> bool:
        """For its session, its course, or what it corrects; an accepted report that waits counts with its red flags."""
        return self.status == "parked" or (self.status == "accepted" and self.path is not None)


class Span(NamedTuple):
    """A course and the time it is open."""

    start: Event
    protocol: Protocol
    since: datetime
    until: datetime
    withdrawn: bool = False
    """Its start was retracted: it stands ended, and its id may be started anew."""


def refused(path: str, reason: str) -> Place:
    return Place("refused", path, reason)


def parked(path: str, reason: str) -> Place:
    return Place("parked", path, reason)

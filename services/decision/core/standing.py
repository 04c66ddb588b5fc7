"""What stands as recommended at a moment: the part of a verdict that later events are measured against."""

from datetime import date
from typing import Literal

from services.decision.core.protocol import Dose, Running, Urgency
from shared.events.frozen import frozen

Modifier = Literal["none", "deload", "rebuild"]


@frozen
class Standing:
    action: Literal["advance", "hold", "regress"]
    from_step: str
    to_step: str
    running: Running
    urgency: Urgency
    rest_days: int
    not_before: date | None
    """The first local date on which the next run may take place; None before any run."""
    dose: Dose | None
    """Of `to_step`, with a deload or a clinician's limits worked in; None at entry and at complete."""
    modifier: Modifier
    by_break: bool
    """The regress comes from days without running alone, not from symptoms."""

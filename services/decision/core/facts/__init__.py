"""Named facts: what rules may read, each with its meaning, unit and direction of worse.

`session`, `soreness` and `running` read one session, `progress` and `volume` the steps and weeks, `symptoms` and `effusion` how the athlete
is now, `trends` and `healing` how that goes on, `evidence` tests, clearances and wellness, `functional` failed tests, `surgery` and
`postpartum` what healing needs, `marks` what stands on the course. Touches the state only; decides nothing.
"""

from services.decision.core.facts import (
    effusion,
    evidence,
    functional,
    healing,
    marks,
    postpartum,
    progress,
    running,
    session,
    soreness,
    surgery,
    symptoms,
    trends,
    volume,
)
from services.decision.core.facts.registry import CATALOGUE, View, find, of_session

__all__ = [
    "CATALOGUE",
    "View",
    "effusion",
    "evidence",
    "find",
    "functional",
    "healing",
    "marks",
    "of_session",
    "postpartum",
    "progress",
    "running",
    "session",
    "soreness",
    "surgery",
    "symptoms",
    "trends",
    "volume",
]

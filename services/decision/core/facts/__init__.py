"""Named facts: what rules may read, each with its meaning, unit and direction of worse.

`session` and `soreness` read one session, `progress` and `volume` the steps and weeks, `symptoms` and `effusion` how the athlete is now,
`evidence` tests, clearances and wellness, `surgery` and `postpartum` what healing needs, `marks` what stands on the course. Touches the
state only; decides nothing.
"""

from services.decision.core.facts import effusion, evidence, marks, postpartum, progress, session, soreness, surgery, symptoms, volume
from services.decision.core.facts.registry import CATALOGUE, View, find, of_session

__all__ = [
    "CATALOGUE",
    "View",
    "effusion",
    "evidence",
    "find",
    "marks",
    "of_session",
    "postpartum",
    "progress",
    "session",
    "soreness",
    "surgery",
    "symptoms",
    "volume",
]

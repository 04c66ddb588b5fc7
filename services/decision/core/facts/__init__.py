"""Named facts: what rules may read, each with its meaning, unit and direction of worse.

`session` reads one session, `progress` the steps, `symptoms` how the athlete is now, `evidence` tests, clearances and wellness, `marks`
what stands on the course. Touches the state only; decides nothing.
"""

from services.decision.core.facts import evidence, marks, progress, session, symptoms
from services.decision.core.facts.registry import CATALOGUE, View, find, of_session

__all__ = ["CATALOGUE", "View", "evidence", "find", "marks", "of_session", "progress", "session", "symptoms"]

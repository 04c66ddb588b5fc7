"""Named facts: what rules may read, each with its meaning, unit and direction of worse.

`session` reads one session, `progress` the course, `evidence` tests, clearances and wellness. Touches the state only; decides nothing.
"""

from services.decision.core.facts import evidence, progress, session
from services.decision.core.facts.registry import CATALOGUE, View, find, of_session

__all__ = ["CATALOGUE", "View", "evidence", "find", "of_session", "progress", "session"]

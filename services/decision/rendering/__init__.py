"""One decision record told to a clinician, a coach or an athlete: texts made when asked for, never stored as truth.

Reads a record, the pack it names and, for a clinician, what was recomputed; touches the core's words and `advice`, no store and no route.
"""

from services.decision.rendering.render import AUDIENCES, Audience, render

__all__ = ["AUDIENCES", "Audience", "render"]

"""A course goes on under another protocol: what it knows stays, and the step is found again by its id.

Where the step in force, or the one that a regress in force led to, has no rung of that id, the course stands at `entry` until its gates are
met or a clinician sets a step. Sessions until then are loading as before, and speak for no step: their dose was another's.
"""

from services.decision.core.course import Course
from services.decision.core.judging import Judging
from services.decision.core.protocol import ENTRY, Protocol
from services.decision.core.standing import Standing
from services.decision.core.stepping import set_step
from shared.events import Event


def migrate(course: Course, event: Event, standing: Standing, protocol: Protocol, judging: Judging) -> None:
    """`standing` is what stood before, `judging` judges by the protocol that is followed from here on."""
    before, course.protocol = course.protocol, protocol
    in_force = standing.to_step if standing.action == "regress" else course.step
    wanted = event.data.get("step", in_force)
    rebuilt = before.steps[course.rebuild_to + 1]
    course.rebuild_to = protocol.place.get(rebuilt, -1)
    # Judged anew: which facts make a session clean, and where their values stand, is the protocol's.
    course.sessions = course.judged = tuple(judging.cleaned(session.but()) for session in course.sessions)
    course.others = tuple(judging.cleaned(session.but()) for session in course.others)
    course.tested = {}
    course.answered = None
    set_step(course, event, wanted if wanted in protocol.place else ENTRY)

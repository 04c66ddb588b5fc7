"""Whose an event is: the courses it belongs to, by its name, its session, or the time, site and side of what it tells."""

from collections.abc import Mapping
from typing import Protocol as Port

from services.decision.core.places import NAMING, OF_SESSION, SHARED, Name, Place, Span, parked, refused
from shared.events import Event


class Courses(Port):
    """What is known of the athlete's courses and sessions."""

    @property
    def spans(self) -> Mapping[str, Span]: ...

    @property
    def sessions(self) -> Mapping[str, tuple[Name, tuple[str, ...]]]:
        """Session id to the event that completed it and its courses."""
        ...

    @property
    def once(self) -> Mapping[str, None]:
        """Ids of all sessions ever sent."""
        ...


def belongs(known: Courses, event: Event) -> Place:
    """The courses it belongs to; parked while what it names has not come, refused where it names what is over or nothing of several."""
    named = event.data["course"] if event.type in NAMING else event.course
    if named is not None:
        span = known.spans.get(named)
        if span is None or span.withdrawn:
            return parked("course", f"course {named} has not started")
        if event.type == "milepost.course.ended" and event.time < span.since:
            return refused("time", "the course had not started by then; a course ends after it starts")
        if event.time > span.until and event.type not in NAMING[3:5]:
            return refused("course", "the course had ended by then; start a new course")
        return Place("accepted", courses=((named, "whole"),), event=event)
    session = event.data.get("session") if event.type in OF_SESSION else None
    of_session = None if session is None else known.sessions.get(session)
    if session is not None and of_session is None and session not in known.once:
        # Whose it is its session will say: to judge it ambiguous now would make arrival order matter.
        return parked("data.session", f"session {session} has not arrived")
    if of_session is not None and (event.type == OF_SESSION[0] or len(of_session[1]) == 1):
        courses = of_session[1]
        flagged = [course for course in open_at(known, event) if course not in courses] if event.data.get("flags") else []
        return Place("accepted", courses=tuple([(c, "whole") for c in courses] + [(c, "flags") for c in flagged]), event=event)
    running = open_at(known, event)
    if not running:
        # Before any start it belongs to the course that starts first: a later course takes nothing away from it.
        spans = {course: span for course, span in known.spans.items() if not span.withdrawn}
        first = min((span.since for span in spans.values() if event.time < span.since), default=None)
        running = sorted(course for course, span in spans.items() if span.since == first)
        if not running:
            return (
                parked("course", "no course had started by then")
                if not spans
                else refused("course", "no course of the athlete was open then; name the course")
            )
    if len(running) == 1 or event.type in SHARED or event.type == "milepost.sensor.summarised":
        return Place("accepted", courses=tuple([(course, "whole") for course in running]), event=event)
    return _one_of(known, event, running)


def open_at(known: Courses, event: Event) -> list[str]:
    """The courses that are open when the event happens."""
    at = event.key[0]
    return sorted([c for c, span in known.spans.items() if not span.withdrawn and span.since <= at <= span.until])


def _one_of(known: Courses, event: Event, running: list[str]) -> Place:
    """Of several open courses, the one whose injury the report's site and side match; its red flags go to all."""
    site, side = event.data.get("site"), event.data.get("side")
    matched: list[str] = []
    if event.type in ("milepost.symptom.reported", "milepost.milestone.assessed") and (site or side):
        for course in running:
            injury = known.spans[course].start.data["injury"]
            if site in (None, injury["site"]) and (side in (None, injury["side"]) or injury["side"] == "bilateral"):
                matched.append(course)
    flagged = bool(event.data.get("flags"))
    if len(matched) == 1:
        rest = tuple((course, "flags") for course in running if course not in matched) if flagged else ()
        return Place("accepted", courses=((matched[0], "whole"), *rest), event=event)
    if flagged:
        return Place("accepted", courses=tuple((course, "flags") for course in running), event=event)
    return refused("course", f"several courses are open ({', '.join(running)}): name the course, or a site and side that match one")

"""Red flags stop at once: which courses a report's flags reach besides the one it is about, and which later ones they follow into."""

from dataclasses import replace

from services.decision.core.belonging import Courses, open_at
from services.decision.core.flags import MOMENT_FLAGS, NEW_OR_RISING_ONLY, elsewhere, red_flags
from services.decision.core.places import Place
from shared.events import Event


def following(known: Courses, event: Event, place: Place) -> Place:
    """The place of the event with what it means for other courses: of a report its red flags, of a clearance that it reviews such."""
    if event.type == "milepost.symptom.reported":
        place = place if place.status == "accepted" else _stopping(known, event, place)
        return _into_later(known, event, place)
    reviews = event.type == "milepost.clearance.recorded" and event.data["gate"] == "red_flag_review" and event.data["granted"]
    return _into_later(known, event, place, "review") if reviews and place.status == "accepted" else place


def _stopping(known: Courses, event: Event, place: Place) -> Place:
    """A report that waits for its session or course, or names a course that had ended, counts with its red flags: on the course that it
    names if that was open, else on all that were.
    """
    if place.status == "refused" and event.course is None:
        return place
    there = open_at(known, event)
    there = [event.course] if event.course in there else there
    reached = [course for course in there if red_flags(event.data, *_injury(known, course))]
    if not reached:
        return place
    courses = tuple((course, "flags") for course in reached)
    if place.status == "refused":
        return Place("accepted", courses=courses, event=event)
    return Place("accepted", place.path, f"{place.reason}; its red flags count already", courses, event)


def _as_carried(known: Courses, event: Event, place: Place) -> str | None:
    """As what a report counts on courses that start later, line by line: `carried`, the flags that follow for certain, and, of tendon and
    muscle, the course whose rest and night pain is to be judged new or rising, with its pain before.
    """
    data = event.data
    ticked = dict.fromkeys(data.get("flags", ()))
    flags: dict[str, None] = {}
    of, baseline = "", ""
    for course, facet in place.courses:
        tissue, side = _injury(known, course)
        if facet != "whole" or tissue not in NEW_OR_RISING_ONLY or elsewhere(data, side):
            flags.update(dict.fromkeys(red_flags(data, tissue, side)))
            continue
        flags.update(dict.fromkeys(flag for flag in ticked if flag not in MOMENT_FLAGS.values()))
        if data["when"] in MOMENT_FLAGS or any(flag in ticked for flag in MOMENT_FLAGS.values()):
            of, baseline = course, str(known.spans[course].start.data.get("baseline", {}).get("pain_nrs", ""))
    if not place.courses:
        named = known.spans.get(event.course or "")
        flags.update(dict.fromkeys(red_flags(data, *_injury(known, event.course or "")) if named is not None else ticked))
    return "\n".join(("carried", ",".join(sorted(flags)), of, baseline)) if flags or of else None


def _into_later(known: Courses, event: Event, place: Place, facet: str | None = None) -> Place:
    """Behind the facet stand, line by line, the courses that the flag stood on or that the review was of."""
    if not any(span.since > event.time for span in known.spans.values()):
        return place
    held = dict(place.courses)
    later = sorted(course for course, span in known.spans.items() if span.since > event.time and course not in held)
    facet = (facet or _as_carried(known, event, place)) if later else None
    if facet is None:
        return place
    facet = "\n".join((facet, *sorted(held if facet == "review" else [*held, *later])))
    courses = (*place.courses, *((course, facet) for course in later))
    if place.status == "refused":
        return Place("accepted", courses=courses, event=event)
    return replace(place, status="accepted", courses=courses, event=event)


def _injury(known: Courses, course: str) -> tuple[str, str]:
    """(tissue, side)"""
    injury = known.spans[course].start.data["injury"]
    return injury["tissue"], injury["side"]

"""Referrals that a pack's own rules opened follow the athlete into courses that start later."""

from collections.abc import Mapping

from services.decision.core.days import Key
from services.decision.core.line import REFERRED, Entry, Line
from services.decision.core.places import Span


def referred_before(course: str, spans: Mapping[str, Span], lines: Mapping[str, Line]) -> list[Entry]:
    """The referrals opened on earlier courses before this one started, as its fold takes them. The lines of earlier starts are up to date:
    nothing ever follows from a later course into an earlier one.
    """
    since = spans[course].since
    found: dict[tuple[Key, str], Entry] = {}
    for earlier in sorted(lines):
        if earlier not in spans or spans[earlier].since >= since:
            continue
        for rule, event in lines[earlier].course.referred:
            if event.time < since:
                stood = sorted(one for one in spans if one == earlier or spans[one].since > event.time)
                entry = Entry(event.key, event, f"{REFERRED}{rule}\n" + "\n".join(stood))
                found[entry.place] = entry
    return list(found.values())

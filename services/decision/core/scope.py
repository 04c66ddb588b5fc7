"""What of a protocol applies at one step to one tissue."""

from collections.abc import Callable, Mapping, Sequence

from services.decision.core.conditions import flat, picked
from services.decision.core.facts.registry import of_last_session, of_recent_sessions
from services.decision.core.protocol import Protocol, Rule
from services.decision.core.question import applies
from services.decision.core.trivalent import Tri
from shared.events.frozen import frozen


@frozen
class Scope:
    """What applies at one step to one tissue: the rules by their place, and the slots that any of them reads."""

    rules: tuple[tuple[int, Rule], ...]
    of_course: tuple[int, ...]
    of_session: tuple[int, ...]
    """Slots of which the fact is the last session's alone, whatever its age."""
    of_session_facts: tuple[str, ...]
    """The names of these facts."""
    of_recent: tuple[tuple[int, str], ...]
    """Slots of which the fact is that of the recent sessions, each with the fact's name."""
    readers: Mapping[int, Mapping[int, None]]
    """Slot to the places in `rules` of those that read it."""
    advancing: tuple[int, ...]
    """Places in `rules` of those that advance."""
    guarding: tuple[Rule, ...]
    """The other rules."""
    of_guarding: Callable[[Sequence[Tri]], tuple[Tri, ...]]
    """What picks their verdicts of all."""
    outspoken: tuple[tuple[int, Rule], ...]
    """Rules that tell of a disagreement between sources."""
    guards: Mapping[int, None]
    """Their places in the pack, and those of the outspoken."""
    speakers: Mapping[int, None]


def scope_of(protocol: Protocol, step: str, tissue: str) -> Scope:
    rules = tuple((place, rule) for place, rule in enumerate(protocol.rules) if applies(rule, step, tissue))
    slots_of = [dict.fromkeys(condition.slot for condition in flat(rule.when)) for _, rule in rules]
    read = sorted(dict.fromkeys(slot for slots in slots_of for slot in slots))
    # Of what may grow too old the age counts as well, and is asked of the course.
    ageless = [(slot, protocol.slots[slot].fact) for slot in read if protocol.slots[slot].max_age_days is None]
    of_session = tuple((slot, name) for slot, name in ageless if of_last_session(name))
    of_recent = tuple((slot, name) for slot, name in ageless if of_recent_sessions(name))
    guards = [place for place, rule in rules if rule.kind != "advance"]
    outspoken = tuple((place, rule) for place, rule in rules if rule.disagreement)
    return Scope(
        rules=rules,
        of_course=tuple(slot for slot in read if (slot, protocol.slots[slot].fact) not in (*of_session, *of_recent)),
        of_session=tuple(slot for slot, _ in of_session),
        of_session_facts=tuple(name for _, name in of_session),
        of_recent=of_recent,
        readers={slot: dict.fromkeys(n for n, slots in enumerate(slots_of) if slot in slots) for slot in read},
        advancing=tuple(n for n, (_, rule) in enumerate(rules) if rule.kind == "advance"),
        guarding=tuple(protocol.rules[place] for place in guards),
        of_guarding=picked(guards),
        outspoken=outspoken,
        guards=dict.fromkeys(guards),
        speakers=dict.fromkeys(place for place, _ in outspoken),
    )

"""A situation is what is known of an athlete at a step: each fact with its value, how old it is and who assessed it.

Facts are named, not slots: one result of a test answers every condition that reads it, or is too old for one and young enough for another.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from services.decision.core.protocol import ENTRY, TISSUES, FactType, Protocol
from services.decision.rules.quantities import amount_of, misfit

ASSESSORS: Final = ("athlete", "coach", "clinician")
"""Rising standing; a result is a clinician's unless a situation says otherwise."""
OF_PLACE: Final = ("injury.tissue", "injury.bone_risk", "injury.suits_protocol", "course.at_entry")
"""Facts that follow from the step and the tissue unless a situation says otherwise."""

_SEEN = re.compile(r"(?P<value>.+?)(?: (?P<age>\d+) d old)?(?: by (?P<assessor>athlete|coach))?")
_PLACES = re.compile(r"(?P<steps>[^()]+) \((?P<tissues>[a-z, ]+)\)(?:, (?P<facts>.+))?")


class FaultySituation(ValueError):
    """Words that name no situation of this pack; says what was expected."""


class Seen(NamedTuple):
    """What is known of a fact. `value` is scaled as the engines compare it; None where it is unknown."""

    value: int | None
    age_days: int = 0
    assessor: str = "clinician"


UNKNOWN: Final = Seen(None)
Facts = Mapping[str, Seen]
Said = tuple[tuple[str, tuple[Seen, ...]], ...]
"""Facts with what is known of each; where there are several, the situation stands for each of them."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The same facts at some steps, with some tissues; what is not said is as usual."""

    steps: tuple[str, ...]
    tissues: tuple[str, ...]
    facts: Said
    """In the order of names."""


def of_place(protocol: Protocol, step: str, tissue: str) -> dict[str, Seen]:
    """The facts that follow from where the athlete stands."""
    found: dict[str, Seen] = {}
    for name in OF_PLACE:
        kind = protocol.facts.get(name)
        if kind is None:
            continue
        if name == "injury.tissue":
            found[name] = Seen(kind.choices.index(tissue))
        elif name == "injury.bone_risk":
            found[name] = Seen(kind.choices.index("low" if tissue == "bone" else "not_bone"))
        elif name == "injury.suits_protocol":
            found[name] = Seen(int(tissue in protocol.population.tissues))
        else:
            found[name] = Seen(int(step == ENTRY))
    return found


def values_of(protocol: Protocol, facts: Facts) -> tuple[int | None, ...]:
    """What each slot of the pack reads: nothing where the fact is older or more lowly assessed than the slot allows."""
    found: list[int | None] = []
    for slot in protocol.slots:
        seen = facts.get(slot.fact, UNKNOWN)
        too_old = slot.max_age_days is not None and seen.age_days > slot.max_age_days
        too_low = slot.assessor is not None and ASSESSORS.index(seen.assessor) < ASSESSORS.index(slot.assessor)
        found.append(None if too_old or too_low else seen.value)
    return tuple(found)


def seen_words(kind: FactType, seen: Seen) -> str:
    """`2.1 nrs`, `yes`, `trace`, `90 % lsi 15 d old by coach`, `unknown`."""
    if seen.value is None:
        return "unknown"
    if kind.kind == "boolean":
        said = "yes" if seen.value else "no"
    elif kind.choices:
        said = kind.choices[seen.value]
    else:
        said = f"{seen.value / kind.scale:.10g} {kind.unit}"
    said += f" {seen.age_days} d old" if seen.age_days else ""
    return said if seen.assessor == "clinician" else f"{said} by {seen.assessor}"


def seen_of(kind: FactType, words: str) -> Seen:
    """The reverse of `seen_words`; raises `FaultySituation`."""
    if words == "unknown":
        return UNKNOWN
    found = _SEEN.fullmatch(words)
    assert found is not None, "any words have a value"
    return Seen(_value(kind, found["value"]), int(found["age"] or 0), found["assessor"] or "clinician")


def _value(kind: FactType, said: str) -> int:
    if kind.kind == "boolean":
        if said not in ("yes", "no"):
            raise FaultySituation(f"{kind.name} is yes, no or unknown, not {said}")
        return int(said == "yes")
    if kind.choices:
        if said not in kind.choices:
            raise FaultySituation(f"{kind.name} is one of {', '.join(kind.choices)}, not {said}")
        return kind.choices.index(said)
    amount = amount_of(said)
    if isinstance(amount, str):
        raise FaultySituation(amount)
    problem = misfit(kind, amount)
    if problem is not None:
        raise FaultySituation(problem)
    return round(amount.amount * kind.scale)


def facts_words(protocol: Protocol, facts: Said) -> str:
    """`pain.now 3 nrs or 3.1 nrs, session.masked no`."""
    return ", ".join(f"{name} {' or '.join(seen_words(protocol.facts[name], one) for one in several)}" for name, several in facts)


def situation_words(protocol: Protocol, situation: Situation) -> str:
    """`W3, W20 (joint), session.pain_during 2.1 nrs`; `as usual` where nothing differs."""
    place = f"{', '.join(situation.steps)} ({', '.join(situation.tissues)})"
    return f"{place}, {facts_words(protocol, situation.facts)}" if situation.facts else f"{place}, as usual"


def each_of(facts: Said) -> Iterator[dict[str, Seen]]:
    """Every choice of one value for each fact."""
    for chosen in product(*(several for _, several in facts)):
        yield dict(zip((name for name, _ in facts), chosen, strict=True))


def facts_of(protocol: Protocol, words: str) -> Said:
    """Facts and their values, parted by commas; raises `FaultySituation`."""
    found = []
    for part in words.split(", "):
        name, _, said = part.partition(" ")
        kind = protocol.facts.get(name)
        if kind is None:
            raise FaultySituation(f"{name} is not a fact that a rule of this pack reads")
        found.append((name, tuple(seen_of(kind, one) for one in said.split(" or "))))
    return tuple(found)


def situation_of(protocol: Protocol, words: str) -> Situation:
    """The reverse of `situation_words`; raises `FaultySituation`."""
    found = _PLACES.fullmatch(words)
    if found is None:
        raise FaultySituation("a situation names steps, then tissues in brackets, then facts, as in `W3 (joint), pain.now 3 nrs`")
    steps, tissues = found["steps"].split(", "), found["tissues"].split(", ")
    for step in steps:
        if step not in protocol.place:
            raise FaultySituation(f"{step} is not a step of this pack")
    for tissue in tissues:
        if tissue not in TISSUES:
            raise FaultySituation(f"{tissue} is not a tissue; there are {', '.join(TISSUES)}")
    said = found["facts"]
    return Situation(tuple(steps), tuple(tissues), () if said in (None, "as usual") else facts_of(protocol, said))

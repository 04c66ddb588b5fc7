"""A concrete athlete: where they stand and what is known of them, as values an engine can judge and as words a person can read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from services.decision.core.protocol import ENTRY, TISSUES, FactType, Protocol, Slot
from services.decision.core.question import Action
from services.decision.core.units import NO_UNIT, UNITS
from services.decision.rules.prove.solver import Model
from services.decision.rules.prove.space import ASSESSORS, Domain, State

OLDER = 1
"""Days beyond a limit of age at which a value is shown as too old."""


@dataclass(frozen=True, slots=True)
class Known:
    """One fact of an athlete. `value` is scaled; None is unknown."""

    fact: FactType
    value: int | None
    age_days: int = 0
    assessor: str = "clinician"

    def seen(self, slot: Slot) -> int | None:
        """The value as the slot sees it."""
        if slot.max_age_days is not None and self.age_days > slot.max_age_days:
            return None
        if slot.assessor is not None and ASSESSORS.index(self.assessor) < ASSESSORS.index(slot.assessor):
            return None
        return self.value


@dataclass(frozen=True, slots=True)
class Athlete:
    step: str
    tissue: str
    facts: tuple[Known, ...]
    matters: tuple[str, ...] | None = None
    """The facts on which it rests; the others may be anything. None: all."""

    def values(self, protocol: Protocol) -> tuple[int | None, ...]:
        """As an engine is asked: one per slot."""
        known = {one.fact.name: one for one in self.facts}
        return tuple(known[slot.fact].seen(slot) if slot.fact in known else None for slot in protocol.slots)

    def action(self, protocol: Protocol, judge: "Judge") -> Action:
        return judge(protocol, self.values(protocol), protocol.place[self.step], TISSUES.index(self.tissue))

    def told(self) -> tuple[Known, ...]:
        return tuple(one for one in self.facts if self.matters is None or one.fact.name in self.matters)

    def words(self) -> str:
        """`An athlete at W5 with a tendon injury, with pain now 3 of 10 and pain after 24 h unknown`."""
        where = "at entry" if self.step == ENTRY else f"at {self.step}"
        injury = INJURIES.get(self.tissue, f"with a {self.tissue} injury")
        said = [words(one) for one in self.told()]
        return f"An athlete {where} {injury}" + (f", with {listed(said)}" if said else "")

    def with_fact(self, known: Known) -> "Athlete":
        return replace(self, facts=tuple(known if one.fact.name == known.fact.name else one for one in self.facts))


INJURIES = {"postpartum": "after a birth", "other": "with an injury of another tissue"}

Judge = Callable[[Protocol, Sequence[int | None], int, int], Action]


def read(model: Model, state: State, step: str, tissue: str, matters: Iterable[str] | None = None) -> Athlete:
    """The athlete of a model."""
    facts = tuple(_known(model, state, domain) for domain in state.space.values())
    return Athlete(step, tissue, facts, None if matters is None else tuple(matters))


def _known(model: Model, state: State, domain: Domain) -> Known:
    name = domain.fact.name
    if not model.holds(state.is_known[name]):
        return Known(domain.fact, None)
    age = 0
    for limit, fresh in zip(domain.ages, state.fresh[name], strict=True):
        if not model.holds(fresh):
            age = limit + OLDER
    assessor = next(
        (who for who, by in zip(reversed(domain.assessors), reversed(state.assessed[name]), strict=True) if model.holds(by)),
        "self" if domain.assessors else "clinician",
    )
    passed = sum(1 for term in state.at_most[name] if not model.holds(term))
    return Known(domain.fact, typical(domain, *list(domain.cells())[passed]), age, assessor)


def typical(domain: Domain, first: int, last: int) -> int:
    """Of the values from first to last, a whole one where there is one, next to the threshold that bounds them."""
    scale = domain.fact.scale
    up = -(-first // scale) * scale
    down = last // scale * scale
    if first == domain.low and last != domain.high:
        return down if down >= first else last
    return up if up <= last else first


FIELDS = {"lsi_pct": "limb symmetry index", "pain_nrs": "pain", "passed": "passed", "value": ""}


def label(fact: FactType) -> str:
    """The fact's name in words: `pain now`, `heel raises limb symmetry index`."""
    parts = fact.name.split(".")
    if parts[0] == "milestone" and len(parts) == 3:
        return f"{parts[1]} {FIELDS.get(parts[2], parts[2])}".replace("_", " ").strip()
    if parts[0] in ("session", "clearance", "readiness"):
        return " ".join(parts[1:]).replace("_", " ")
    return " ".join(parts).replace("_", " ").replace("elsewhere worst", "worst pain elsewhere")


def number(fact: FactType, value: int) -> str:
    """A scaled value with its unit: `3 of 10`, `85 %`, `2 sessions`."""
    if fact.kind == "boolean":
        return "yes" if value else "no"
    if fact.kind == "choice":
        return fact.choices[value].replace("_", " ")
    plain = f"{value / fact.scale:g}"
    unit = UNITS.get(fact.unit, NO_UNIT)
    if unit.dimension == "score":
        return f"{plain} of {fact.high:g}" if fact.low == 0 else f"{plain} point{'s' * (plain != '1')}"
    if unit.dimension == "ratio":
        return f"{plain} %"
    word = unit.word.removesuffix("s") if plain == "1" else unit.word
    return f"{plain} {word}".strip()


def words(known: Known) -> str:
    """One fact with its value, and its age and assessor where they say something."""
    name = label(known.fact)
    if known.value is None:
        return f"{name} unknown"
    said = f"{name} {number(known.fact, known.value)}" if known.fact.kind == "number" else f"{name}: {number(known.fact, known.value)}"
    if known.age_days:
        said += f" ({known.age_days} days old)"
    return said if known.assessor == "clinician" else f"{said} (by {'the athlete' if known.assessor == 'self' else 'a ' + known.assessor})"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

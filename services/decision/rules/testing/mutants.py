"""Small faults put into a pack, one at a time: what a slip of the pen would have made of it.

Every mutant is a whole pack again. Its id says in words where it is and what was changed, and is stable as long as that place is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final, Literal

from services.decision.core.protocol import (
    OPPOSITE,
    RUNNING_ORDER,
    URGENCY_ORDER,
    AnyOf,
    Condition,
    FactType,
    Operator,
    Protocol,
    Rule,
    Slot,
    Then,
)
from services.decision.core.question import applies

MIRRORED: Final[dict[Operator, Operator]] = {"at_most": "at_least", "at_least": "at_most", "below": "above", "above": "below"}
_WORDS: Final = {"at_most": "at most", "at_least": "at least", "one_of": "one of", "not_one_of": "none of"}
_LEAST: Final = {
    "clean_sessions": 1,
    "after_failure": 1,
    "on_rebuild": 1,
    "max_steps": 1,
    "in_days": 1,
    "days": 1,
    "within_days": 1,
    "steps_back": 1,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    id: str
    protocol: Protocol
    touches: Literal["rule", "clean", "place", "course"]
    """A rule, what makes a session clean, what holds at a step or for a tissue, or what is counted over a course."""
    rule: int = -1
    """The index of the rule in the pack as it is; -1 where none is touched."""
    dropped: bool = False
    """The rule is gone."""


def mutants(protocol: Protocol) -> Iterator[Mutant]:
    """Every mutant once, in the pack's order; none is the pack itself."""
    taken: dict[str, int] = {}
    for number, mutant in enumerate(_mutants(protocol)):
        said = taken[mutant.id] = taken.get(mutant.id, 0) + 1
        name = mutant.id if said == 1 else f"{mutant.id} ({said})"
        yield replace(mutant, id=name, protocol=replace(mutant.protocol, hash=f"{protocol.hash}#{number}"))


def _mutants(protocol: Protocol) -> Iterator[Mutant]:
    for index, rule in enumerate(protocol.rules):
        left = (*protocol.rules[:index], *protocol.rules[index + 1 :])
        yield Mutant(f"{rule.id}: the whole rule dropped", replace(protocol, rules=left), "rule", index, dropped=True)
        for told, changed, slots in (*_of_when(protocol, rule.when), *_of_rule(protocol, rule)):
            other = changed if isinstance(changed, Rule) else replace(rule, when=changed)
            rules = (*protocol.rules[:index], other, *protocol.rules[index + 1 :])
            yield Mutant(f"{rule.id}: {told}", replace(protocol, rules=rules, slots=slots), "rule", index)
    for told, when, slots in _of_when(protocol, protocol.clean):
        assert not isinstance(when, Rule)
        yield Mutant(f"clean: {told}", replace(protocol, clean=when, slots=slots), "clean")
    yield from _of_numbers(protocol)


When = tuple[Condition | AnyOf, ...]
Change = tuple[str, "When | Rule", tuple[Slot, ...]]


def _of_when(protocol: Protocol, when: When) -> Iterator[Change]:
    """One condition changed or dropped, one alternative dropped."""
    slots = protocol.slots
    for n, entry in enumerate(when):
        before, after = when[:n], when[n + 1 :]
        if isinstance(entry, Condition):
            if len(when) > 1:
                yield f"without {words(protocol, entry)}", (*before, *after), slots
            for told, one, more in _of_condition(protocol, entry):
                yield told, (*before, one, *after), more
            continue
        if len(when) > 1:
            yield f"without any of {'; '.join(words(protocol, one) for one in entry.conditions)}", (*before, *after), slots
        for m, one in enumerate(entry.conditions):
            first, last = entry.conditions[:m], entry.conditions[m + 1 :]
            yield f"without the alternative {words(protocol, one)}", (*before, AnyOf((*first, *last)), *after), slots
            for told, other, more in _of_condition(protocol, one):
                yield told, (*before, AnyOf((*first, other, *last)), *after), more


def _of_condition(protocol: Protocol, one: Condition) -> Iterator[tuple[str, Condition, tuple[Slot, ...]]]:
    """Its operator flipped, its threshold moved, its choices cut or widened, its age and assessor changed; no meaning twice."""
    slots = protocol.slots
    slot = slots[one.slot]
    kind = protocol.facts[slot.fact]
    meant = {_meaning(kind, one)}
    for op, encoded in _other_tests(kind, one):
        other = replace(one, op=op, encoded=encoded, value=_decoded(kind, encoded))
        meaning = _meaning(kind, other)
        if meaning not in meant:
            meant.add(meaning)
            yield f"{words(protocol, one)} becomes {_test_words(kind, other)}", other, slots
    for told, changed in _other_slots(slot):
        yield f"{words(protocol, one)} {told}", replace(one, slot=len(slots)), (*slots, changed)


def _other_tests(kind: FactType, one: Condition) -> Iterator[tuple[Operator, int | tuple[int, ...]]]:
    encoded = one.encoded
    if isinstance(encoded, tuple):
        assert one.op in ("one_of", "not_one_of")
        yield OPPOSITE[one.op], encoded
        for member in encoded if len(encoded) > 1 else ():
            yield one.op, tuple(each for each in encoded if each != member)
        new = next(
            (each for member in encoded for each in (member + 1, member - 1) if each not in encoded and kind.bottom <= each <= kind.top),
            None,
        )
        if new is not None:
            yield one.op, (*encoded, new)
        return
    if one.op == "is" or kind.kind == "boolean":
        yield ("is", 1 - encoded) if kind.kind == "boolean" else ("not_one_of", (encoded,))
        return
    yield one.op, encoded - 1
    yield one.op, encoded + 1
    yield OPPOSITE[one.op], encoded
    yield MIRRORED[one.op], encoded


def _meaning(kind: FactType, one: Condition) -> tuple[int, ...] | tuple[str, int]:
    """What passes: for an order one side of a border, else the passing values."""
    encoded = one.encoded
    if isinstance(encoded, tuple):
        return tuple(v for v in range(kind.bottom, kind.top + 1) if (v in encoded) == (one.op == "one_of"))
    if one.op == "is":
        return (encoded,)
    return ("up to" if one.op in ("at_most", "below") else "over", encoded - (one.op in ("below", "at_least")))


def _other_slots(slot: Slot) -> Iterator[tuple[str, Slot]]:
    if slot.max_age_days is not None:
        for days in (slot.max_age_days - 1, slot.max_age_days + 1):
            yield f"may be {days} d old instead of {slot.max_age_days} d", replace(slot, max_age_days=days)
        yield "may be of any age", replace(slot, max_age_days=None)
    if slot.assessor == "clinician":
        yield "may be a coach's", replace(slot, assessor="coach")
    if slot.assessor is not None:
        yield "may be anybody's", replace(slot, assessor=None)
    if slot.assessor == "coach":
        yield "must be a clinician's", replace(slot, assessor="clinician")


def _of_rule(protocol: Protocol, rule: Rule) -> Iterator[Change]:
    """What it does while unknown, its kind, its scope, its consequences."""
    for told, changed in (*_of_kind(rule), *_of_scope(protocol, rule), *_of_then(rule)):
        yield told, changed, protocol.slots


def _of_kind(rule: Rule) -> Iterator[tuple[str, Rule]]:
    if rule.kind == "advance":
        return
    other = "pass" if rule.unknown == "hold" else "hold"
    yield f"unknown becomes {other}", replace(rule, unknown=other)  # type: ignore[arg-type]
    if rule.kind != "hold":
        yield f"{rule.kind} becomes hold", replace(rule, kind="hold")


def _of_scope(protocol: Protocol, rule: Rule) -> Iterator[tuple[str, Rule]]:
    steps = protocol.steps
    tissue = (rule.tissues or protocol.population.tissues)[0]
    inside = [applies(rule, step, tissue) for step in steps]
    flips = [n for n in (0, len(steps) - 1) if inside[n]]
    flips += [m for n, (here, there) in enumerate(pairwise(inside)) if here != there for m in (n, n + 1)]
    for n in sorted(set(flips)):
        at = tuple(step for m, step in enumerate(steps) if inside[m] != (m == n))
        if at:
            yield f"{'not at' if inside[n] else 'also at'} {steps[n]}", replace(rule, steps=at)
    for one in rule.tissues or ():
        if len(rule.tissues or ()) > 1:
            yield f"not for {one}", replace(rule, tissues=tuple(each for each in rule.tissues or () if each != one))
    for one in protocol.population.tissues if rule.tissues is not None else ():
        if one not in (rule.tissues or ()):
            yield f"also for {one}", replace(rule, tissues=(*(rule.tissues or ()), one))


def _of_then(rule: Rule) -> Iterator[tuple[str, Rule]]:
    then = rule.then
    for told, changed in _other_thens(rule, then):
        yield told, replace(rule, then=changed)


def _other_thens(rule: Rule, then: Then) -> Iterator[tuple[str, Then]]:
    if rule.kind == "regress":
        yield f"to entry becomes {'no' if then.to_entry else 'yes'}", replace(then, to_entry=not then.to_entry)
        for steps in (then.steps_back - 1, then.steps_back + 1) if not then.to_entry else ():
            if steps >= 1:
                yield f"{then.steps_back} steps back becomes {steps}", replace(then, steps_back=steps)
    if then.rest_days is not None:
        for days in (then.rest_days - 1, then.rest_days + 1):
            if days >= 0:
                yield f"{then.rest_days} days of rest becomes {days}", replace(then, rest_days=days)
    if then.running is not None:
        for running in _beside(RUNNING_ORDER, then.running):
            yield f"{then.running} becomes {running}", replace(then, running=running)
    if then.urgency != "routine":
        for urgency in _beside(URGENCY_ORDER, then.urgency):
            yield f"{then.urgency} becomes {urgency}", replace(then, urgency=urgency)


def _beside(order: Sequence[Any], one: str) -> Sequence[Any]:
    at = order.index(one)
    return [order[n] for n in (at - 1, at + 1) if 0 <= n < len(order)]


def _of_numbers(protocol: Protocol) -> Iterator[Mutant]:
    """Progress, rate caps, rest after a step, lighter weeks, the second setback, and whom the pack is for."""
    for told, progress in _moved(protocol.progress):
        yield Mutant(f"progress: {told}", replace(protocol, progress=progress), "course")
    for n, cap in enumerate(protocol.rates):
        name, caps = f"rates[{n}]", protocol.rates
        yield Mutant(f"{name}: dropped", replace(protocol, rates=(*caps[:n], *caps[n + 1 :])), "course")
        for told, other in _moved(cap):
            yield Mutant(f"{name}: {told}", replace(protocol, rates=(*caps[:n], other, *caps[n + 1 :])), "course")
    for step, days in protocol.rest_days.items():
        for other_days in (days - 1, days + 1):
            if other_days >= 0:
                told = f"rest_days: {days} after {step} becomes {other_days}"
                yield Mutant(told, replace(protocol, rest_days={**protocol.rest_days, step: other_days}), "place")
    if protocol.deload is not None:
        yield Mutant("deload: dropped", replace(protocol, deload=None), "course")
        for told, deload in _moved(protocol.deload):
            yield Mutant(f"deload: {told}", replace(protocol, deload=deload), "course")
    if protocol.second_setback is not None:
        yield Mutant("second_setback: dropped", replace(protocol, second_setback=None), "course")
        for told, setback in _moved(protocol.second_setback):
            yield Mutant(f"second_setback: {told}", replace(protocol, second_setback=setback), "course")
    for tissue in protocol.population.tissues:
        tissues = tuple(one for one in protocol.population.tissues if one != tissue)
        yield Mutant(f"population: without {tissue}", replace(protocol, population=replace(protocol.population, tissues=tissues)), "place")


def _moved(numbers: Any) -> Iterator[tuple[str, Any]]:
    """Each whole number one up and one down, each yes or no turned."""
    for name in (field.name for field in fields(numbers)):
        found = getattr(numbers, name)
        if isinstance(found, bool):
            yield f"{name} {str(found).lower()} becomes {str(not found).lower()}", replace(numbers, **{name: not found})
        elif isinstance(found, int):
            for other in (found - 1, found + 1):
                if other >= _LEAST.get(name, 0):
                    yield f"{name} {found} becomes {other}", replace(numbers, **{name: other})


def words(protocol: Protocol, one: Condition) -> str:
    """`pain.now above 4 nrs`, `session.masked no`, `milestone.x.passed yes, not older than 14 d`."""
    slot = protocol.slots[one.slot]
    said = f"{slot.fact} {_test_words(protocol.facts[slot.fact], one)}"
    return said if slot.max_age_days is None else f"{said} within {slot.max_age_days} d"


def _test_words(kind: FactType, one: Condition) -> str:
    if kind.kind == "boolean":
        return "yes" if one.encoded else "no"
    value = _decoded(kind, one.encoded)
    said = ", ".join(value) if isinstance(value, tuple) else f"{value} {kind.unit}".strip()
    return f"{_WORDS.get(one.op, one.op)} {said}"


def _decoded(kind: FactType, encoded: int | tuple[int, ...]) -> Any:
    """As a pack writes it, without the unit; one beyond a bound of choices is shown as its number."""
    if isinstance(encoded, tuple):
        return tuple(kind.choices[one] for one in encoded)
    if kind.kind == "boolean":
        return bool(encoded)
    if kind.choices:
        return kind.choices[encoded] if 0 <= encoded < len(kind.choices) else encoded
    return float(f"{encoded / kind.scale:.10g}") if encoded % kind.scale else encoded // kind.scale

"""The difference of two packs by rule and threshold."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import AnyOf, Condition, Protocol, Rule
from services.decision.rules.prove.athlete import label, number

OPERATORS = {
    "at_most": "at most",
    "at_least": "at least",
    "below": "below",
    "above": "above",
    "is": "is",
    "one_of": "one of",
    "not_one_of": "none of",
}


def text(old: Protocol, new: Protocol) -> Iterator[str]:
    """One sentence for each rule added, taken out or changed, and for each condition of it."""
    before, after = ({rule.id: rule for rule in pack.rules} for pack in (old, new))
    for name in before:
        if name not in after:
            yield f"{name} is taken out: {before[name].text}"
    for name, rule in after.items():
        if name not in before:
            yield f"{name} is new ({rule.kind}): {rule.text}"
            continue
        yield from _changed(old, before[name], new, rule)
    gone, come = _conditions(old, old.clean), _conditions(new, new.clean)
    yield from (f"clean: no longer asks for {said}" for said in gone if said not in come)
    yield from (f"clean: now asks for {said}" for said in come if said not in gone)


def _changed(old: Protocol, one: Rule, new: Protocol, other: Rule) -> Iterator[str]:
    for name, was, now in (
        ("kind", one.kind, other.kind),
        ("steps", one.steps, other.steps),
        ("tissues", one.tissues, other.tissues),
        ("unknown", one.unknown, other.unknown),
        ("what it does", one.then, other.then),
        ("sources", one.cite, other.cite),
        ("grade", one.grade, other.grade),
        ("text", one.text, other.text),
    ):
        if was != now:
            yield f"{other.id}: {name} {_plain(was)} becomes {_plain(now)}"
    gone, come = _conditions(old, one.when), _conditions(new, other.when)
    left, added = [said for said in gone if said not in come], [said for said in come if said not in gone]
    if len(left) == len(added):
        yield from (f"{other.id}: {was} becomes {now}" for was, now in zip(left, added, strict=True))
        return
    yield from (f"{other.id}: no longer reads {said}" for said in left)
    yield from (f"{other.id}: now reads {said}" for said in added)


def _conditions(pack: Protocol, when: tuple[Condition | AnyOf, ...]) -> list[str]:
    return [" or ".join(condition_words(pack, one) for one in flat([entry])) for entry in when]


def condition_words(pack: Protocol, condition: Condition) -> str:
    """`pain during above 2 of 10, at most 7 days old`."""
    slot = pack.slots[condition.slot]
    fact = pack.facts[slot.fact]
    values = condition.encoded if isinstance(condition.encoded, tuple) else (condition.encoded,)
    said = f"{label(fact)} {OPERATORS[condition.op]} {', '.join(number(fact, value) for value in values)}"
    if slot.max_age_days is not None:
        said += f", at most {slot.max_age_days} days old"
    return said if slot.assessor is None else f"{said}, assessed by a {slot.assessor}"


def _plain(value: object) -> str:
    if value is None:
        return "all"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    slots = getattr(value, "__dataclass_fields__", None)
    if slots is None:
        return f"{value}"
    named = {name: getattr(value, name) for name in slots}
    return ", ".join(f"{name} {_plain(one)}" for name, one in named.items() if one not in (0, False, None, (), "routine")) or "nothing"

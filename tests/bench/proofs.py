"""What it costs to check and prove a pack of 200 rules: every check, every safety law, one process, nothing kept from before."""

import gc
from dataclasses import replace
from time import perf_counter

from services.decision.core.facts import CATALOGUE
from services.decision.core.protocol import Condition, FactType, Protocol, Rule, Slot, Then
from services.decision.rules.check import check_pack, check_protocol
from services.decision.rules.library import SHIPPED, load, load_pack
from tests.bench.figures import Figure, quantiles

RULES = 200
ROUNDS = 7


def large_pack(rules: int = RULES) -> Protocol:
    """The shipped progressive pack with holds added at single steps until it has so many rules.

    Every added rule reads two facts at thresholds of its own, so none repeats another; the laws still hold.
    """
    pack = load(SHIPPED / "progressive-return.yaml")
    named = [name for name in CATALOGUE if name in pack.facts or not name.startswith("milestone.")]
    facts = [CATALOGUE[name] for name in named if CATALOGUE[name].kind == "number" and CATALOGUE[name].worse in ("higher", "lower")]
    slots, added, ladder = list(pack.slots), list(pack.rules), [step.id for step in pack.ladder]
    while len(added) < rules:
        n = len(added)
        first, second = facts[n * 7 % len(facts)], facts[(n * 11 + 3) % len(facts)]
        when = tuple(_worse_than(slots, fact, n % 5) for fact in dict.fromkeys((first, second)))
        then = Then(rest_days=3 + n % 3)
        steps = tuple(ladder[n % 20 : n % 20 + 3])
        added.append(Rule(f"added-{n}", "hold", "", when, then, ("milepost-default",), "expert_default", steps))
    read = {slot.fact: CATALOGUE[slot.fact] for slot in slots}
    return replace(pack, rules=tuple(added), slots=tuple(slots), facts=read, hash=f"{pack.hash}+{rules}")


def _worse_than(slots: list[Slot], fact: FactType, level: int) -> Condition:
    """The fact beyond the last sixth of what can be told apart, at one of a few levels."""
    slot = Slot(fact.name)
    if slot not in slots:
        slots.append(slot)
    span = max((min(fact.top, 100) - fact.bottom) // 12, 1)
    if fact.worse == "higher":
        threshold = min(fact.top, 100) - 1 - level * span // 5
        return Condition(slots.index(slot), "above", threshold / fact.scale, threshold, ("milepost-default",))
    threshold = fact.bottom + 1 + level * span // 5
    return Condition(slots.index(slot), "below", threshold / fact.scale, threshold, ("milepost-default",))


def measure() -> list[Figure]:
    figures = []
    for path in sorted(SHIPPED.glob("*.yaml")):
        if path.stem != "floor":
            shipped = load_pack(path)
            figures.append(_timed(f"{path.stem}, {len(shipped.protocol.rules)} rules", lambda pack=shipped: check_pack(pack)))
    large = large_pack()
    figures.append(_timed(f"{len(large.rules)} rules, {len(large.slots)} slots", lambda: check_protocol(large)))
    return figures


def _timed(name: str, do: object) -> Figure:
    assert callable(do)
    spent = []
    for _ in range(ROUNDS):
        gc.collect()
        begin = perf_counter()
        do()
        spent.append((perf_counter() - begin) * 1000)
    return Figure(name, "packs", 1000 * len(spent) / sum(spent), quantiles(spent), note="ms for every check and proof; target < 1,000")

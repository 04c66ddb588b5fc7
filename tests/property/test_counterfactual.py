"""The smallest change that would advance: it does advance, nothing smaller does, and it is said in words."""

import hashlib
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import given, settings, strategies as st

from services.decision.core.counterfactual import MOST_NODES, Search, applied, smallest_change
from services.decision.core.explanation import explanation, fixed_facts
from services.decision.core.protocol import (
    TISSUES,
    AnyOf,
    Condition,
    Dose,
    FactType,
    Population,
    Progress,
    Protocol,
    Rule,
    Slot,
    Step,
    Then,
)
from services.decision.engines import reference
from tests.property.histories import PACKS, histories, receive_all

FACTS = {
    "a": FactType("a", "number", "", "higher", "pain", "a", "a", low=0, high=4),
    "b": FactType("b", "number", "", "lower", "load", "b", "b", scale=2, low=0, high=2),
    "c": FactType("c", "choice", "", "none", "load", "c", "c", choices=("x", "y", "z")),
    "d": FactType("d", "boolean", "", "true", "flag", "d", "d"),
}
SLOTS = (Slot("a"), Slot("a", max_age_days=7), Slot("b"), Slot("c"), Slot("d"))
LADDER = ("S1", "S2")


@st.composite
def conditions(draw):
    slot = draw(st.integers(0, len(SLOTS) - 1))
    kind = FACTS[SLOTS[slot].fact]
    value = st.integers(kind.bottom, kind.top)
    if kind.kind == "number":
        return Condition(slot, draw(st.sampled_from(("at_most", "at_least", "below", "above"))), 0, draw(value))
    if kind.kind == "choice":
        return Condition(slot, draw(st.sampled_from(("one_of", "not_one_of"))), 0, tuple(draw(st.lists(value, min_size=1, unique=True))))
    return Condition(slot, "is", 0, draw(value))


alternatives = st.lists(conditions(), min_size=2, max_size=3).map(lambda parts: AnyOf(tuple(parts)))
# Only alternatives leave a choice: without many of them the first change found would be the smallest anyway.
entries = conditions() | alternatives | alternatives | alternatives


@st.composite
def rules(draw, kinds=("advance", "advance", "hold", "regress", "refer")):
    return Rule(
        id="",
        kind=draw(st.sampled_from(kinds)),
        text="",
        when=tuple(draw(st.lists(entries, min_size=1, max_size=3))),
        then=Then(),
        cite=(),
        grade="primary",
        unknown=draw(st.sampled_from(("hold", "hold", "pass"))),
    )


@st.composite
def packs(draw):
    of = [draw(rules(("advance",))), *draw(st.lists(rules(), min_size=1, max_size=7))]
    named = tuple(replace(rule, id=f"r{n}") for n, rule in enumerate(of))
    return Protocol(
        id="generated",
        version="1",
        hash=hashlib.sha256(repr(named).encode()).hexdigest(),
        title="",
        ladder=tuple(Step(step, Dose(), ()) for step in LADDER),
        slots=SLOTS,
        rules=named,
        clean=(),
        population=Population(TISSUES),
        progress=Progress(1, 1, 1, True, True),
        rates=(),
        rest_days={},
        deload=None,
        stop_if=(),
        sources={},
        grades={},
        facts=FACTS,
        place={step: rung - 1 for rung, step in enumerate(("entry", *LADDER, "complete"))},
    )


@st.composite
def known(draw):
    """A value per slot; the two slots of one fact agree where both know it."""
    found = {}
    for name, kind in FACTS.items():
        found[name] = draw(st.none() | st.integers(kind.bottom, kind.top))
    return tuple(None if slot.max_age_days and draw(st.booleans()) else found[slot.fact] for slot in SLOTS)


def advances(pack, values):
    return reference.judge(pack, values, 0, 0).action == "advance"


def with_facts(values, new):
    return tuple(new.get(slot.fact, value) for slot, value in zip(SLOTS, values, strict=True))


def cheapest_by_trying_everything(pack, values, fixed):
    """(facts changed, distance) of the best of all assignments, or None."""
    ways = [[None] if name in fixed else [None, *range(kind.bottom, kind.top + 1)] for name, kind in FACTS.items()]
    best = None
    for chosen in product(*ways):
        new = {name: value for name, value in zip(FACTS, chosen, strict=True) if value is not None}
        if advances(pack, with_facts(values, new)):
            far = Fraction(0)
            for name, value in new.items():
                now = [old for slot, old in zip(SLOTS, values, strict=True) if slot.fact == name and old is not None]
                far += Fraction(abs(value - now[0]), FACTS[name].scale) if now else 0
            best = (len(new), far) if best is None else min(best, (len(new), far))
    return best


@settings(max_examples=250)
@given(packs(), known(), st.sampled_from([(), ("a",), ("b", "d")]))
def test_no_other_change_is_smaller_or_nearer_and_none_is_missed(pack, values, fixed):
    found = smallest_change(pack, values, 0, 0, fixed)
    best = cheapest_by_trying_everything(pack, values, fixed)
    assert found.exact
    if best is None:
        assert found.changes is None
        return
    assert found.changes is not None and found.cost == best
    assert not {change.fact for change in found.changes} & set(fixed)
    assert advances(pack, applied(pack, values, found.changes))
    for size in range(len(found.changes)):
        for some in combinations(found.changes, size):
            assert not advances(pack, applied(pack, values, some))


@settings(max_examples=150)
@given(packs(), known())
def test_every_value_of_the_stretch_told_advances_and_the_next_one_beyond_does_not(pack, values):
    found = smallest_change(pack, values, 0, 0)
    changes = found.changes or ()
    others = {one.fact: one.value for one in changes}
    for change in changes:
        kind = FACTS[change.fact]
        for value in range(kind.bottom, kind.top + 1):
            inside = value in change.choices if kind.choices else change.low <= value <= change.high
            beside = kind.choices or value in (change.low - 1, change.high + 1)
            if inside or beside:
                assert advances(pack, with_facts(values, others | {change.fact: value})) is inside


@settings(max_examples=60)
@given(packs(), known())
def test_the_order_of_the_rules_does_not_change_what_is_smallest(pack, values):
    turned = replace(pack, rules=tuple(reversed(pack.rules)), hash=pack.hash + "turned")
    assert smallest_change(pack, values, 0, 0) == smallest_change(turned, values, 0, 0)


@settings(max_examples=60)
@given(histories())
def test_in_the_shipped_packs_the_change_advances_and_no_part_of_it_does(raws):
    athlete, made = receive_all(raws)
    if not made:
        return
    [line] = athlete._lines.values()
    protocol, question = line.judge.protocol, line.verdict.question
    fixed = fixed_facts(protocol, question.values)
    search = Search(protocol, question.values, question.rung, question.tissue, fixed)
    found = search.run()
    told = explanation(line.judge, line.verdict)
    assert search.nodes < MOST_NODES / 10
    if made[-1].body["action"] == "advance":
        assert found.changes == () and told["would_advance_if"] is None
        return
    if found.changes is None:
        assert not told["would_advance_if"]["possible"]
        assert fixed or question.rung == len(protocol.ladder)
        return

    def moves(changes):
        values = applied(protocol, question.values, changes)
        return reference.judge(protocol, values, question.rung, question.tissue).action == "advance"

    assert moves(found.changes)
    sizes = range(len(found.changes)) if len(found.changes) <= 8 else (0, 1, len(found.changes) - 1)
    for size in sizes:
        assert not any(moves(some) for some in combinations(found.changes, size))
    assert [change["fact"] for change in told["would_advance_if"]["changes"]] == sorted(change.fact for change in found.changes)
    assert told["would_advance_if"]["text"].startswith("Would advance if ") and "None" not in told["would_advance_if"]["text"]


@settings(max_examples=25)
@given(histories(most_sessions=3))
def test_what_to_measure_next_is_ordered_by_what_it_saves_and_names_only_what_is_not_known(raws):
    athlete, made = receive_all(raws)
    if not made:
        return
    [line] = athlete._lines.values()
    asked = explanation(line.judge, line.verdict)["measure_next"]
    unknown = {found["fact"] for found in athlete.facts("c1") if found["value"] is None}
    assert [-one["saves"] for one in asked] == sorted(-one["saves"] for one in asked)
    for one in asked:
        stale = {slot.fact for slot, value in zip(line.judge.protocol.slots, line.verdict.question.values, strict=True) if value is None}
        assert set(one["facts"]) <= unknown | stale
    if asked and asked[0]["enough"]:
        assert asked[0]["saves"] > 0


@pytest.mark.parametrize("name", PACKS.names())
def test_at_every_step_of_every_shipped_pack_the_search_ends_far_from_its_limit_and_always_the_same(name):
    protocol = PACKS.protocols[name]
    nothing = (None,) * len(protocol.slots)
    tissue = TISSUES.index(protocol.population.tissues[0])
    for step in protocol.steps:
        first = Search(protocol, nothing, protocol.place[step], tissue)
        found = first.run()
        assert found.exact and first.nodes < MOST_NODES / 10
        assert found == smallest_change(protocol, nothing, protocol.place[step], tissue)
        if found.changes is not None:
            values = applied(protocol, nothing, found.changes)
            assert reference.judge(protocol, values, protocol.place[step], tissue).action == "advance"

"""Two engines, written differently, answer every question of every pack the same."""

import hashlib
from itertools import combinations_with_replacement
from typing import Literal

import pytest
from hypothesis import given, settings, strategies as st

from services.decision.core.conditions import flat, together
from services.decision.core.protocol import TISSUES, AnyOf, Condition, Dose, Kind, Population, Progress, Protocol, Rule, Slot, Step, Then
from services.decision.core.question import Question
from services.decision.core.trivalent import Tri
from services.decision.engines import reference
from services.decision.engines.durable import SecondEngine

SLOTS = 6
LADDER = ("S1", "S2", "S3", "S4")
STEPS = ("entry", *LADDER, "complete")

numbers = st.integers(-3, 6) | st.sampled_from((-40_000, 999_999, 5_000_000))
members = st.lists(numbers, max_size=5, unique=True).map(tuple)


@st.composite
def conditions(draw):
    op = draw(st.sampled_from(("at_most", "at_least", "below", "above", "is", "one_of", "not_one_of")))
    encoded = draw(members if op in ("one_of", "not_one_of") else numbers)
    return Condition(draw(st.integers(0, SLOTS - 1)), op, 0, encoded)


entries = conditions() | st.lists(conditions(), min_size=1, max_size=4).map(lambda parts: AnyOf(tuple(parts)))
some_steps = st.none() | st.lists(st.sampled_from(STEPS), unique=True, max_size=4).map(tuple)
some_tissues = st.none() | st.lists(st.sampled_from(TISSUES), unique=True, max_size=4).map(tuple)


@st.composite
def rules(draw):
    # A conjunction beyond twelve comparisons is laid out over several durable rules: long ones must occur.
    when = draw(st.lists(entries, max_size=4) | st.lists(entries, min_size=6, max_size=9))
    return Rule(
        id="r",
        kind=draw(st.sampled_from(("refer", "regress", "hold", "advance"))),
        text="",
        when=tuple(when),
        then=Then(),
        cite=(),
        grade="primary",
        steps=draw(some_steps),
        tissues=draw(some_tissues),
        unknown=draw(st.sampled_from(("hold", "pass"))),
    )


def pack(of):
    return Protocol(
        id="generated",
        version="1",
        hash=hashlib.sha256(repr(of).encode()).hexdigest(),
        title="",
        ladder=tuple(Step(step, Dose(), ()) for step in LADDER),
        slots=tuple(Slot(f"f{n}") for n in range(SLOTS)),
        rules=tuple(of),
        clean=(),
        population=Population(TISSUES),
        progress=Progress(1, 1, 1, True, True),
        rates=(),
        rest_days={},
        deload=None,
        stop_if=(),
        sources={},
        grades={},
        facts={},
        place={step: rung - 1 for rung, step in enumerate(STEPS)},
    )


ready = Rule("ready", "advance", "", (), Then(), (), "primary")
# Many rules rarely leave an advance standing; one gate that is always met shows what a few others do to it.
packs = (st.lists(rules(), min_size=1, max_size=12) | st.lists(rules(), max_size=2).map(lambda few: [ready, *few])).map(pack)
values = st.tuples(*[st.none() | numbers | st.sampled_from((10**12, -(10**12)))] * SLOTS)
asked = st.tuples(values, st.integers(-1, len(LADDER)), st.integers(0, len(TISSUES) - 1))


def differences(protocol, of):
    """The questions on which the second engine does not agree, with its answer."""
    questions = [Question(protocol.hash, v, rung, tissue, reference.judge(protocol, v, rung, tissue)) for v, rung, tissue in of]
    engine = SecondEngine({protocol.hash: protocol}, timeout_s=20)
    try:
        answers = engine.judge_now(questions)
    finally:
        engine.close_now()
    return [(question, answer) for question, answer in zip(questions, answers, strict=True) if question.answer != answer]


@pytest.mark.law("two-engines")
@settings(max_examples=150, deadline=None)
@given(packs, st.lists(asked, min_size=1, max_size=40))
def test_both_engines_answer_every_question_the_same(protocol, of):
    assert differences(protocol, of) == []


@pytest.mark.law("two-engines")
@settings(max_examples=200, deadline=None)
@given(packs, asked)
def test_the_trace_of_the_reference_engine_gives_the_answer_it_gives_without_one(protocol, one):
    traced = reference.trace(protocol, *one)
    assert traced.answer == reference.judge(protocol, *one)
    for rule, trace in zip(protocol.rules, traced.rules, strict=True):
        assert len(trace.conditions) == len(flat(rule.when))
        assert trace.verdict is (together(rule.when, one[0]) if trace.in_scope else Tri.NOT_MET)


@pytest.mark.law("unknown-never-advances")
@settings(max_examples=200, deadline=None)
@given(packs, asked, st.integers(0, SLOTS - 1))
def test_losing_a_value_never_turns_another_answer_into_advance(protocol, one, slot):
    known, rung, tissue = one
    lost = (*known[:slot], None, *known[slot + 1 :])
    before, after = (reference.judge(protocol, v, rung, tissue).action for v in (known, lost))
    passes = any(rule.unknown == "pass" for rule in protocol.rules)
    assert after != "advance" or before == "advance" or passes


@pytest.mark.law("two-engines")
@pytest.mark.parametrize("conditions_each", [4, 14])
def test_a_pack_of_two_hundred_rules_is_held_whole(conditions_each):
    """More rules than one ruleset of the library survives: they are spread over several."""
    kinds: tuple[Kind, ...] = ("hold", "regress", "advance", "refer")
    of = [
        Rule(
            f"r{n}",
            kinds[n % 4],
            "",
            tuple(Condition((n + k) % SLOTS, "at_least", 0, (n + k) % 9) for k in range(conditions_each)),
            Then(),
            (),
            "primary",
        )
        for n in range(200)
    ]
    every: list[tuple[tuple[int | None, ...], int, int]] = [
        (tuple((base + k) % 10 for k in range(SLOTS)), rung, 0) for base in range(10) for rung in (-1, 0, 4)
    ]
    every += [((None, *v[1:]), rung, tissue) for v, rung, tissue in every] + [((9,) * SLOTS, 1, 1), ((None,) * SLOTS, 1, 1)]
    assert differences(pack(of), every) == []


@pytest.mark.law("two-engines")
def test_both_engines_combine_every_pair_of_rules_the_same():
    """Every kind, met, not met and unknown, holding or passing where unknown, in scope and out, beside each other such rule."""
    kinds: tuple[Kind, ...] = ("refer", "regress", "hold", "advance")
    passing: tuple[Literal["hold", "pass"], ...] = ("hold", "pass")
    one = [
        Rule("r", kind, "", (Condition(slot, "at_least", 0, 5),), Then(), (), "primary", unknown=unknown, tissues=tissues)
        for kind in kinds
        for slot in (0, 1, 2)
        for unknown in passing
        for tissues in (None, ("tendon",))
    ]
    protocols = {p.hash: p for p in (pack([ready, *pair]) for pair in combinations_with_replacement(one, 2))}
    questions = [
        Question(p.hash, v, rung, 0, reference.judge(p, v, rung, 0))
        for p in protocols.values()
        for v, rung in (((9, 1, None, 0, 0, 0), 1), ((9, 1, None, 0, 0, 0), -1))
    ]
    with SecondEngine(protocols, timeout_s=20) as engine:
        assert engine.judge_now(questions) == [question.answer for question in questions]
    assert {question.answer.action for question in questions} == set(kinds)

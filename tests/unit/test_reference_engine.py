"""What the reference engine says, rule by rule."""

from dataclasses import replace

import pytest

from services.decision.core.conditions import together
from services.decision.core.protocol import TISSUES, AnyOf, Condition, Dose, Population, Progress, Protocol, Rule, Slot, Step, Then
from services.decision.core.question import Answer
from services.decision.core.trivalent import Tri
from services.decision.engines import reference

MET, NOT_MET, UNKNOWN = Tri.MET, Tri.NOT_MET, Tri.UNKNOWN
PAIN, SWELLING = 0, 1
BONE, TENDON = TISSUES.index("bone"), TISSUES.index("tendon")


def when(slot, op, encoded):
    return Condition(slot, op, 0, encoded)


def rule(kind, *conditions, **more):
    return Rule("r", kind, "", conditions, Then(), (), "primary", **more)


def pack(*rules):
    return Protocol(
        id="p",
        version="1",
        hash="hash",
        title="",
        ladder=(Step("L1", Dose(), ()), Step("L2", Dose(), ())),
        slots=(Slot("pain"), Slot("swelling")),
        rules=rules,
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
        place={"entry": -1, "L1": 0, "L2": 1, "complete": 2},
    )


def verdict(condition, value):
    return reference.judge(pack(rule("hold", condition)), (value, None), 0, BONE).verdicts[0]


@pytest.mark.parametrize(
    ("op", "encoded", "met", "not_met"),
    [
        ("at_most", 3, (2, 3), (4,)),
        ("at_least", 3, (3, 4), (2,)),
        ("below", 3, (2,), (3, 4)),
        ("above", 3, (4,), (2, 3)),
        ("is", 3, (3,), (2, 4)),
        ("one_of", (1, 3), (1, 3), (0, 2, 4)),
        ("not_one_of", (1, 3), (0, 2, 4), (1, 3)),
    ],
)
def test_every_operator_is_met_at_its_own_side_of_the_threshold_and_unknown_without_a_value(op, encoded, met, not_met):
    assert [verdict(when(PAIN, op, encoded), value) for value in met] == [MET] * len(met)
    assert [verdict(when(PAIN, op, encoded), value) for value in not_met] == [NOT_MET] * len(not_met)
    assert verdict(when(PAIN, op, encoded), None) is UNKNOWN


def test_an_order_operator_refuses_a_list():
    with pytest.raises(ValueError, match="at_most compares with one number"):
        reference.compile_protocol(pack(rule("hold", when(PAIN, "at_most", (1, 2)))))


def test_one_condition_not_met_decides_a_rule_whatever_is_unknown():
    both = pack(rule("hold", when(PAIN, "at_least", 5), when(SWELLING, "at_least", 1)))
    assert reference.judge(both, (None, 0), 0, BONE).verdicts == (NOT_MET,)
    assert reference.judge(both, (None, 1), 0, BONE).verdicts == (UNKNOWN,)
    assert reference.judge(both, (5, 1), 0, BONE).verdicts == (MET,)


def test_one_alternative_met_is_enough_and_one_unknown_keeps_the_others_open():
    either = pack(rule("hold", AnyOf((when(PAIN, "at_least", 5), when(SWELLING, "at_least", 1)))))
    assert reference.judge(either, (None, 1), 0, BONE).verdicts == (MET,)
    assert reference.judge(either, (None, 0), 0, BONE).verdicts == (UNKNOWN,)
    assert reference.judge(either, (0, 0), 0, BONE).verdicts == (NOT_MET,)


def test_the_most_conservative_rule_decides():
    high = when(PAIN, "at_least", 0)
    for kinds, action in (
        (("advance",), "advance"),
        (("advance", "hold"), "hold"),
        (("hold", "regress", "advance"), "regress"),
        (("regress", "refer", "advance"), "refer"),
        ((), "hold"),
    ):
        assert reference.judge(pack(*(rule(kind, high) for kind in kinds)), (9, 9), 0, BONE).action == action


@pytest.mark.law("unknown-never-advances")
def test_a_protective_rule_with_an_unknown_condition_holds_unless_it_is_optional_monitoring():
    clean = rule("advance", when(SWELLING, "at_most", 0))
    guard = rule("regress", when(PAIN, "above", 5))
    assert reference.judge(pack(clean, guard), (None, 0), 0, BONE) == Answer((MET, UNKNOWN), "hold")
    assert reference.judge(pack(clean, replace(guard, unknown="pass")), (None, 0), 0, BONE) == Answer((MET, UNKNOWN), "advance")
    assert reference.judge(pack(clean), (None, None), 0, BONE) == Answer((UNKNOWN,), "hold")


def test_a_rule_out_of_scope_is_not_met_and_does_not_vote():
    always = when(PAIN, "at_least", 0)
    scoped = pack(rule("advance", always), rule("hold", always, steps=("L2",)), rule("refer", always, tissues=("tendon",)))
    assert reference.judge(scoped, (3, 0), 0, BONE) == Answer((MET, NOT_MET, NOT_MET), "advance")
    assert reference.judge(scoped, (3, 0), 1, BONE) == Answer((MET, MET, NOT_MET), "hold")
    assert reference.judge(scoped, (3, 0), 0, TENDON) == Answer((MET, NOT_MET, MET), "refer")


def test_an_advance_rule_speaks_at_entry_only_when_it_names_it():
    gate = when(PAIN, "at_most", 2)
    assert reference.judge(pack(rule("advance", gate)), (0, 0), -1, BONE) == Answer((NOT_MET,), "hold")
    assert reference.judge(pack(rule("advance", gate, steps=("entry",))), (0, 0), -1, BONE) == Answer((MET,), "advance")


def test_a_rung_or_tissue_outside_the_pack_is_refused():
    for rung, tissue in ((-2, 0), (3, 0), (0, 7), (0, -1)):
        with pytest.raises(ValueError, match="expected -1 to 2 and 0 to 6"):
            reference.judge(pack(rule("hold")), (0, 0), rung, tissue)


def test_a_trace_shows_every_condition_even_of_a_rule_out_of_scope():
    scoped = pack(
        rule("hold", when(PAIN, "above", 5), AnyOf((when(SWELLING, "is", 1), when(PAIN, "is", 0))), steps=("L2",)),
        rule("advance", when(PAIN, "at_most", 2)),
    )
    traced = reference.trace(scoped, (0, None), 0, BONE)
    assert traced.rules == ((False, NOT_MET, (NOT_MET, UNKNOWN, MET)), (True, MET, (MET,)))
    assert traced.answer == Answer((NOT_MET, MET), "advance")


def test_a_pack_changed_under_the_same_hash_is_bound_again():
    first, second = pack(rule("hold", when(PAIN, "at_most", 2))), pack(rule("hold", when(PAIN, "at_most", 5)))
    assert [reference.judge(one, (4, 0), 0, BONE).verdicts[0] for one in (first, second, first)] == [NOT_MET, MET, NOT_MET]


def test_a_list_of_conditions_is_met_when_each_is():
    clean = (when(PAIN, "at_most", 2), AnyOf((when(SWELLING, "is", 0), when(SWELLING, "is", 1))))
    assert together(clean, (2, 1)) is MET
    assert together(clean, (None, 1)) is UNKNOWN
    assert together(clean, (None, 2)) is NOT_MET
    assert together((), (None, None)) is MET

"""Generated packs over a few small facts, and every athlete that can be: what proofs are compared with."""

import hashlib
from itertools import product

from hypothesis import strategies as st

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
from services.decision.rules.prove.athlete import Known

LADDER = ("S1", "S2", "S3")
STEPS = ("entry", *LADDER, "complete")
FACTS = {
    "pain.a": FactType("pain.a", "number", "nrs", "higher", "pain", "", "", low=-1, high=5),
    "strength.b": FactType("strength.b", "number", "%", "lower", "function", "", "", low=-1, high=5),
    "flag.c": FactType("flag.c", "boolean", "", "true", "technique", "", ""),
    "dose.d": FactType("dose.d", "choice", "", "higher", "load", "", "", choices=("none", "some", "much")),
}
SLOTS = (
    Slot("pain.a"),
    Slot("pain.a", 7),
    Slot("strength.b", 14),
    Slot("strength.b", 28, "clinician"),
    Slot("flag.c"),
    Slot("dose.d"),
)
VALUES = {name: range(fact.bottom, fact.top + 1) for name, fact in FACTS.items()}

numbers = st.integers(0, 3)


@st.composite
def conditions(draw):
    slot = draw(st.integers(0, len(SLOTS) - 1))
    kind = FACTS[SLOTS[slot].fact].kind
    if kind == "boolean":
        return Condition(slot, "is", True, draw(st.integers(0, 1)))
    if kind == "choice":
        op = draw(st.sampled_from(("one_of", "not_one_of")))
        return Condition(slot, op, (), tuple(draw(st.lists(st.integers(0, 2), max_size=2, unique=True))))
    return Condition(slot, draw(st.sampled_from(("at_most", "at_least", "below", "above", "is"))), 0, draw(numbers))


entries = conditions() | st.lists(conditions(), min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts)))


@st.composite
def rules(draw, number):
    kind = draw(st.sampled_from(("refer", "regress", "hold", "advance")))
    return Rule(
        id=f"r{number}",
        kind=kind,
        text="",
        when=tuple(draw(st.lists(entries, min_size=1, max_size=3))),
        then=Then(steps_back=draw(st.integers(1, 2)), to_entry=draw(st.booleans())) if kind == "regress" else Then(),
        cite=(),
        grade="primary",
        steps=draw(st.none() | st.lists(st.sampled_from(STEPS), unique=True, max_size=3).map(tuple)),
        tissues=draw(st.none() | st.lists(st.sampled_from(TISSUES), unique=True, max_size=3).map(tuple)),
        unknown=draw(st.sampled_from(("hold", "pass"))),
    )


@st.composite
def packs(draw, most=5):
    of = tuple(draw(rules(number)) for number in range(draw(st.integers(1, most))))
    doses = draw(st.tuples(*[st.integers(1, 3)] * len(LADDER)))
    return Protocol(
        id="generated",
        version="1",
        hash=hashlib.sha256(repr((of, doses)).encode()).hexdigest(),
        title="",
        ladder=tuple(Step(step, Dose(run_s=run), ()) for step, run in zip(LADDER, doses, strict=True)),
        slots=SLOTS,
        rules=of,
        clean=(),
        population=Population(TISSUES),
        progress=Progress(1, 1, 1, True, True),
        rates=(),
        rest_days=dict.fromkeys(LADDER, 1),
        deload=None,
        stop_if=(),
        sources={},
        grades={},
        facts=FACTS,
        place={step: rung - 1 for rung, step in enumerate(STEPS)},
    )


@st.composite
def knowns(draw):
    """What is known of one athlete, fact by fact."""
    return tuple(
        Known(
            FACTS[name],
            draw(st.none() | st.sampled_from(VALUES[name])),
            draw(st.sampled_from((0, 8, 20, 40))),
            draw(st.sampled_from(("self", "coach", "clinician"))),
        )
        for name in FACTS
    )


def every_value():
    """Every combination of values, each fact known."""
    return product(*(VALUES[name] for name in FACTS))

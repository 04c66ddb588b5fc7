"""What the reference engine answers from its last answer is what it answers from nothing."""

from hypothesis import given, settings, strategies as st

from services.decision.core.protocol import TISSUES
from services.decision.engines.reference import compile_protocol
from tests.property.histories import PACKS

VALUES = st.one_of(st.none(), st.integers(-1, 12), st.sampled_from((20, 50, 70, 85, 90, 100, 900, 1000)))
SHIPPED = [PACKS.protocols[name] for name in PACKS.names()]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_an_answer_from_the_last_one_is_the_answer_to_the_whole_question(data: st.DataObject) -> None:
    protocol = data.draw(st.sampled_from(SHIPPED))
    engine, slots = compile_protocol(protocol), len(protocol.slots)
    rung, tissue = data.draw(st.integers(-1, len(protocol.ladder))), data.draw(st.integers(0, len(TISSUES) - 1))
    values = data.draw(st.lists(VALUES, min_size=slots, max_size=slots))
    answer = engine.judge(values, rung, tissue)
    for _ in range(data.draw(st.integers(1, 4))):
        turned = data.draw(st.lists(st.integers(0, slots - 1), max_size=6))
        for slot in turned:
            values[slot] = data.draw(VALUES)
        answer = engine.again(values, rung, tissue, answer, turned)
        whole = engine.judge(values, rung, tissue)
        assert (answer, answer.tally) == (whole, whole.tally)

"""Histories decided again side by side: what differs in each is what differs in it alone."""

from collections.abc import Sequence

import orjson
from hypothesis import HealthCheck, given, settings, strategies as st

from services.decision.audit.again import Difference, Made, Past, Stored, known_then, known_then_abreast
from services.decision.core.athlete import Athlete
from shared.events import content_digest, parse
from tests.property.histories import PACKS, Raw, histories, two_clean_sessions

FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def lived(name: str, raws: Sequence[Raw]) -> Past:
    """The history of an athlete who sent this, as it is kept."""
    past, athlete = Past("clinic", name), Athlete(PACKS)
    for seq, raw in enumerate(raws):
        event = parse(raw, internal=True)
        receipt = athlete.receive(event, content_digest(raw))
        became = (receipt.status, receipt.path, receipt.reason)
        past.events.append(Stored(seq, orjson.dumps(event.wire()), content_digest(raw), became))
        past.decisions += [Made(one.course, one.seq, seq, one.encoded) for one in receipt.decisions]
    return past


def altered(past: Past, order) -> None:
    """As if somebody had changed what was decided, or what became of an event."""
    if past.decisions:
        at = order.randrange(len(past.decisions))
        made = past.decisions[at]
        past.decisions[at] = order.choice(
            [made._replace(body=made.body.replace(b'"action":"hold"', b'"action":"advance"')), made._replace(seq=made.seq + 100)]
        )
    at = order.randrange(len(past.events))
    past.events[at] = past.events[at]._replace(became=("refused", "data", "changed"))


@given(st.lists(histories(most_sessions=3), min_size=1, max_size=4), st.randoms(use_true_random=False))
@FEW
def test_histories_decided_again_abreast_differ_as_each_does_alone(many: list[list[Raw]], order) -> None:
    pasts = [lived(f"a{n}", raws) for n, raws in enumerate(many)]
    for past in pasts:
        if order.random() < 0.5:
            altered(past, order)
    alone: list[list[Difference]] = [list(known_then(past, PACKS, {})) for past in pasts]
    assert known_then_abreast(pasts, [PACKS] * len(pasts), {}) == alone


@given(histories(most_sessions=2), histories(most_sessions=2))
@FEW
def test_a_change_is_told_of_the_athlete_whose_history_it_is_in(one: list[Raw], other: list[Raw]) -> None:
    pasts = [lived("one", one), lived("other", other)]
    pasts[1].events[-1] = pasts[1].events[-1]._replace(became=("parked", None, None))
    sound, changed = known_then_abreast(pasts, [PACKS, PACKS], {})
    assert sound == []
    assert [(found.what, found.seq) for found in changed] == [("outcome", len(other) - 1)]


def test_a_decision_that_no_event_makes_again_is_told() -> None:
    past = lived("one", two_clean_sessions())
    past.decisions.append(Made("c1", 99, 10_000, past.decisions[-1].body))
    ((found,),) = known_then_abreast([past], [PACKS], {})
    assert (found.what, found.course, found.seq) == ("no longer decided", "c1", 99)

"""The judge of the kill test, judged: for each way in which a run can be wrong there is a sentence."""

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.e2e import checker
from tests.e2e.checker import Heard, Sent
from tests.e2e.history import History
from tests.e2e.load import SOURCE, Place, content, event
from tests.e2e.receiver import Arrival

PLACE = Place("north", "a0", "c0-0", "knee")
ADVICE = {"action": "hold", "to_step": "entry", "running": "withheld", "urgency": "routine", "not_before": None}
NUMBERS = range(4)
KEYS = [("north", SOURCE, f"c0-0-{number}") for number in NUMBERS]

Run = tuple[Sent, History, Heard]


def sound() -> Run:
    """Four events of one course, each accepted, decided and the last one told."""
    raws = [event(PLACE, number) for number in NUMBERS]
    named: dict[str, Any] = {"tenant": "north", "source": SOURCE}
    decisions: list[Any] = [
        {"tenant": "north", "course": "c0-0", "seq": n + 1, "athlete": "a0", "partition": 7, "event_seq": n + 1, "cause_source": SOURCE}
        | {"cause_id": raw["id"], "id": f"d{n}", "body": orjson.dumps(ADVICE | {"seq": n + 1})}
        for n, raw in enumerate(raws)
    ]
    history = History(
        events=[
            named
            | {
                "partition": 7,
                "seq": n + 1,
                "stream_seq": 10 + n,
                "athlete": "a0",
                "id": raw["id"],
                "type": raw["type"],
                "body": orjson.dumps(raw),
            }
            for n, raw in enumerate(raws)
        ],
        outcomes=[
            named | {"id": raw["id"], "seq": n + 1, "n": 0, "status": "accepted", "path": None, "reason": None}
            for n, raw in enumerate(raws)
        ],
        conflicts=[],
        decisions=decisions,
        heads=[{"partition": 6, "seq": 0}, {"partition": 7, "seq": 4}],
        courses=[{"tenant": "north", "course": "c0-0", "seq": 4}],
        told=[{"tenant": "north", "course": "c0-0", "told": orjson.dumps({"advice": ADVICE}).decode(), "waiting": None}],
        notices=[{"id": f"m{n}", "tenant": "north", "course": "c0-0", "seq": n, "type": kind, "outbox": n} for n, kind in enumerate(TOLD)],
        deliveries=[
            {"id": f"v{n}", "tenant": "north", "notice": f"m{n}", "course": "c0-0", "state": "delivered", "because": None}
            for n in range(len(TOLD))
        ],
        outbox=0,
    )
    sent = Sent(list(KEYS), {key: content(raw) for key, raw in zip(KEYS, raws, strict=True)}, dict.fromkeys(KEYS, ("c0-0",)), set())
    first = [Arrival(f"m{n}", "north", kind, {"course": "c0-0", "seq": n} | ADVICE) for n, kind in enumerate(TOLD)]
    return sent, history, Heard(first, {f"m{n}": 1 for n in range(len(TOLD))}, [])


TOLD = ("course.started", "recommendation.changed", "recommendation.changed")


def without(rows: list[Any], *gone: int) -> None:
    for n in sorted(gone, reverse=True):
        del rows[n]


def changed(rows: list[Any], n: int, **values: Any) -> None:
    rows[n] = rows[n] | values


WRONGS: dict[str, tuple[Callable[[Sent, History, Heard], Any], str]] = {
    "the first event is lost": (lambda s, h, r: without(h.events, 0), "lost at the beginning"),
    "an event is lost": (lambda s, h, r: without(h.events, 1), "lost at the middle"),
    "the last event is lost": (lambda s, h, r: without(h.events, 3), "lost at the end"),
    "all are lost": (lambda s, h, r: h.events.clear(), "4 acknowledged events are lost"),
    "an event is there twice": (lambda s, h, r: h.events.append(h.events[0]), "more than once"),
    "an event comes from nowhere": (lambda s, h, r: changed(h.events, 1, id="ghost"), "that nobody sent"),
    "a content changed": (lambda s, h, r: changed(h.events, 1, body=h.events[2]["body"]), "another content"),
    "a contradiction is lost": (lambda s, h, r: s.conflicting.add((KEYS[0], b"x")), "were not kept"),  # type: ignore[attr-defined]
    "a place is left out": (lambda s, h, r: changed(h.events, 3, seq=5), "not gapless"),
    "two events changed places": (lambda s, h, r: changed(h.events, 1, stream_seq=13), "another order than the bus"),
    "the head is ahead": (lambda s, h, r: changed(h.heads, 1, seq=5), "not gapless"),
    "the outbox is not empty": (lambda s, h, r: object.__setattr__(h, "outbox", 1), "left in the outbox"),
    "an outcome is missing": (lambda s, h, r: without(h.outcomes, 1), "events without an outcome"),
    "a refusal has no reason": (lambda s, h, r: changed(h.outcomes, 1, status="refused"), "ended as 'refused'"),
    "a refused event decided": (lambda s, h, r: changed(h.outcomes, 1, status="refused", reason="no"), "never accepted"),
    "a decision is missing": (lambda s, h, r: without(h.decisions, 1), "made no decision"),
    "a number is missing": (lambda s, h, r: changed(h.decisions, 3, seq=5), "do not count"),
    "an event decided twice": (lambda s, h, r: changed(h.decisions, 3, cause_id="c0-0-2"), "at most one for each"),
    "it decided for another course": (lambda s, h, r: changed(h.decisions, 3, course="c9"), "at most one for each"),
    "the last advice was not told": (
        lambda s, h, r: changed(h.decisions, 3, body=h.decisions[3]["body"].replace(b"hold", b"regress")),
        "last",
    ),
    "advice waits still": (lambda s, h, r: changed(h.told, 0, waiting="{}"), "waits still"),
    "a delivery is pending": (lambda s, h, r: changed(h.deliveries, 1, state="pending"), "ended as pending"),
    "a delivery never arrived": (lambda s, h, r: r.counts.update(m1=0), "never arrived"),  # type: ignore[attr-defined]
    "a notice was dropped": (lambda s, h, r: changed(h.deliveries, 1, state="cancelled", because="dropped"), "was cancelled because"),
    "a notice has no delivery": (lambda s, h, r: without(h.deliveries, 1), "no delivery"),
    "an outbox row is told twice": (lambda s, h, r: changed(h.notices, 2, outbox=1), "told twice"),
    "a webhook is made up": (lambda s, h, r: r.counts.update(m9=1), "no notice stands for"),  # type: ignore[attr-defined]
    "a signature is wrong": (lambda s, h, r: r.forged.append("north"), "could not be believed"),  # type: ignore[attr-defined]
    "notices overtake": (lambda s, h, r: r.first.insert(1, r.first.pop()), "out of order"),  # type: ignore[attr-defined]
    "a start is not told": (lambda s, h, r: r.first.pop(0), "start was not told"),  # type: ignore[attr-defined]
}


def test_a_sound_run_has_no_fault():
    assert checker.faults(*sound()) == []


@pytest.mark.parametrize("wrong", WRONGS)
def test_it_says_when(wrong):
    run = copy.deepcopy(sound())
    spoil, said = WRONGS[wrong]
    spoil(*run)
    assert any(said in fault for fault in checker.faults(*run)), checker.faults(*run)

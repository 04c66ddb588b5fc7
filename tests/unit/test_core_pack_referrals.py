"""A referral by a pack's own rule stands as one of a red flag does: until a clinician records the review."""

from itertools import permutations
from pathlib import Path

import pytest

from services.decision.core.athlete import Athlete, CourseMark
from services.decision.core.protocol import Protocol
from services.decision.core.verdict import Judge
from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import load
from shared.events import Event, content_digest, parse
from tests.property.histories import Raw, content, event, receive_all, report, started
from tests.unit.test_core_arrivals import at, give

RULE = """rules:
  - rule: own.severe
    kind: refer
    text: Pain of 8 of 10 or more
    when:
      - {fact: pain.now, is: at_least, value: 8 nrs, cite: [SRC]}
    then: {running: withheld, urgency: stop_and_refer, resume_when: [a clinician records the review]}
    cite: [SRC]
    grade: expert_default
"""


class Own:
    """A library of one pack, which has a rule of its own that refers."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._judge = Judge(protocol, ReferenceEngine())

    def resolve(self, reference: str) -> Protocol | None:
        return self.protocol if reference in (self.protocol.hash, self.protocol.id, f"{self.protocol.id}@{self.protocol.version}") else None

    def names(self) -> list[str]:
        return [self.protocol.id]

    def judge(self, protocol: Protocol) -> Judge:
        assert protocol is self.protocol
        return self._judge


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Own:
    text = (Path(__file__).parent / "rules" / "packs" / "good.yaml").read_text()
    file = tmp_path_factory.mktemp("packs") / "own.yaml"
    file.write_text(text.replace("rules:\n", RULE.replace("SRC", "table"), 1))
    return Own(load(file))


def start(packs: Own, day: float = 0, course: str = "c1") -> Raw:
    raw = started(protocol=packs.protocol.id, start_step="A1")
    raw |= {"id": course, "time": at(day).isoformat()}
    raw["data"] |= {"course": course}
    return raw


def daily(number: int, day: float, pain: float, course: str = "c1") -> Raw:
    return report(number, "daily", None, at(day), pain_nrs=pain) | {"course": course}


def review(number: int, day: float, course: str = "c1") -> Raw:
    data = {"gate": "red_flag_review", "granted": True, "by": {"role": "clinician", "id": "dr"}}
    return event(number, "clearance.recorded", at(day), data, course=course)


def told(packs: Own, raws: list[Raw], course: str = "c1") -> Raw:
    return receive_all(raws, Athlete(packs))[0].content(course)


def stands(told: Raw) -> bool:
    return (told["urgency"], told["running"], told["referral"]) == ("stop_and_refer", "withheld", {"to": "physician", "within_h": 24})


SEVERE, WELL = daily(10, 1, 9), daily(11, 3, 0)


@pytest.mark.law("referral-latches")
def test_a_referral_by_a_rule_of_the_pack_stands_though_the_fact_has_changed(packs: Own) -> None:
    assert stands(told(packs, [start(packs), SEVERE]))
    after = told(packs, [start(packs), SEVERE, WELL])
    assert stands(after)
    assert after["summary"] == "Stop running and refer to a physician within 24 h: pain of 8 of 10 or more."


@pytest.mark.law("referral-latches")
def test_the_review_ends_it_and_only_what_is_reported_since_opens_it_again(packs: Own) -> None:
    before = [start(packs), SEVERE]
    assert told(packs, [*before, review(20, 2)])["referral"] is None, "the review has seen it"
    assert told(packs, [*before, review(20, 2), WELL])["urgency"] != "stop_and_refer"
    assert stands(told(packs, [*before, review(20, 2), daily(12, 2.5, 9), WELL]))
    assert stands(told(packs, [*before, review(20, 0.5), WELL])), "a review before it has not seen it"


@pytest.mark.law("referral-latches")
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("event.corrected", {"corrects": "e10", "data": {"when": "daily", "pain_nrs": 1}}),
        ("event.retracted", {"retracts": "e10", "reason": "a slip"}),
    ],
)
def test_neither_a_correction_nor_a_retraction_of_the_report_lifts_it(packs: Own, kind: str, data: Raw) -> None:
    meta = event(30, kind, at(2), data, course=None)
    for raws in permutations([SEVERE, meta, WELL]):
        assert stands(told(packs, [start(packs), *raws]))
    assert told(packs, [start(packs), SEVERE, meta, WELL, review(20, 4)])["urgency"] != "stop_and_refer"


@pytest.mark.law("referral-latches")
@pytest.mark.law("any-order")
def test_it_follows_into_a_course_that_starts_later_in_any_order(packs: Own) -> None:
    later = start(packs, 5, "c2")
    raws = [start(packs), SEVERE, WELL, later, daily(13, 6, 0, "c2")]
    ended = set()
    for order in permutations(raws):
        athlete, made = receive_all(order, Athlete(packs))
        ended.add(str([athlete.content(course) for course in athlete.courses]))
        last = {decision.course: decision for decision in made}
        assert all(stands(last[course].body) for course in ("c1", "c2")), "and the last record says so"
    assert len(ended) == 1
    assert told(packs, [*raws, review(21, 7, "c2")], "c2")["urgency"] != "stop_and_refer"
    assert told(packs, [*raws, review(21, 4)], "c2")["urgency"] != "stop_and_refer", "reviewed before the later course began"


@pytest.mark.law("any-order")
def test_a_late_report_that_refers_decides_for_the_later_course_as_well(packs: Own) -> None:
    athlete, _ = receive_all([start(packs), WELL, start(packs, 5, "c2")], Athlete(packs))
    receipt = give(athlete, SEVERE)
    assert {decision.course: stands(decision.body) for decision in receipt.decisions} == {"c1": True, "c2": True}


@pytest.mark.law("same-bytes")
def test_an_athlete_restored_between_any_two_events_decides_the_same_bytes(packs: Own) -> None:
    raws = [start(packs), SEVERE, WELL, start(packs, 5, "c2"), daily(13, 6, 0, "c2"), review(21, 7, "c2"), daily(14, 8, 0, "c2")]
    _, whole = receive_all(raws, Athlete(packs))
    received: list[tuple[Event, bytes, str]] = []
    marks: dict[str, CourseMark] = {}
    made: list[str] = []
    for raw in raws:
        athlete = Athlete.restore(packs, received, marks)
        for decision in give(athlete, raw).decisions:
            marks[decision.course] = CourseMark(decision.seq, decision.body)
            made.append(content(decision))
        received.append((parse(raw, internal=True), content_digest(raw), raw["time"]))
    assert made == [content(decision) for decision in whole]

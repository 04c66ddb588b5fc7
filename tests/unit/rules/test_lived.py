"""What history says of rules, conditions and steps, beside what is proved of them."""

from dataclasses import replace
from pathlib import Path

import orjson

from services.decision.core.protocol import TISSUES
from services.decision.core.question import Question
from services.decision.engines.reference import judge
from services.decision.lifecycle.compare import Decided, Job, Past, decide_again
from services.decision.lifecycle.store import Source
from services.decision.lifecycle.stored import decide_both
from services.decision.rules.check import Lived, check_pack
from services.decision.rules.library import SHIPPED, Pack, load_pack

GOOD = Path(__file__).parent / "packs" / "good.yaml"


def lived(pack: Pack, *pains: int | None, rung: int = 0) -> Lived:
    """One athlete's decisions at a step, with this pain during the last session (tenths of a point) and good technique."""
    found, protocol = Lived(athletes=1, of_athletes=1), pack.protocol
    tissue = TISSUES.index("joint")
    for pain in pains:
        known = {"session.pain_during": pain, "session.technique_ok": 1, "step.clean_sessions_short": 1, "injury.suits_protocol": 1}
        values = tuple(known.get(slot.fact) for slot in protocol.slots)
        found.take(protocol, Question(protocol.hash, values, rung, tissue, judge(protocol, values, rung, tissue)))
    return found


def told(pack: Pack, history: Lived | None, code: str) -> dict[str, str]:
    """What a check says as a note of the pack itself, by path."""
    notes = (one for one in check_pack(pack, lived=history) if one.severity == "info" and one.file == str(GOOD))
    return {one.path: one.sentence for one in notes if one.code == code}


def test_a_rule_that_no_stored_decision_met_is_told_with_the_number_looked_at() -> None:
    pack = load_pack(GOOD)
    dead = told(pack, lived(pack, 0, 10, 30), "DEAD")
    assert dead["rules[3]"] == "small.regress-pain is met by 0 of 3 stored decisions"
    assert dead["rules[0]"] == "small.entry is met by 0 of 3 stored decisions, 0 of them where it applies"
    assert "met by 0" not in dead["rules"] and dead["rules"] == "3 stored decisions of 1 athletes were looked at"
    assert "rules[2]" not in dead, "the hold was met once"


def test_a_condition_that_every_stored_decision_met_is_told_at_its_place() -> None:
    pack = load_pack(GOOD)
    vacuous = told(pack, lived(pack, 0, 30), "VACUOUS")
    assert vacuous == {"rules[1].when[1]": "a condition of small.advance is met by 2 of 2 stored decisions that ask it"}


def test_a_step_that_no_stored_decision_left_is_told_and_so_are_those_where_nobody_stood() -> None:
    pack = load_pack(GOOD)
    live = told(pack, lived(pack, 0, 30, rung=1), "LIVE")
    assert live == {"ladder[1]": "0 of 2 stored decisions at A2 advance", "rules": "0 of 2 stored decisions stand at entry, A1, A3, A4"}


def test_without_history_it_is_said_that_none_was_looked_at() -> None:
    pack = load_pack(GOOD)
    assert "no stored decision was looked at" in told(pack, None, "DEAD")["rules"]
    assert "there is no stored decision" in told(pack, Lived(), "DEAD")["rules"]
    assert not told(pack, None, "VACUOUS") and not told(pack, None, "LIVE")


def test_counts_survive_being_stored_and_being_put_together() -> None:
    pack = load_pack(GOOD)
    one, other = lived(pack, 0, 30), lived(pack, 60, None, rung=2)
    again = Lived.of_json(orjson.loads(orjson.dumps(one.as_json())))
    assert again == one and sorted(again.said()) == sorted(one.said())
    again.add(other)
    assert (again.decisions, again.athletes, again.met["small.regress-pain"], again.asked["small.hold-pain"]) == (4, 2, 1, 4)


def test_a_stored_decision_that_is_no_json_is_told_in_a_sentence_and_keeps_nobody_else_from_being_compared() -> None:
    pack = load_pack(SHIPPED / "mil-knee-overuse.yaml")
    source = Source(pack.source.raw, tuple(floor.raw for floor in pack.floors))
    damaged = Past("amy", [], {}, [Decided("amy-knee", 7, "urn:test", "e", b"\x00not json")])
    for body in (b"\x00not json", b"[]", b"{}"):
        damaged = replace(damaged, decided=[Decided("amy-knee", 7, "urn:test", "e", body)])
        job = Job(source, pack.protocol.id, {}, [damaged, Past("bob", [], {}, [])])
        amy, bob = decide_both("north", source, pack.protocol.hash, job)
        assert amy.fault == ("amy of north: decision 7 of course amy-knee is stored damaged; `milepost verify` tells what was altered")
        assert bob.fault is None
        assert "stored damaged" in (decide_again(job)[0].fault or "")

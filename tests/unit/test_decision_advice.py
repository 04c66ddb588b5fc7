"""What a coach is told, and what is told over several courses."""

from itertools import permutations

import pytest

from services.decision import advice

DECISION = {
    "id": "1",
    "course": "c-1",
    "subject": "athlete-1",
    "seq": 3,
    "action": "hold",
    "from_step": "P2",
    "to_step": "P2",
    "dose": {"run_s": 60},
    "running": "as_dosed",
    "urgency": "routine",
    "not_before": "2026-03-07",
    "stop_if": ["pain above 2"],
    "report_due": [],
    "summary": "Pain 4 of 10 in the morning: hold.",
    "reasons": [{"rule": "pain"}],
    "blocking": ["pain"],
    "missing": ["hop"],
    "disagreement": ["x"],
    "answer": None,
    "as_of": "2026-03-06T07:00:00Z",
    "as_at": "2026-03-06T07:00:01Z",
}
STANDING = {"run_s": 30}


def decision(**changes):
    return {**DECISION, **changes}


def test_a_coach_reads_neither_reasons_nor_flags_nor_symptoms():
    told = advice.released(decision(), STANDING)
    assert not {"reasons", "blocking", "missing", "flags", "evidence", "disagreement", "urgency", "referral"} & told.keys()
    assert "Pain" not in told["summary"]


@pytest.mark.parametrize("answer", [None, {"answer": "declined"}, {"answer": "modified"}])
def test_an_advance_that_nobody_accepted_leaves_the_coach_at_the_step_in_force(answer):
    told = advice.released(decision(action="advance", to_step="P3", answer=answer), STANDING)
    assert (told["status"], told["step"], told["dose"], told["running"]) == ("awaiting_clinician", "P2", STANDING, "repeat")
    assert "P3" not in str(told)


def test_an_accepted_advance_is_released():
    told = advice.released(decision(action="advance", to_step="P3", answer={"state": "accepted"}), STANDING)
    assert (told["status"], told["step"], told["dose"]) == ("released", "P3", {"run_s": 60})


def test_before_the_first_step_is_released_there_is_no_running():
    told = advice.released(decision(action="advance", from_step="entry", to_step="P1"), None)
    assert (told["status"], told["running"], told["dose"]) == ("awaiting_clinician", "withheld", None)


@pytest.mark.parametrize("running", advice.RUNNING)
@pytest.mark.parametrize("action", advice.ACTIONS)
def test_every_decision_can_be_released_in_one_short_sentence(action, running):
    told = advice.released(decision(action=action, running=running), STANDING)
    assert 0 < len(told["summary"]) <= 140
    assert advice.RUNNING.index(told["running"]) >= advice.RUNNING.index(running)


def test_the_most_careful_course_leads_in_any_order():
    courses = [
        decision(course="a", action="advance", running="as_dosed", not_before="2026-03-09"),
        decision(course="b", action="regress", running="walk_only", not_before=None),
        decision(course="c", action="hold", running="withheld", urgency="stop_and_refer", not_before="2026-03-07"),
    ]
    for order in permutations(courses):
        told = advice.combined(order)
        assert told["course"] == "c"
        assert (told["action"], told["running"], told["urgency"], told["not_before"]) == (
            "regress",
            "withheld",
            "stop_and_refer",
            "2026-03-09",
        )


def test_one_course_is_its_own_advice():
    told = advice.combined([decision()])
    assert {name: told[name] for name in ("action", "running", "urgency", "not_before")} == {
        "action": "hold",
        "running": "as_dosed",
        "urgency": "routine",
        "not_before": "2026-03-07",
    }

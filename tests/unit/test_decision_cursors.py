"""Cursors hold for one list, of one tenant, with one set of filters."""

import pytest

from services.decision.cursors import Cursors
from shared.problems import Problem

CURSORS = Cursors(b"k" * 32)


def refusal(text: str, listing: str = "courses", tenant: str = "clinic-a") -> Problem:
    with pytest.raises(Problem) as refused:
        CURSORS.read(text, listing, tenant)
    return refused.value


@pytest.mark.parametrize("place", [[1], ["2026-03-02T07:00:00Z", "c"], [0, "ä" * 200, None]])
def test_a_cursor_gives_back_the_place_it_was_made_for(place):
    assert CURSORS.read(CURSORS.make("courses", "clinic-a", place), "courses", "clinic-a") == place


@pytest.mark.law("no-crossing")
def test_a_cursor_of_another_tenant_or_list_is_refused():
    made = CURSORS.make("courses", "clinic-a", [1])
    assert refusal(made, tenant="clinic-b").status == 400
    assert refusal(made, listing="decisions").status == 400


@pytest.mark.parametrize("text", ["", "x", "%%%", "ä", "A" * 16, "=", "AAAA====", CURSORS.make("courses", "clinic-a", [1])[:-1] + "!"])
def test_what_is_no_cursor_is_refused_in_a_sentence(text):
    problem = refusal(text)
    assert problem.status == 400
    assert "begin without a cursor" in problem.detail
    assert problem.faults[0]["path"] == "query.cursor"


def test_a_cursor_changed_in_one_character_is_refused():
    made = CURSORS.make("courses", "clinic-a", [1, "c"])
    for place, character in enumerate(made):
        other = "A" if character != "A" else "B"
        changed = made[:place] + other + made[place + 1 :]
        try:
            # The last character may hold bits that decode to nothing.
            assert CURSORS.read(changed, "courses", "clinic-a") == [1, "c"]
            assert place == len(made) - 1
        except Problem:
            pass


def test_cursors_of_another_installation_are_refused():
    assert refusal(Cursors(b"j" * 32).make("courses", "clinic-a", [1])).slug == "invalid-cursor"

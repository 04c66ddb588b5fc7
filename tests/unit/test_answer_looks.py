"""The page behind an answer link shows on what grounds, and nothing that is told can become markup."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.decision.api.answer_looks import page, paragraphs, question
from services.decision.core.protocol import Protocol
from tests.property.histories import BEGIN, PACKS, last, report, two_clean_sessions


def pack() -> Protocol:
    found = PACKS.resolve("progressive-return")
    assert found is not None
    return found


def referred() -> dict[str, Any]:
    return last([*two_clean_sessions(), report(900, "daily", None, BEGIN + timedelta(days=5), pain_nrs=7, flags=["night_pain"])])


def test_whoever_answers_reads_whose_it_is_why_and_what_follows_before_the_form() -> None:
    shown = question(last(two_clean_sessions()), pack())
    grounds, form = shown.split('<form method="post">')
    for words in ("Athlete a1, course c1", "Advance from W1 to W2", "Clean sessions at the step", "Running as dosed", "Repeat W1"):
        assert words in grounds
    assert "Accept: advance from step W1 to step W2" in form and "Decline: hold at step W1" in form


def test_a_referral_stands_out_and_comes_first() -> None:
    shown = question(referred(), pack())
    assert shown.index('class="urgent"') < shown.index("<h2>Why")
    assert "Accept: hold at step W1" in shown and "Decline: still hold" in shown


def test_the_steps_to_choose_among_are_the_protocols_and_without_it_one_is_written() -> None:
    decision = last(two_clean_sessions())
    assert re.findall(r"<option>(.*?)</option>", question(decision, pack())) == [rung.id for rung in pack().ladder]
    assert '<input type="text" name="step"' in question(decision, None)


def test_nothing_that_is_told_becomes_markup() -> None:
    evil = "<script>x</script>\"'&"
    decision = {**referred(), "subject": evil, "course": evil, "summary": evil, "meanwhile": evil, "from_step": evil}
    for one in (question(decision, pack()), question(decision, replace(pack(), ladder=())), paragraphs(evil), page(evil, "")):
        assert "<script" not in one and 'x</script>"' not in one

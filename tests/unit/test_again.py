"""History decided again as all is known now: corrections count where and when they hold."""

from datetime import timedelta
from typing import Any

import orjson

from services.decision.audit.again import Past, Stored, corrected
from shared.events import content_digest
from tests.property.histories import BEGIN, PACKS, Raw, event, report, started


def running_on(day: int, fix: dict[str, Any]) -> str:
    """What running was right at noon of that day, had the correction of a severe pain on day 5 been known from the start."""
    raws: list[Raw] = [
        started("mil-knee-overuse", start_step="P2"),
        report(1, "daily", None, BEGIN + timedelta(days=1), pain_nrs=0),
        report(2, "daily", None, BEGIN + timedelta(days=5), pain_nrs=9),
        event(3, "event.corrected", BEGIN + timedelta(days=6), {"corrects": "e2", **fix}, course=None),
    ]
    past = Past("t", "a1", [Stored(seq, orjson.dumps(raw), content_digest(raw)) for seq, raw in enumerate(raws, 1)])
    decision = corrected(past, PACKS, {}).at("c1", BEGIN + timedelta(days=day, hours=5))
    assert decision is not None
    return str(decision.body["running"])


SEVERE = {"when": "daily", "pain_nrs": 9}


def test_a_correction_that_moves_a_report_counts_from_the_day_it_names():
    moved = {"data": SEVERE, "time": (BEGIN + timedelta(days=2)).isoformat()}
    assert [running_on(day, moved) for day in (1, 2, 3)][1:] == ["withheld", "withheld"] != [running_on(1, moved)] * 2
    assert running_on(3, {"data": SEVERE}) == running_on(1, {"data": SEVERE}) != "withheld" == running_on(5, {"data": SEVERE})


def test_a_correction_that_does_not_hold_moves_nothing():
    refused = {"data": {**SEVERE, "pain_nrs": 99}, "time": (BEGIN + timedelta(days=2)).isoformat()}
    assert running_on(3, refused) != "withheld" == running_on(5, refused)

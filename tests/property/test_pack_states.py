"""No sequence of events makes a pack live that was not checked, tested and approved by others over the very same content."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from services.decision.lifecycle.states import Pack, PackEvent, advance, fold, refusal

PEOPLE = ("ann", "ben", "cleo", "dan")
HASHES = ("h1", "h2", "h3")
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
VALID_DAYS = 30
REGIONS = ({"id": "r1", "words": "pain of 3 advances", "more_permissive": True}, {"id": "r2", "words": "x", "more_permissive": False})


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual one, but for one time in forty."""
    return st.sampled_from([usual] * 39 * len(others) + list(others))


def body(draw: Any, kind: str, hash: str, live: str | None) -> dict[str, Any]:
    base = draw(mostly(live, "h1", "other"))
    ok = draw(mostly(True, False))
    return {
        "drafted": {"digest": draw(st.sampled_from(["d1", "d2"])), "version": f"{hash[1:]}.0.0", "base": base},
        "checked": {"ok": ok},
        "tested": {"ok": ok},
        "submitted": {"base": base, "regions": draw(st.sampled_from([REGIONS[1:], REGIONS]))},
        "approved": {"base": base, "acknowledged": draw(mostly(["r1", "r2"], ["r1"], []))},
        "declined": {"reason": "no"},
        "shadowed": {"behind": {}},
        "scheduled": {"due": "2027-01-01T00:00:00+00:00"},
        "published": {"base": base, "content": draw(mostly(hash, "h9")), "checked": ok, "tested": ok},
        "unpublished": {"reason": "conflict", "void": draw(st.booleans())},
        "rolled_back": {"more_conservative": draw(st.booleans()), "reason": "bad"},
    }.get(kind, {}) | ({"valid_days": VALID_DAYS} if kind == "published" else {})


WAY = ("drafted", "checked", "tested", "simulated", "submitted", "approved", "approved", "shadowed", "published")
ASIDE = ("drafted", "declined", "shadow_ended", "scheduled", "unscheduled", "unpublished", "rolled_back", "rollback_reviewed", "retired")


@st.composite
def lives(draw: st.DrawFn) -> Sequence[PackEvent]:
    """Mostly the right way, with anything in between: else nothing would ever be published."""
    events: list[PackEvent] = []
    at, pack = BEGIN, Pack()
    for _ in range(draw(st.integers(1, 4))):
        hash = draw(st.sampled_from(HASHES))
        for kind in WAY:
            for _ in range(draw(mostly(1, 0, 2))):
                chosen = draw(st.sampled_from(ASIDE)) if draw(mostly(False, True)) else kind
                speaks_of = draw(mostly(hash, *HASHES))
                at += timedelta(days=draw(mostly(0, 1, 31)))
                actor = draw(st.sampled_from(PEOPLE))
                event = PackEvent(chosen, actor, "clinician", speaks_of, at, body(draw, chosen, speaks_of, pack.live))  # type: ignore[arg-type]
                events.append(event)
                if refusal(pack, event) is None:
                    pack = advance(pack, event)
    return events


def taken(events: Sequence[PackEvent]) -> list[tuple[Pack, PackEvent]]:
    """The events that took effect, each with the pack after it."""
    pack, found = Pack(), []
    for event in events:
        if refusal(pack, event) is None:
            pack = advance(pack, event)
            found.append((pack, event))
    return found


@pytest.mark.law("four-eyes")
@given(lives())
def test_nothing_goes_live_without_check_tests_backtest_and_others_approval_of_the_same_content(events: Sequence[PackEvent]) -> None:
    steps = [event for _, event in taken(events)]
    for n, event in enumerate(steps):
        if event.kind != "published":
            continue
        drafted = max(m for m, one in enumerate(steps[:n]) if one.kind == "drafted")
        assert steps[drafted].hash == event.hash, "what goes live is what was drafted last, to the byte"
        since = steps[drafted:n]
        assert all(one.hash == event.hash for one in since if one.kind not in ("rolled_back", "rollback_reviewed", "retired"))
        for needed in ("checked", "tested"):
            assert any(one.kind == needed and one.body["ok"] for one in since)
        assert any(one.kind == "simulated" for one in since)
        submitted = max(m for m, one in enumerate(since) if one.kind == "submitted")
        regions = [one["id"] for one in since[submitted].body["regions"] if one["more_permissive"]]
        valid = [
            one
            for one in since[submitted:]
            if one.kind == "approved" and set(regions) <= set(one.body["acknowledged"]) and (event.at - one.at).days <= VALID_DAYS
        ]
        first = max((m for m, one in enumerate(steps[:drafted]) if one.kind == "published"), default=0)
        wrote = {one.actor for one in steps[first:n] if one.kind == "drafted"}
        wrote |= {one.actor for one in steps[:n] if one.kind == "drafted" and one.hash == event.hash}
        approvers = {one.actor for one in valid}
        assert not approvers & wrote
        assert len(approvers) >= (2 if regions else 1)
        assert not any(one.kind == "declined" and one.hash == event.hash for one in steps[:n])


@pytest.mark.law("four-eyes")
@settings(max_examples=50)
@given(lives())
def test_what_is_live_was_published_here_or_stood_before_it(events: Sequence[PackEvent]) -> None:
    published = {"other", "h1", None}
    for pack, event in taken(events):
        if event.kind == "published":
            assert event.body["base"] in published, "nothing is published over what it was not compared with"
            published.add(event.hash)
        assert pack.live in published


@settings(max_examples=50)
@given(lives())
def test_an_event_that_may_not_follow_changes_nothing_but_the_count(events: Sequence[PackEvent]) -> None:
    kept = [event for _, event in taken(events)]
    assert replace(fold(events), seq=0) == replace(fold(kept), seq=0)
    assert fold(events).seq == len(events)

"""The rules of a pack's life, one by one, as the people in it meet them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.decision.lifecycle.states import Pack, PackEvent, advance, refusal

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FREER = {"id": "freer", "words": "pain of 3 no longer holds", "more_permissive": True}
STRICTER = {"id": "stricter", "words": "swelling of 1+ holds now", "more_permissive": False}


class Life:
    """A pack, told step by step."""

    def __init__(self, *regions: dict[str, Any]) -> None:
        self.pack = Pack()
        self.regions = list(regions)
        self.at = NOW

    def refused(self, kind: str, actor: str, hash: str = "h1", **body: Any) -> str:
        told = refusal(self.pack, self._event(kind, actor, hash, body))
        assert told is not None, f"{kind} by {actor} was permitted"
        return told

    def do(self, kind: str, actor: str = "author", hash: str = "h1", **body: Any) -> "Life":
        event = self._event(kind, actor, hash, body)
        told = refusal(self.pack, event)
        assert told is None, told
        self.pack = advance(self.pack, event)
        return self

    def _event(self, kind: str, actor: str, hash: str, body: dict[str, Any]) -> PackEvent:
        base = self.pack.live
        usual: dict[str, dict[str, Any]] = {
            "drafted": {"digest": f"bytes of {hash}", "version": f"{hash[1:]}.0.0", "base": base},
            "checked": {"ok": True},
            "tested": {"ok": True},
            "submitted": {"base": base, "regions": self.regions},
            "approved": {"base": base, "acknowledged": []},
            "published": {"base": base, "content": hash, "checked": True, "tested": True, "valid_days": 30},
            "shadowed": {"behind": {}},
            "rolled_back": {"more_conservative": False, "reason": "it advanced too soon"},
        }
        return PackEvent(kind, actor, "clinician", hash, self.at, usual.get(kind, {}) | body)  # type: ignore[arg-type]

    def reviewed(self, hash: str = "h1", author: str = "author") -> "Life":
        for kind in ("drafted", "checked", "tested", "simulated", "submitted"):
            self.do(kind, author, hash)
        return self

    def published(self, hash: str = "h1", author: str = "author") -> "Life":
        return self.reviewed(hash, author).do("approved", "lead", hash).do("published", "lead", hash)

    @property
    def state(self) -> str:
        assert self.pack.revision is not None
        return self.pack.revision.state


def test_a_pack_goes_from_draft_to_live_through_every_state() -> None:
    life, seen = Life(), []
    for kind in ("drafted", "checked", "tested", "simulated", "submitted"):
        seen.append(life.do(kind).state)
    seen += [life.do("approved", "lead").state, life.do("shadowed", "lead").state, life.do("published", "lead").state]
    assert seen == ["draft", "checked", "tested", "simulated", "in_review", "approved", "shadow", "live"]
    assert life.pack.live == "h1" and [one.state for one in life.pack.releases] == ["live"]


def test_no_step_may_be_left_out() -> None:
    life = Life().do("drafted")
    assert "has not passed its checks" in life.refused("tested", "author")
    assert "a backtest follows" in life.do("checked").refused("simulated", "author")
    assert "backtest it, then submit" in life.do("tested").refused("submitted", "author")
    assert "once it was submitted" in life.do("simulated").refused("approved", "lead")
    assert "only what is approved" in life.do("submitted").refused("published", "lead")


def test_a_draft_whose_checks_fail_again_is_unchecked_again() -> None:
    life = Life().do("drafted").do("checked").do("tested").do("checked", ok=False)
    assert life.state == "draft"


@pytest.mark.law("four-eyes")
def test_nobody_approves_what_they_wrote_any_of() -> None:
    life = Life().do("drafted", "ann", "h1").do("drafted", "ben", "h2")
    for kind in ("checked", "tested", "simulated", "submitted"):
        life.do(kind, "ben", "h2")
    for author in ("ann", "ben"):
        assert "may not approve" in life.refused("approved", author, "h2")
    assert life.do("approved", "lead", "h2").state == "approved"


@pytest.mark.law("four-eyes")
def test_who_wrote_the_same_content_long_ago_is_still_its_author() -> None:
    life = Life().do("drafted", "ann", "h2").published("h1", "ben").reviewed("h2", "ben")
    assert "may not approve" in life.refused("approved", "ann", "h2")


@pytest.mark.law("four-eyes")
def test_any_byte_changed_voids_the_approval_even_where_the_meaning_stays() -> None:
    life = Life().reviewed().do("approved", "lead")
    assert "byte for byte" in life.refused("drafted", "author")
    life.do("drafted", "author", digest="a comment was added")
    assert life.state == "draft" and life.pack.revision is not None and not life.pack.revision.approvals
    assert life.refused("published", "lead")


def test_each_more_permissive_region_is_acknowledged_by_two_approvers() -> None:
    life = Life(FREER, STRICTER).reviewed()
    assert "missing: freer" in life.refused("approved", "lead")
    assert life.do("approved", "lead", acknowledged=["freer"]).state == "in_review"
    assert life.do("approved", "lead", acknowledged=["freer"]).state == "in_review", "one person twice is one person"
    assert "in review" in life.refused("published", "lead")
    assert life.do("approved", "second", acknowledged=["freer"]).state == "approved"


def test_a_change_that_is_only_more_conservative_needs_one_approver() -> None:
    assert Life(STRICTER).reviewed().do("approved", "lead").state == "approved"


def test_a_decline_blocks_until_a_change_is_drafted() -> None:
    life = Life().reviewed().do("approved", "lead").do("declined", "second", reason="the rest day is missing")
    assert "was declined" in life.refused("published", "lead") and "was declined" in life.refused("checked", "author")
    assert life.do("drafted", "author", "h2").state == "draft"


def test_declined_content_stays_declined_with_another_comment_and_after_a_change_of_it() -> None:
    life = Life().reviewed().do("declined", "second", reason="the rest day is missing")
    assert "a comment or its cases alone" in life.refused("drafted", "author", digest="the same rules under another comment")
    life.do("drafted", "author", "h2")
    assert "was declined" in life.refused("drafted", "author", digest="back to the first")
    assert life.state == "draft"


def test_an_approval_grows_old() -> None:
    life = Life().reviewed().do("approved", "lead")
    life.at += timedelta(days=31)
    assert "older than 30 days" in life.refused("published", "lead")
    life.do("approved", "lead")
    assert life.do("published", "lead").state == "live"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"base": "another"}, "another is"),
        ({"content": "h9"}, "today's floor"),
        ({"checked": False}, "checks do not pass any more"),
        ({"tested": False}, "tests do not pass any more"),
    ],
)
def test_a_publication_is_refused_by_name_when_anything_changed_since(body: dict[str, Any], why: str) -> None:
    life = Life().reviewed().do("approved", "lead")
    assert why in life.refused("published", "lead", **body)
    life.do("unpublished", "lead", reason=why, void="base" in body or "content" in body)
    assert life.pack.revision is not None and life.pack.revision.not_published == why and life.pack.live is None
    assert life.state == ("checked" if "base" in body or "content" in body else "approved")


def test_a_publication_is_planned_for_a_moment_to_come() -> None:
    life = Life().reviewed().do("approved", "lead")
    assert "has passed" in life.refused("scheduled", "lead", due=NOW.isoformat())
    life.do("scheduled", "lead", due=(NOW + timedelta(days=1)).isoformat())
    assert life.pack.revision is not None and life.pack.revision.scheduled_by == ("lead", "clinician")
    assert life.do("unscheduled", "lead").pack.revision.due is None  # type: ignore[union-attr]


def test_a_version_is_one_content_for_ever() -> None:
    life = Life().published()
    assert "raise the version" in life.refused("drafted", "author", "h2", version="1.0.0")
    assert "live already" in life.refused("drafted", "author", "h1")


def test_rolling_back_is_one_step_to_the_content_before() -> None:
    life = Life().published("h1").published("h2").do("rolled_back", "lead", "h1")
    assert life.pack.live == "h1"
    assert {one.hash: one.state for one in life.pack.releases} == {"h1": "live", "h2": "retired"}
    assert "somebody else" in life.refused("rollback_reviewed", "lead")
    assert life.do("rollback_reviewed", "second").pack.rollback is None
    assert "retired" in life.refused("rolled_back", "lead", "h2")


def test_rolling_back_further_is_only_to_what_is_more_conservative() -> None:
    life = Life().published("h1").published("h2").published("h3")
    assert "more conservative" in life.refused("rolled_back", "lead", "h1")
    assert life.do("rolled_back", "lead", "h1", more_conservative=True).pack.live == "h1"


def test_rolling_back_voids_what_was_compared_with_the_content_that_left() -> None:
    life = Life().published("h1").published("h2").reviewed("h3").do("approved", "lead", "h3").do("rolled_back", "lead", "h1")
    assert life.state == "checked"
    assert life.refused("published", "lead", "h3")


def test_a_retired_pack_is_not_live_and_comes_back_only_as_a_change() -> None:
    life = Life().published("h1").do("retired", "lead")
    assert life.pack.live is None and life.pack.releases[0].state == "retired"
    assert "published before" in life.refused("drafted", "author", "h1")

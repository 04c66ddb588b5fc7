"""By which rules one event of a pack may follow another. Every answer is a sentence for whoever asked."""

from datetime import datetime
from typing import Final

from services.decision.lifecycle.pack import AGREED, BEFORE_REVIEW, Pack, PackEvent, Revision


def refusal(pack: Pack, event: PackEvent) -> str | None:
    """Why this event may not follow, in words for whoever asked for it; None when it may."""
    if event.kind == "drafted":
        return _draft(pack, event)
    if event.kind == "shipped":
        return "only a release ships packs"
    if event.kind in ("rolled_back", "rollback_reviewed", "retired"):
        return _released(pack, event)
    revision = pack.revision
    if revision is None or revision.state == "live":
        return "there is no draft: draft a change first"
    if event.hash != revision.hash:
        return f"the draft at hand is {revision.hash}: read it, and name that"
    if revision.declined is not None:
        return "this content was declined: draft a change of it"
    return _STEPS[event.kind](revision, event)


def _draft(pack: Pack, event: PackEvent) -> str | None:
    now = pack.revision
    version = event.body["version"]
    if event.hash == pack.live:
        return "this is what is live already: change it, and raise its version"
    if now is not None and now.state != "live" and (now.hash, now.digest) == (event.hash, event.body["digest"]):
        return "this is the draft at hand already, byte for byte"
    if event.hash in pack.declined:
        return "this content was declined: draft a change of it; a comment or its cases alone are none"
    taken = next((one for one in pack.releases if one.version == version and one.hash != event.hash), None)
    if taken is not None:
        return f"version {version} was published with other content ({taken.hash}): raise the version"
    if pack.release(event.hash) is not None:
        return "this content was published before: roll back to it instead of drafting it again"
    return None


def _checked(revision: Revision, event: PackEvent) -> str | None:
    return None if revision.state in BEFORE_REVIEW else f"the draft is {_word(revision)}: checks come before the review"


def _tested(revision: Revision, event: PackEvent) -> str | None:
    if revision.state == "draft":
        return "the draft has not passed its checks: check it first"
    return None if revision.state in BEFORE_REVIEW else f"the draft is {_word(revision)}: tests come before the review"


def _simulated(revision: Revision, event: PackEvent) -> str | None:
    return None if revision.state in ("tested", "simulated") else f"the draft is {_word(revision)}: a backtest follows passed tests"


def _submitted(revision: Revision, event: PackEvent) -> str | None:
    if revision.state == "simulated":
        return None
    return f"the draft is {_word(revision)}: check, test and backtest it, then submit it"


def _approved(revision: Revision, event: PackEvent) -> str | None:
    if revision.state not in ("in_review", *AGREED):
        return f"the draft is {_word(revision)}: it is approved once it was submitted"
    if event.actor in revision.authors:
        return "who wrote any of it may not approve it: ask somebody who wrote none"
    if event.body["base"] != revision.base:
        return "what it was compared with is not live any more: backtest and submit it again"
    missed = [region for region in revision.permissive if region not in event.body["acknowledged"]]
    if missed:
        return f"each more permissive region is to be acknowledged; missing: {', '.join(missed)}"
    return None


def _declined(revision: Revision, event: PackEvent) -> str | None:
    if revision.state not in ("in_review", *AGREED):
        return f"the draft is {_word(revision)}: only what is in review can be declined"
    return "who wrote any of it may not decline it: draft a change instead" if event.actor in revision.authors else None


def _shadowed(revision: Revision, event: PackEvent) -> str | None:
    return None if revision.state == "approved" else f"the draft is {_word(revision)}: shadow follows approval"


def _shadow_ended(revision: Revision, event: PackEvent) -> str | None:
    return None if revision.state == "shadow" else "it does not run in shadow"


def _scheduled(revision: Revision, event: PackEvent) -> str | None:
    if revision.state not in AGREED:
        return f"the draft is {_word(revision)}: only what is approved can be published"
    due = datetime.fromisoformat(event.body["due"])
    return None if due > event.at else "the moment has passed: name one to come, or none to publish now"


def _unscheduled(revision: Revision, event: PackEvent) -> str | None:
    return None if revision.due is not None else "no publication is planned"


def _published(revision: Revision, event: PackEvent) -> str | None:
    body = event.body
    if revision.state not in AGREED:
        return f"the draft is {_word(revision)}: only what is approved can be published"
    fresh = [one for one in revision.fresh(event.at, body["valid_days"]) if one.actor not in revision.authors]
    if len(fresh) < revision.quorum:
        return f"an approval is older than {body['valid_days']} days: have it approved again"
    if body["base"] != revision.base:
        return f"what it was compared with is not live any more: {revision.base or 'nothing'} was, {body['base'] or 'nothing'} is"
    if body["content"] != revision.hash:
        return f"the floor it was approved with changed: with today's floor its content is {body['content']}"
    if not body["checked"] or not body["tested"]:
        return f"its {'checks' if not body['checked'] else 'tests'} do not pass any more"
    return None


def _unpublished(revision: Revision, event: PackEvent) -> str | None:
    return None if revision.state in AGREED else "nothing was to be published"


def _released(pack: Pack, event: PackEvent) -> str | None:
    if event.kind == "rollback_reviewed":
        if pack.rollback is None:
            return "no roll-back waits for a second look"
        return "somebody else than who rolled back has to look at it" if event.actor == pack.rollback.actor else None
    if event.kind == "retired":
        release = pack.release(event.hash)
        if release is None:
            return "this content was never published here"
        return "it is retired already" if release.state == "retired" else None
    if pack.live is None:
        return "nothing of this pack was published here: there is nothing to roll back"
    if event.hash == pack.live:
        return "this is what is live already"
    release = pack.release(event.hash)
    if release is not None and release.state == "retired":
        return "that content is retired"
    if event.hash != pack.previous and (release is None or event.body["more_conservative"] is not True):
        return (
            "in one step only the previous content, or an older one that is proved more conservative, can come back: draft it as a change"
        )
    return None


def _word(revision: Revision) -> str:
    return {"in_review": "in review", "shadow": "running in shadow", "draft": "unchecked"}.get(revision.state, revision.state)


_STEPS: Final = {
    "checked": _checked,
    "tested": _tested,
    "simulated": _simulated,
    "submitted": _submitted,
    "approved": _approved,
    "declined": _declined,
    "shadowed": _shadowed,
    "shadow_ended": _shadow_ended,
    "scheduled": _scheduled,
    "unscheduled": _unscheduled,
    "published": _published,
    "unpublished": _unpublished,
}

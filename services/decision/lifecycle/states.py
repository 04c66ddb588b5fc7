"""A pack's life as a pure fold of its events, and the rules by which one event may follow another.

`refusal` says why an event may not follow; `advance` takes one that may. `fold` leaves out what may not, so no sequence of events, however
it came about, makes a pack live without check, tests and the approval of somebody who wrote none of it, all over the same content hash.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

State = Literal["draft", "checked", "tested", "simulated", "in_review", "approved", "shadow", "live"]
Kind = Literal[
    "shipped",
    "drafted",
    "checked",
    "tested",
    "simulated",
    "submitted",
    "approved",
    "declined",
    "shadowed",
    "shadow_ended",
    "scheduled",
    "unscheduled",
    "published",
    "unpublished",
    "rolled_back",
    "rollback_reviewed",
    "retired",
]
AGREED: Final = ("approved", "shadow")
BEFORE_REVIEW: Final = ("draft", "checked", "tested", "simulated")


@dataclass(frozen=True, slots=True)
class PackEvent:
    """Something that happened to a pack. `actor` is the id of the key that did it; `hash` the content it speaks of."""

    kind: Kind
    actor: str
    role: str
    hash: str
    at: datetime
    body: Mapping[str, Any] = field(default_factory=dict)


class Region(NamedTuple):
    """A part of the fact space where two packs do not say the same, in words."""

    id: str
    words: str
    more_permissive: bool


class Approval(NamedTuple):
    actor: str
    at: datetime
    acknowledged: tuple[str, ...]


class Shadow(NamedTuple):
    """Since when, and the last partition sequence of history at that moment, per partition."""

    since: datetime
    behind: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Revision:
    """The content at hand. `digest` is that of its bytes; `base` the hash that was live when it was drafted or submitted."""

    hash: str
    digest: str
    version: str
    base: str | None
    authors: tuple[str, ...]
    at: datetime
    state: State = "draft"
    check: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    simulation: Mapping[str, Any] | None = None
    regions: tuple[Region, ...] = ()
    approvals: tuple[Approval, ...] = ()
    declined: Mapping[str, Any] | None = None
    due: datetime | None = None
    scheduled_by: tuple[str, str] | None = None
    """Key id and role."""
    not_published: str | None = None
    """Why the last try to publish left it unpublished."""
    shadow: Shadow | None = None

    @property
    def permissive(self) -> tuple[str, ...]:
        """The regions that an approver has to acknowledge."""
        return tuple(region.id for region in self.regions if region.more_permissive)

    @property
    def quorum(self) -> int:
        """Two approvers where anything becomes more permissive."""
        return 2 if self.permissive else 1

    def fresh(self, now: datetime, valid_days: int) -> tuple[Approval, ...]:
        """The approvals that are not older than `valid_days`."""
        return tuple(one for one in self.approvals if now - one.at <= timedelta(days=valid_days))


class Release(NamedTuple):
    """Content that was published: `live`, `superseded` by a later one, or `retired`, which no new course may name."""

    hash: str
    version: str
    at: datetime
    state: Literal["live", "superseded", "retired"]


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack of one scope after its events. With `live` None, the shared pack of that id, if there is one, is the live one."""

    seq: int = 0
    revision: Revision | None = None
    live: str | None = None
    previous: str | None = None
    """What was live before, as long as rolling back to it makes sense."""
    releases: tuple[Release, ...] = ()
    writers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Content hash to everybody who ever drafted exactly that."""
    rollback: PackEvent | None = None
    """A roll-back that nobody else has looked at yet."""

    def release(self, hash: str) -> Release | None:
        return next((one for one in self.releases if one.hash == hash), None)


def fold(events: Iterable[PackEvent]) -> Pack:
    """The pack after these events; one that may not follow takes no effect."""
    pack = Pack()
    for event in events:
        pack = replace(pack, seq=pack.seq + 1) if refusal(pack, event) else advance(pack, event)
    return pack


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


def advance(pack: Pack, event: PackEvent) -> Pack:
    """The pack after an event that may follow."""
    pack = replace(pack, seq=pack.seq + 1)
    if event.kind == "drafted":
        return _drafted(pack, event)
    if event.kind == "rolled_back":
        return _roll_back(pack, event)
    if event.kind == "rollback_reviewed":
        return replace(pack, rollback=None)
    if event.kind == "retired":
        return _retire(pack, event)
    assert pack.revision is not None, "only a draft at hand takes such an event"
    if event.kind == "published":
        return _publish(pack, pack.revision, event)
    return replace(pack, revision=_revised(pack.revision, event))


def _drafted(pack: Pack, event: PackEvent) -> Pack:
    body, now = event.body, pack.revision
    earlier = now.authors if now is not None and now.state != "live" else ()
    wrote = (*pack.writers.get(event.hash, ()), event.actor)
    revision = Revision(
        hash=event.hash,
        digest=body["digest"],
        version=body["version"],
        base=body["base"],
        authors=tuple(sorted({*earlier, *wrote})),
        at=event.at,
    )
    return replace(pack, revision=revision, writers={**pack.writers, event.hash: tuple(sorted({*wrote}))})


def _revised(revision: Revision, event: PackEvent) -> Revision:
    body = event.body
    if event.kind == "checked":
        state: State = ("checked" if revision.state == "draft" else revision.state) if body["ok"] else "draft"
        return replace(revision, state=state, check=body)
    if event.kind == "tested":
        state = ("tested" if revision.state == "checked" else revision.state) if body["ok"] else "checked"
        return replace(revision, state=state, test=body)
    if event.kind == "simulated":
        return replace(revision, state="simulated", simulation=body)
    if event.kind == "submitted":
        regions = tuple(Region(one["id"], one["words"], one["more_permissive"]) for one in body["regions"])
        return replace(revision, state="in_review", regions=regions, base=body["base"], approvals=(), not_published=None)
    if event.kind == "approved":
        others = tuple(one for one in revision.approvals if one.actor != event.actor)
        approvals = (*others, Approval(event.actor, event.at, tuple(body["acknowledged"])))
        state = "approved" if revision.state == "in_review" and len(approvals) >= revision.quorum else revision.state
        return replace(revision, state=state, approvals=approvals)
    if event.kind == "declined":
        return replace(
            revision, state="draft", approvals=(), due=None, scheduled_by=None, shadow=None, declined={"by": event.actor, **body}
        )
    if event.kind == "shadowed":
        return replace(revision, state="shadow", shadow=Shadow(event.at, body["behind"]))
    if event.kind == "shadow_ended":
        return replace(revision, state="approved", shadow=None)
    if event.kind == "scheduled":
        due = datetime.fromisoformat(body["due"])
        return replace(revision, due=due, scheduled_by=(event.actor, event.role), not_published=None)
    unplanned = replace(revision, due=None, scheduled_by=None)
    if event.kind == "unpublished":
        unplanned = replace(unplanned, not_published=body["reason"])
        return _unapproved(unplanned) if body["void"] else unplanned
    return unplanned


def _unapproved(revision: Revision) -> Revision:
    """What it was compared with, or its floor, is another now: from its tests on, everything has to be done again."""
    state: State = "checked" if revision.state in ("simulated", "in_review", *AGREED) else revision.state
    return replace(revision, state=state, regions=(), approvals=(), due=None, scheduled_by=None, shadow=None)


def _publish(pack: Pack, revision: Revision, event: PackEvent) -> Pack:
    releases = tuple(one._replace(state="superseded") if one.state == "live" else one for one in pack.releases)
    return replace(
        pack,
        live=event.hash,
        previous=event.body["base"],
        releases=(*releases, Release(event.hash, revision.version, event.at, "live")),
        revision=replace(revision, state="live", due=None, scheduled_by=None, shadow=None, not_published=None),
        rollback=None,
    )


def _roll_back(pack: Pack, event: PackEvent) -> Pack:
    """What was live is retired: no new course may name it."""
    left = {pack.live: "retired", event.hash: "live"}
    releases = tuple(one._replace(state=left.get(one.hash, one.state)) for one in pack.releases)  # type: ignore[arg-type]
    return replace(_another_base(pack), live=event.hash, previous=None, releases=releases, rollback=event)


def _retire(pack: Pack, event: PackEvent) -> Pack:
    releases = tuple(one._replace(state="retired") if one.hash == event.hash else one for one in pack.releases)
    if event.hash == pack.live:
        return replace(_another_base(pack), live=None, previous=None, releases=releases)
    return replace(pack, releases=releases, previous=None if pack.previous == event.hash else pack.previous)


def _another_base(pack: Pack) -> Pack:
    revision = pack.revision
    return pack if revision is None or revision.state == "live" else replace(pack, revision=_unapproved(revision))

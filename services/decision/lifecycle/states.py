"""A pack's life as a pure fold of its events.

`refusal` says why an event may not follow; `advance` takes one that may. `fold` leaves out what may not, so no sequence of events, however
it came about, makes a pack live without check, tests and the approval of somebody who wrote none of it, all over the same content hash.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from services.decision.lifecycle.pack import AGREED, Approval, Kind, Pack, PackEvent, Region, Release, Revision, Shadow, State
from services.decision.lifecycle.permitting import refusal

__all__ = [
    "AGREED",
    "Approval",
    "Kind",
    "Pack",
    "PackEvent",
    "Region",
    "Release",
    "Revision",
    "Shadow",
    "State",
    "advance",
    "fold",
    "refusal",
]


def fold(events: Iterable[PackEvent]) -> Pack:
    """The pack after these events; one that may not follow takes no effect."""
    pack = Pack()
    for event in events:
        pack = replace(pack, seq=pack.seq + 1) if refusal(pack, event) else advance(pack, event)
    return pack


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
    if event.kind == "declined":
        pack = replace(pack, declined=(*pack.declined, event.hash))
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

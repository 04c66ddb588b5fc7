"""What is known of a rule pack: what happened to it, the content at hand with its review, and what was published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    declined: tuple[str, ...] = ()
    """Content that somebody declined: it stays so, whatever is changed beside it."""
    rollback: PackEvent | None = None
    """A roll-back that nobody else has looked at yet."""

    def release(self, hash: str) -> Release | None:
        return next((one for one in self.releases if one.hash == hash), None)

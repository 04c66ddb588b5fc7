"""Shapes of the requests and answers about the life of rule packs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.decision.api.forms import Shape
from services.decision.lifecycle.states import Pack, PackEvent, Revision

Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="The content hash that is meant")]
Reason = Annotated[str, Field(min_length=1, max_length=1000)]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DraftForm(Asked):
    """The whole pack as YAML text."""

    source: Annotated[str, Field(min_length=1, max_length=1 << 20)]
    cases: Annotated[str, Field(min_length=1, max_length=1 << 20)] | None = None
    """Its recorded cases, as `milepost protocol test --accept` writes them; without, borders are made of the pack itself."""


class HashForm(Asked):
    hash: Hash


class ApprovalForm(HashForm):
    """`acknowledged` names each region of the review that is more permissive."""

    acknowledged: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=1000)] = []


class ReasonForm(HashForm):
    reason: Reason


class PublishForm(HashForm):
    """At once, or `at` a moment to come."""

    at: AwareDatetime | None = None


class RollbackForm(Asked):
    """To what was live before, or `to` an older content that is nowhere more permissive than what is live."""

    to: Hash | None = None
    reason: Reason


class BacktestAsked(HashForm):
    """`over`: the protocol whose courses are decided again; the draft's own id where none is named."""

    over: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class PackLife(Shape):
    """Where a pack stands: the draft at hand with its review, what is live, and everything that was published."""

    id: str
    state: Literal["draft", "checked", "tested", "simulated", "in_review", "approved", "shadow", "live", "retired"]
    live: str | None
    revision: dict[str, Any] | None
    releases: list[dict[str, Any]]


class PackHistory(Shape):
    items: list[dict[str, Any]]


class SourceForm(Shape):
    id: str
    hash: str
    source: str


class BacktestForm(Shape):
    """A run of a draft over stored history. What would have come of the other decisions nobody observed."""

    id: str
    protocol: str
    hash: str
    over: str
    state: Literal["running", "done", "cancelled", "failed"]
    athletes: int
    done: int
    counts: dict[str, Any]


class TestsForm(Shape):
    """A run of a draft's tests: `done` of `mutants` tried."""

    id: str
    protocol: str
    hash: str
    state: Literal["running", "done", "cancelled", "failed"]
    because: str | None
    mutants: int
    done: int


class BacktestsForm(Shape):
    items: list[BacktestForm]


class DifferencesPage(Shape):
    items: list[dict[str, Any]]
    next: str | None


class ShadowForm(Shape):
    """What the pack in shadow would have decided beside what is live."""

    id: str
    hash: str | None
    counts: dict[str, Any]
    items: list[dict[str, Any]]


def life(id: str, pack: Pack) -> dict[str, Any]:
    """The answer about a pack."""
    revision = pack.revision
    at_rest = revision is None or revision.state == "live"
    state = revision.state if revision is not None and not at_rest else "retired" if pack.live is None else "live"
    rollback = pack.rollback
    return {
        "id": id,
        "state": state,
        "live": pack.live,
        "previous": pack.previous,
        "revision": None if revision is None else shown(revision),
        "releases": [
            {"version": one.version, "hash": one.hash, "published": stamp(one.at), "state": one.state} for one in reversed(pack.releases)
        ],
        "rollback": None if rollback is None else {"by": rollback.actor, "at": stamp(rollback.at), "reason": rollback.body["reason"]},
    }


def shown(revision: Revision) -> dict[str, Any]:
    return {
        "hash": revision.hash,
        "version": revision.version,
        "state": revision.state,
        "drafted": stamp(revision.at),
        "base": revision.base,
        "authors": list(revision.authors),
        "check": revision.check,
        "test": revision.test,
        "backtest": revision.simulation,
        "regions": [region._asdict() for region in revision.regions],
        "to_acknowledge": list(revision.permissive),
        "approvals": [{"by": one.actor, "at": stamp(one.at), "acknowledged": list(one.acknowledged)} for one in revision.approvals],
        "approvals_needed": revision.quorum,
        "declined": revision.declined,
        "publishes": None if revision.due is None else stamp(revision.due),
        "not_published": revision.not_published,
        "shadow_since": None if revision.shadow is None else stamp(revision.shadow.since),
    }


def event(n: int, one: PackEvent) -> dict[str, Any]:
    body = (
        {name: "drafted with it" if name == "cases" else value for name, value in one.body.items()} if one.kind == "drafted" else one.body
    )
    return {"seq": n, "kind": one.kind, "by": one.actor, "role": one.role, "hash": one.hash, "at": stamp(one.at), **body}


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

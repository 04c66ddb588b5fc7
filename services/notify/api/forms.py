"""Shapes of requests and answers of the endpoint routes."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EndpointType = Literal[
    "recommendation.changed",
    "recommendation.superseded",
    "recommendation.unanswered",
    "recommendation.expired",
    "report.due",
    "course.referred",
    "course.started",
    "course.stalled",
    "course.ended",
    "event.refused",
    "endpoint.disabled",
    "endpoint.failing",
    "endpoint.recovered",
    "delivery.exhausted",
]
NoticeType = EndpointType | Literal["test", "endpoint.verification"]
Role = Literal["clinician", "coach", "athlete", "integrator"]
Payload = Literal["thin", "full"]
Scheme = Literal["v1", "v1a"]
State = Literal["pending", "delivered", "cancelled", "exhausted", "blocked"]
Printable = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Local time, `HH:MM`")]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
Types = Annotated[list[EndpointType], Field(min_length=1, max_length=20)]
Schemes = Annotated[list[Scheme], Field(min_length=1, max_length=2)]
OwnSecret = Annotated[str, Field(max_length=200)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class QuietHours(_Asked):
    """When an endpoint's reader is left alone: from one local time to another, over midnight where `until` is the earlier."""

    begin: Clock
    until: Clock
    timezone: Annotated[str | None, Field(max_length=64, description="IANA zone; absent: the athlete's")] = None


class NewEndpoint(_Asked):
    """What a new endpoint is told, and where."""

    url: Annotated[Url, Field(description="https, an allowed port, no user name, no fragment, not a private address")]
    description: Annotated[Printable, Field(description="For people; not sent")] = ""
    types: Annotated[Types | None, Field(description="What is sent; absent: all that the role may have, operational ones apart")] = None
    payload: Annotated[Payload, Field(description="`thin`: what changed and where to read it; `full`: the whole decision")] = "thin"
    role: Annotated[
        Role, Field(description="Who reads it. `coach`: status, dose and stop rules only, and an advance only once it is released")
    ] = "integrator"
    secret: Annotated[OwnSecret | None, Field(description="`whsec_` and base64 of 24 to 64 bytes; absent: 32 random bytes are drawn")] = (
        None
    )
    signatures: Annotated[
        Schemes | None, Field(description="`v1`: HMAC-SHA256; `v1a`: Ed25519, verified with a public key; absent: `v1`")
    ] = None
    escalates: Annotated[bool, Field(description="A second endpoint: hears besides what nobody took up in time")] = False
    third_party: Annotated[bool, Field(description="Not a system of the clinic's own: terms `no_third_party` block it")] = False
    quiet_hours: QuietHours | None = None


class ChangedEndpoint(_Asked):
    """What is to change; what is absent stays. A new `url` has to be verified anew."""

    url: Url | None = None
    description: Printable | None = None
    types: Annotated[Types | None, Field(description="null: all that the role may have")] = None
    payload: Payload | None = None
    role: Role | None = None
    escalates: bool | None = None
    third_party: bool | None = None
    quiet_hours: Annotated[QuietHours | None, Field(description="null: none")] = None
    enabled: Annotated[bool | None, Field(description="true takes a disabled endpoint into use again; false disables it")] = None


class Rotation(_Asked):
    """How the secret changes."""

    overlap_s: Annotated[int, Field(ge=0, le=604_800, description="So long the secret before it signs too, in seconds")] = 86_400
    secret: OwnSecret | None = None
    signatures: Annotated[Schemes | None, Field(description="Absent: as before")] = None


class Challenge(_Asked):
    """The challenge that the endpoint was sent, when its receiver cannot echo it by itself; absent: it is sent (again)."""

    challenge: Annotated[str | None, Field(min_length=1, max_length=200)] = None


class Recovery(_Asked):
    """From when on."""

    since: Annotated[str, Field(max_length=64, description="RFC 3339 with offset")]


class EndpointForm(BaseModel):
    """An endpoint; its secret was shown once, at its creation or last rotation."""

    id: str
    url: str
    description: str
    types: list[EndpointType]
    payload: Payload
    role: Role
    signatures: list[Scheme]
    public_key: Annotated[str | None, Field(description="`whpk_…`, with which `v1a` is verified")]
    retired_until: Annotated[datetime | None, Field(description="Until then, the secret before the last rotation signs too")]
    verified_at: Annotated[datetime | None, Field(description="null: nothing personal is sent until the endpoint is verified")]
    escalates: bool
    third_party: bool
    quiet_hours: QuietHours | None
    answers_by: Annotated[str | None, Field(description="The clinician's key in whose name links in its notices answer")]
    breaker: Annotated[Literal["closed", "open", "half_open"], Field(description="`open`: rests after failures; `half_open`: one is tried")]
    failing_since: datetime | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_because: str | None


class EndpointWithSecret(EndpointForm):
    """An endpoint with its new secret, which is shown this once; null where it signs with `v1a` only."""

    secret: str | None


class EndpointList(BaseModel):
    items: list[EndpointForm]


class Asked(BaseModel):
    """A delivery that is under way; `GET /v1/endpoints/{endpoint}/deliveries` shows what becomes of it."""

    delivery: str
    notice: Annotated[str, Field(description="The `webhook-id` it is sent under")]


class Verification(BaseModel):
    """Whether the endpoint proved to be its owner's, and what the receiver answered."""

    verified: bool
    status: int | None
    error: str | None


class Recovered(BaseModel):
    """What a recovery did: `again` ended before without arriving and go out again, `missed` never went out, `replaced` stay unsent because
    newer advice has taken their place."""

    again: int
    missed: int
    replaced: int


class NoticeForm(BaseModel):
    """A notice as it was kept. `endpoints`: how many it concerned then; 0 says that nobody was subscribed."""

    id: Annotated[str, Field(description="The `webhook-id`")]
    type: str
    course: str | None
    created_at: datetime
    endpoints: int
    deliveries: Annotated[dict[str, int], Field(description="How many stand in which state")]


class NoticePage(BaseModel):
    items: list[NoticeForm]
    next: str | None


class Acknowledgement(BaseModel):
    """Who took a referral up."""

    notice: str
    course: str
    by: Annotated[str, Field(description="The clinician's key")]
    at: datetime


Release = Literal["after_clinician", "status_only", "direct"]


class NewPolicy(_Asked):
    """How notices are released and escalated; what is absent takes its default."""

    coach_release: Annotated[
        Release,
        Field(
            description="When an advance reaches coaches and athletes. `after_clinician`: once a clinician accepted it; `status_only`: at "
            "once, how matters stand and no step or dose; `direct`: at once and whole, on the tenant's own responsibility"
        ),
    ] = "after_clinician"
    acknowledge_within_s: Annotated[
        int, Field(ge=1, le=604_800, description="A referral nobody acknowledged is said again after this, and again; in seconds")
    ] = 900
    answer_within_s: Annotated[
        int, Field(ge=1, le=2_592_000, description="A recommendation nobody answered is said again after this, and again; in seconds")
    ] = 86_400


class PolicyForm(BaseModel):
    """The policy in force."""

    coach_release: Release
    acknowledge_within_s: int
    answer_within_s: int


class Bytes(BaseModel):
    """Bytes as they were: as text where they are UTF-8, else in base64."""

    encoding: Literal["utf-8", "base64"]
    content: str


class AttemptForm(BaseModel):
    """One attempt. `status` is null when no answer came; `error` says why an attempt failed."""

    n: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    request_headers: dict[str, str]
    request_body: Bytes
    response_body: Annotated[Bytes | None, Field(description="The first 2048 bytes")]


class DeliveryForm(BaseModel):
    """One notice for one endpoint, with every attempt."""

    id: str
    notice: Annotated[str, Field(description="The `webhook-id`")]
    type: str
    course: str | None
    state: State
    because: Annotated[str | None, Field(description="Why it ended without being delivered, or how the last attempt failed")]
    tries: int
    next_at: Annotated[datetime | None, Field(description="When it is attempted next")]
    created_at: datetime
    done_at: datetime | None
    attempts: list[AttemptForm]


class DeliveryPage(BaseModel):
    items: list[DeliveryForm]
    next: Annotated[str | None, Field(description="Cursor of the next page; null on the last")]


def shown(raw: bytes) -> dict[str, Any]:
    """The shape `Bytes` of these bytes."""
    try:
        return {"encoding": "utf-8", "content": raw.decode()}
    except UnicodeDecodeError:
        return {"encoding": "base64", "content": base64.b64encode(raw).decode()}

"""Shapes of requests and answers of the endpoint routes."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EndpointType = Literal[
    "recommendation.changed",
    "recommendation.superseded",
    "course.referred",
    "course.started",
    "course.ended",
    "event.refused",
    "endpoint.disabled",
]
Role = Literal["clinician", "coach", "integrator"]
Payload = Literal["thin", "full"]
State = Literal["pending", "delivered", "cancelled", "exhausted"]
Printable = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewEndpoint(BaseModel):
    """What a new endpoint is told, and where."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Annotated[
        str, Field(min_length=1, max_length=2048, description="https, an allowed port, no user name, no fragment, not a private address")
    ]
    description: Annotated[Printable, Field(description="For people; not sent")] = ""
    types: Annotated[
        list[EndpointType] | None, Field(min_length=1, max_length=20, description="What is sent; absent: all types that the role may have")
    ] = None
    payload: Annotated[Payload, Field(description="`thin`: what changed and where to read it; `full`: the whole decision")] = "thin"
    role: Annotated[
        Role, Field(description="Who reads it. `coach`: step, dose and stop rules only, and an advance only once a clinician accepted it")
    ] = "integrator"
    secret: Annotated[
        str | None, Field(max_length=200, description="`whsec_` and base64 of 24 to 64 bytes; absent: 32 random bytes are drawn")
    ] = None


class EndpointForm(BaseModel):
    """An endpoint; its secret was shown once, at its creation."""

    id: str
    url: str
    description: str
    types: list[EndpointType]
    payload: Payload
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    disabled_because: str | None


class CreatedEndpoint(EndpointForm):
    """A new endpoint with its secret, which is shown this once."""

    secret: str


class EndpointList(BaseModel):
    items: list[EndpointForm]


class Asked(BaseModel):
    """A delivery that is under way; `GET /v1/endpoints/{endpoint}/deliveries` shows what becomes of it."""

    delivery: str
    notice: Annotated[str, Field(description="The `webhook-id` it is sent under")]


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

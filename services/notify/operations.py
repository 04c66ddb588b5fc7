"""Notices about the deliveries themselves: endpoints disabled, failing, recovered, deliveries given up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from services.notify.notices import DISABLED, Notice
from services.notify.store import sending, telling
from services.notify.store.connection import Connection
from services.notify.store.telling import Telling

_log = structlog.get_logger("milepost.notify.operations")


class Happening(NamedTuple):
    """What happened to an endpoint of a tenant; `kind` is the type of the notice, `said` what it says besides the endpoint."""

    tenant: str
    kind: str
    endpoint: str
    said: Mapping[str, Any]


async def disabled(connection: Connection, endpoint: str, because: str, now: datetime) -> list[Happening]:
    """Disables an endpoint and ends what is pending for it; nothing happened when it was disabled or deleted before."""
    tenant = await sending.disable(connection, endpoint, because, now)
    if tenant is None:
        return []
    _log.info("endpoint disabled", tenant=tenant, endpoint_id=endpoint, reason=because)
    return [Happening(tenant, DISABLED, endpoint, {"disabled_at": now.isoformat(), "because": because})]


async def tell(connection: Connection, happened: Sequence[Happening], now: datetime) -> set[str]:
    """Keeps a notice of each; returns the endpoints that have something new."""
    moment = now.isoformat()
    tellings = [
        Telling(one.tenant, Notice(one.kind, None, None, {"endpoint": one.endpoint, **one.said}), moment, f"{one.endpoint} {moment}")
        for one in happened
    ]
    return (await telling.keep(connection, tellings, now)).endpoints

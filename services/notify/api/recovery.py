"""What an endpoint missed: sent again or for the first time, newest advice only, under the ids it always had."""

from datetime import datetime
from typing import Any, Final

import orjson

from services.notify.api.forgotten import Leaving
from services.notify.notices import ALWAYS_TYPES, replaced_types
from services.notify.release import Reader, Told, judged
from services.notify.store import endpoints as rows, policies, telling
from services.notify.store.connection import Connection
from services.notify.store.endpoints import Endpoint
from services.notify.store.telling import NewDelivery

MOST_NOTICES: Final = 10_000
_SETTLED: Final = frozenset({"pending", "delivered"})


async def recover_since(connection: Connection, endpoint: Endpoint, since: datetime, now: datetime, gone: Leaving) -> dict[str, Any] | None:
    """Makes due what the endpoint lacks since then, but of those who asked to be erased; how much of what, or None when more than 10,000
    notices would have to be looked at.
    """
    kept = await rows.told_since(connection, endpoint.tenant, endpoint.id, since, MOST_NOTICES + 1)
    if len(kept) > MOST_NOTICES:
        return None
    policy = (await policies.of(connection, [endpoint.tenant]))[endpoint.tenant]
    reader = Reader(endpoint.role, frozenset(endpoint.types), endpoint.third_party, endpoint.escalates, policy.coach_release)
    replaced: dict[str, set[str]] = {}
    again: list[str] = []
    missed: list[NewDelivery] = []
    passed_over = 0
    for one in kept:
        record = orjson.loads(one.kept)
        if gone.has(record.get("subject")) or one.type in ALWAYS_TYPES or not isinstance(judged(reader, record), Told):
            continue
        older = replaced.setdefault(one.course, set()) if one.course is not None else set()
        if one.state not in _SETTLED:
            if one.type in older:
                passed_over += 1
            elif one.delivery is not None:
                again.append(one.delivery)
            else:
                missed.append(NewDelivery(endpoint.tenant, endpoint.id, one.notice, one.course))
        if one.course is not None and not record.get("escalation"):
            older |= replaced_types(one.type, record["body"].get("urgency"))
    # Newest first until here: what falls due together leaves in the order of this list.
    await telling.add_deliveries(connection, missed[::-1], now)
    await rows.reopen(connection, again[::-1], now)
    return {"again": len(again), "missed": len(missed), "replaced": passed_over}

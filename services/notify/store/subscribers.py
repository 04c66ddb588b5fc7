"""Endpoints in so far as they decide what is sent to them, and when."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.notify.release import AFTER_CLINICIAN, Reader
from services.notify.store.connection import Connection


class Subscriber(NamedTuple):
    """An endpoint in so far as it decides what is sent to it, and when."""

    id: str
    reader: Reader
    quiet_hours: Mapping[str, Any] | None


async def of(connection: Connection, tenants: set[str]) -> dict[str, list[Subscriber]]:
    """The endpoints in use of each of these tenants, with the tenant's policy in force, locked against being deleted or disabled.

    An endpoint that is being deleted or disabled settles its pending deliveries, and must see those made in this transaction.
    """
    rows = await connection.fetch(
        "SELECT e.id, e.tenant, e.types, e.role, e.third_party, e.escalates, e.quiet_hours, "
        "(SELECT p.coach_release FROM notice_policies p WHERE p.tenant = e.tenant ORDER BY p.version DESC LIMIT 1) AS release "
        "FROM endpoints e WHERE e.tenant = ANY($1::text[]) AND e.deleted_at IS NULL AND e.disabled_at IS NULL "
        "ORDER BY e.id FOR SHARE OF e",
        sorted(tenants),
    )
    found: dict[str, list[Subscriber]] = {}
    for row in rows:
        release = row["release"] or AFTER_CLINICIAN
        reader = Reader(row["role"], frozenset(row["types"]), row["third_party"], row["escalates"], release)
        found.setdefault(row["tenant"], []).append(Subscriber(row["id"], reader, row["quiet_hours"]))
    return found

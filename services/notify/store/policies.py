"""The tenants' policies: every version is kept, the newest counts."""

from collections.abc import Iterable
from datetime import datetime

from services.notify.policy import Policy
from services.notify.store.connection import Connection


async def of(connection: Connection, tenants: Iterable[str]) -> dict[str, Policy]:
    """The policy in force of each of these tenants; the default where none was ever set."""
    wanted = sorted(set(tenants))
    rows = await connection.fetch(
        "SELECT DISTINCT ON (tenant) tenant, coach_release, acknowledge_within_s, answer_within_s FROM notice_policies "
        "WHERE tenant = ANY($1::text[]) ORDER BY tenant, version DESC",
        wanted,
    )
    found = {row["tenant"]: Policy(row["coach_release"], row["acknowledge_within_s"], row["answer_within_s"]) for row in rows}
    return {tenant: found.get(tenant, Policy()) for tenant in wanted}


async def add(connection: Connection, tenant: str, policy: Policy, by: str, now: datetime) -> None:
    """Puts a new version in force."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 8))", tenant)
    await connection.execute(
        "INSERT INTO notice_policies (tenant, version, coach_release, acknowledge_within_s, answer_within_s, changed_at, changed_by) "
        "SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6 FROM notice_policies WHERE tenant = $1",
        tenant,
        *policy,
        now,
        by,
    )

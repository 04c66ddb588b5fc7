"""Who asked to be erased and is not yet: of those who are, no row is left."""

from services.notify.store.connection import Connection


async def asked_for(connection: Connection, tenant: str) -> frozenset[str]:
    """Pseudonyms of the tenant's athletes who are still to be erased."""
    rows = await connection.fetch("SELECT pseudonym FROM keys.erasures WHERE tenant = $1 AND erased_at IS NULL", tenant)
    return frozenset(row["pseudonym"] for row in rows)


async def athlete_of(connection: Connection, tenant: str, notice: str) -> str | None:
    """Whom a notice of the tenant is about."""
    found: str | None = await connection.fetchval("SELECT athlete FROM notices WHERE tenant = $1 AND id = $2", tenant, notice)
    return found

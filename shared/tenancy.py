"""The second wall of no-crossing: row-level security. Who answers one tenant reads as a role to which other tenants' rows do not exist.

The first wall is the query, which names the tenant; this one holds where a query forgets it. The services' own role and the eraser's see
every tenant, because a batch, a relay or an audit is of many. `migrations/walls.py` builds what is declared here.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg
from sqlalchemy import Table

from shared.tables import key_metadata, metadata

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

READER_ROLE: Final = "milepost_reader"
"""Logs in nowhere; the services' role is a member and becomes it for the length of a transaction."""

# Written as PostgreSQL writes it back, so that what stands in the catalog can be compared. A setting that a transaction of before had
# is not null afterwards but empty; both are no tenant.
_TENANT: Final = "NULLIF(current_setting('milepost.tenant'::text, true), ''::text)"
_OWN: Final = f"(tenant = {_TENANT})"
_OWN_OR_SHARED: Final = f"((scope = ANY (ARRAY[''::text, {_TENANT}])) AND ({_TENANT} IS NOT NULL))"

_HIDDEN: Final = {"api_keys": ("secret_hash",), "endpoints": ("secret", "retired_secret")}
"""Columns that no reader gets, of their own tenant either."""


class Wall(NamedTuple):
    """A table with rows of tenants: its name, the rows that a reader sees, and the columns."""

    table: str
    seen: str
    columns: tuple[str, ...]


def _walls() -> Iterator[Wall]:
    for table in (*metadata.sorted_tables, *key_metadata.sorted_tables):
        seen = _OWN if "tenant" in table.columns else _OWN_OR_SHARED if "scope" in table.columns else None
        if seen is not None:
            yield Wall(table.fullname, seen, _shown(table))


def _shown(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name not in _HIDDEN.get(table.fullname, ()))


WALLS: Final = tuple(_walls())
"""Every table that says whose its rows are."""

_BECOME: Final = "SELECT set_config('milepost.tenant', $1, true), set_config('role', $2, true)"


async def see_only(connection: Connection, tenant: str) -> None:
    """From here to the end of the transaction the connection sees this tenant's rows alone, and changes nothing.

    Raises `RuntimeError` outside a transaction, where it would hold for no statement but its own, and ValueError for no tenant.
    """
    if not connection.is_in_transaction():
        raise RuntimeError("a tenant is read for within a transaction: begin one, so that nothing stays on the connection behind it")
    if not tenant:
        raise ValueError("expected a tenant, found none")
    await connection.execute(_BECOME, tenant, READER_ROLE)


_ROLE: Final = """
SELECT session_user AS service, r.oid IS NOT NULL AS there, r.rolsuper OR r.rolbypassrls AS above,
    r.oid IS NOT NULL AND pg_has_role(session_user, r.oid, 'MEMBER') AS given
FROM (VALUES (1)) AS one LEFT JOIN pg_roles AS r ON r.rolname = $1
"""

# Of all that lets the reader see rows there is only what is declared, and who asks sees and writes every row.
_POLICIES: Final = """
SELECT count(*) FILTER (WHERE r.applies) AS of_reader,
    count(*) FILTER (WHERE r.applies AND p.polcmd = 'r' AND pg_get_expr(p.polqual, c.oid) = w.seen) AS declared,
    coalesce(bool_or(p.polcmd = '*' AND s.applies AND pg_get_expr(p.polqual, c.oid) = 'true'
        AND pg_get_expr(p.polwithcheck, c.oid) = 'true'), false) AS every_row
FROM pg_policy AS p
CROSS JOIN LATERAL (SELECT bool_or(o = 0 OR pg_has_role($3, o, 'MEMBER')) AS applies FROM unnest(p.polroles) AS o) AS r
CROSS JOIN LATERAL (SELECT bool_or(o <> 0 AND pg_has_role(o, 'USAGE')) AS applies FROM unnest(p.polroles) AS o) AS s
WHERE p.polrelid = c.oid AND p.polpermissive
"""
_FAULTY: Final = f"""
SELECT w.name FROM unnest($1::text[], $2::text[]) AS w(name, seen) LEFT JOIN pg_class AS c ON c.oid = to_regclass(w.name)
CROSS JOIN LATERAL ({_POLICIES}) AS p
WHERE c.oid IS NULL OR NOT c.relrowsecurity OR pg_has_role($3, c.relowner, 'MEMBER') OR p.of_reader <> 1 OR p.declared <> 1
    OR (row_security_active(c.oid) AND NOT p.every_row)
ORDER BY w.name LIMIT 1
"""
_HIDDEN_FROM_ME: Final = f"""
SELECT w.name FROM (SELECT name, '' AS seen FROM unnest($1::text[]) AS name) AS w JOIN pg_class AS c ON c.oid = to_regclass(w.name)
CROSS JOIN LATERAL ({_POLICIES.replace("pg_has_role($3, o, 'MEMBER')", "false")}) AS p
WHERE row_security_active(c.oid) AND NOT p.every_row ORDER BY w.name LIMIT 1
"""
_NAMES: Final = [wall.table for wall in WALLS]
_SEEN: Final = [wall.seen for wall in WALLS]


def missing(service: str) -> str:
    """What to do where the readers' role is not there, or not given to the services' role."""
    return (
        f"the role {READER_ROLE}, as which one tenant's rows are read, is not there or not given to {service}: as a superuser run "
        f"`CREATE ROLE {READER_ROLE} NOLOGIN` (unless it is there) and `GRANT {READER_ROLE} TO {service}`, then the migrations as the owner"
    )


async def fault(connection: Any) -> str | None:
    """What is wrong with the wall, as this connection finds it, and what to do about it; None when it stands."""
    role = await connection.fetchrow(_ROLE, READER_ROLE)
    if not role["there"] or not role["given"]:
        return missing(role["service"])
    if role["above"]:
        alter = f"ALTER ROLE {READER_ROLE} NOSUPERUSER NOBYPASSRLS"
        return f"row-level security does not bind the role {READER_ROLE}: as a superuser run `{alter}`"
    table = await connection.fetchval(_FAULTY, _NAMES, _SEEN, READER_ROLE)
    if table is not None:
        todo = "drop policies that are not theirs, and run them as the owner role"
        return f"row-level security of the table {table} is not as the migrations leave it: {todo}"
    return None


async def hidden(connection: Any) -> str | None:
    """As `fault`, for a role that reads for nobody: whether rows are hidden from it, which would look like rows that are not there."""
    table = await connection.fetchval(_HIDDEN_FROM_ME, _NAMES)
    return None if table is None else f"row-level security hides rows of the table {table}: run the migrations as the owner role"

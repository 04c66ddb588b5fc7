"""Row-level security on every table that says whose its rows are, as `shared.tenancy` declares it.

Built after every migration and only where something differs: a policy is made under a lock that keeps everybody off its table.
"""

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from shared.tenancy import READER_ROLE, WALLS, Wall

ONE_TENANT, EVERY_TENANT = "one_tenant", "every_tenant"

_THERE = text("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :reader)")
_GIVEN = text("SELECT coalesce((SELECT pg_has_role(oid, :reader, 'MEMBER') FROM pg_roles WHERE rolname = :service), true)")
_KNOWN = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles) AND rolname <> current_user ORDER BY rolname::text").bindparams(
    bindparam("roles", type_=ARRAY(Text))
)
_POLICIES = text(
    "SELECT p.polname::text AS name, (p.polpermissive, p.polcmd::text, pg_get_expr(p.polqual, p.polrelid),"
    " coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''), array_to_string(ARRAY(SELECT coalesce(r.rolname::text, '')"
    " FROM unnest(p.polroles) AS o LEFT JOIN pg_roles AS r ON r.oid = o ORDER BY 1), ','))::text AS made"
    " FROM pg_policy AS p WHERE p.polrelid = to_regclass(:table)"
)
_WANTED = text("SELECT (true, cast(:command AS text), cast(:seen AS text), cast(:kept AS text), cast(:roles AS text))::text")
_IS_ON = text("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(:table)")


def can_be_built(connection: Connection, service_role: str) -> bool:
    """Whether the readers' role is there, and given to the services' where that is there. Only who may create roles can change it."""
    if not connection.execute(_THERE, {"reader": READER_ROLE}).scalar():
        return False
    return bool(connection.execute(_GIVEN, {"reader": READER_ROLE, "service": service_role}).scalar())


def build(connection: Connection, service_role: str, eraser_role: str) -> None:
    """Readers see one tenant's rows, the services and the eraser every row; whoever else is no owner sees none. The readers' role has to be
    there."""
    quote = connection.dialect.identifier_preparer.quote
    open_to = list(connection.execute(_KNOWN, {"roles": [service_role, eraser_role]}).scalars())
    connection.execute(text(f"GRANT USAGE ON SCHEMA public, keys TO {READER_ROLE}"))
    for wall in WALLS:
        columns = ", ".join(map(quote, wall.columns))
        connection.execute(text(f"REVOKE ALL ON {wall.table} FROM {READER_ROLE}"))
        connection.execute(text(f"GRANT SELECT ({columns}) ON {wall.table} TO {READER_ROLE}"))
        if not connection.execute(_IS_ON, {"table": wall.table}).scalar():
            connection.execute(text(f"ALTER TABLE {wall.table} ENABLE ROW LEVEL SECURITY"))
        _policies(connection, wall, open_to)


def _policies(connection: Connection, wall: Wall, open_to: list[str]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    roles = ", ".join(map(quote, open_to))
    wanted = {ONE_TENANT: ("r", wall.seen, "", READER_ROLE)} | ({EVERY_TENANT: ("*", "true", "true", ",".join(open_to))} if open_to else {})
    statements = {
        ONE_TENANT: f"FOR SELECT TO {READER_ROLE} USING {wall.seen}",
        EVERY_TENANT: f"FOR ALL TO {roles} USING (true) WITH CHECK (true)",
    }
    there: dict[str, str] = {row.name: row.made for row in connection.execute(_POLICIES, {"table": wall.table})}
    for name, (command, seen, kept, whose) in wanted.items():
        as_made = connection.execute(_WANTED, {"command": command, "seen": seen, "kept": kept, "roles": whose}).scalar_one()
        if there.get(name) == as_made:
            continue
        connection.execute(text(f"DROP POLICY IF EXISTS {name} ON {wall.table}"))
        # Not through `text`, to which the colons of a cast would be parameters.
        connection.exec_driver_sql(f"CREATE POLICY {name} ON {wall.table} {statements[name]}")

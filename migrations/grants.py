"""What the services' role may do: read and add everywhere, change and remove only what can be rebuilt from history."""

from sqlalchemy import Connection, text

from shared.tables import APPEND_ONLY, key_metadata, metadata


def grant(connection: Connection, role: str) -> bool:
    """Give `role` its rights on every table, and take away others it had. False, changing nothing, when there is no such role or it is
    the owner, whose rights cannot be narrowed."""
    known = connection.execute(text("SELECT :role <> current_user FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar()
    if not known:
        return False
    quote = connection.dialect.identifier_preparer.quote
    service = quote(role)
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {service}"))
    for table in metadata.sorted_tables:
        rights = "SELECT, INSERT" if table.name in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
        connection.execute(text(f"REVOKE ALL ON {quote(table.name)} FROM {service}"))
        connection.execute(text(f"GRANT {rights} ON {quote(table.name)} TO {service}"))
    # The services make keys and use them; only the eraser, who is somebody else, destroys them.
    connection.execute(text(f"GRANT USAGE ON SCHEMA keys TO {service}"))
    for table in key_metadata.sorted_tables:
        connection.execute(text(f"REVOKE ALL ON keys.{quote(table.name)} FROM {service}"))
        connection.execute(text(f"GRANT SELECT, INSERT ON keys.{quote(table.name)} TO {service}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {service}"))
    connection.execute(text(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {service}"))
    return True


ERASABLE = ("events", "event_outcomes", "event_conflicts", "decisions", "seals", "partition_heads", "replays")
"""Where the eraser replaces what is told of an athlete."""
REMOVABLE = (
    *("courses", "timers", "outbox", "notices", "course_notices", "deliveries", "attempts", "escalations", "acknowledgements"),
    *("answer_links", "event_terms", "backtest_differences", "shadow_decisions", "replay_differences", "proven"),
)
"""Where it removes the rows."""


def grant_eraser(connection: Connection, role: str) -> bool:
    """Give the eraser's role what erasing an athlete takes, and nothing else. False when there is no such role."""
    if not connection.execute(text("SELECT :role <> current_user FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar():
        return False
    eraser = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"GRANT USAGE ON SCHEMA public, keys TO {eraser}"))
    for table in metadata.sorted_tables:
        rights = ", ".join(("SELECT", *(["UPDATE"] if table.name in ERASABLE else ()), *(["DELETE"] if table.name in REMOVABLE else ())))
        connection.execute(text(f"REVOKE ALL ON {table.name} FROM {eraser}"))
        connection.execute(text(f"GRANT {rights} ON {table.name} TO {eraser}"))
    for table in key_metadata.sorted_tables:
        connection.execute(text(f"REVOKE ALL ON keys.{table.name} FROM {eraser}"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE ON keys.{table.name} TO {eraser}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {eraser}"))
    return True

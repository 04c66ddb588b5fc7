"""What the services' role may do: read and add everywhere, change and remove only what can be rebuilt from history. And what the
eraser's may, column by column. Given anew after every migration.
"""

from collections.abc import Mapping
from typing import Final

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


ERASABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("athlete", "source", "id", "type", "time", "recorded_at", "stream_seq", "digest", "body"),
    "event_outcomes": ("source", "id", "n", "status", "path", "reason"),
    "event_conflicts": ("source", "id", "digest", "recorded_at", "body", "athlete"),
    "decisions": ("course", "seq", "id", "athlete", "cause_source", "cause_id", "as_of", "as_at", "body"),
    "seals": ("row",),
    "partition_heads": ("epoch", "owner", "lease_until", "erasures"),
    "replays": ("asked", "state", "because", "after_tenant", "after_athlete"),
}
"""Where the eraser replaces what is told of an athlete, and in which columns: never a place, a commitment or a leaf."""
REMOVABLE: Final = (
    *("courses", "timers", "outbox", "notices", "course_notices", "deliveries", "attempts", "escalations", "acknowledgements"),
    *("answer_links", "event_terms", "backtest_differences", "shadow_decisions", "replay_differences", "proven"),
)
"""Where it removes the rows."""
SEEN: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("partition", "seq", "tenant", "athlete", "source", "id", "type", "stream_seq"),
    "event_outcomes": ("partition", "seq", "tenant", "source", "id", "n"),
    "event_conflicts": ("partition", "n", "tenant", "athlete"),
    "decisions": ("partition", "event_seq", "tenant", "athlete", "course", "seq"),
    "seals": ("tree", "n", "row"),
    "partition_heads": ("partition", "seq", "epoch", "erasures"),
    "replays": ("tenant", "asked", "state", "because", "after_tenant", "after_athlete"),
    "courses": ("tenant", "athlete", "course"),
    "timers": ("tenant", "athlete"),
    "outbox": ("tenant", "athlete"),
    "notices": ("id", "tenant", "athlete", "course"),
    "course_notices": ("tenant", "course"),
    "deliveries": ("id", "notice"),
    "attempts": ("delivery", "n"),
    "escalations": ("tenant", "athlete", "course"),
    "acknowledgements": ("tenant", "notice", "course"),
    "answer_links": ("tenant", "id", "course"),
    "event_terms": ("tenant", "source", "id", "athlete"),
    "backtest_differences": ("tenant", "athlete"),
    "shadow_decisions": ("tenant", "athlete"),
    "replay_differences": ("tenant", "athlete"),
    "proven": ("tree", "partition", "number", "leaves"),
    "notice_reading": ("stream_seq",),
}
"""What it finds them by: no body, and nothing of tables that tell of no athlete."""
KEYS_SEEN: Final[Mapping[str, tuple[str, ...]]] = {
    "athlete_keys": ("tenant", "athlete", "erased_at"),
    "erasures": ("tenant", "pseudonym", "partition", "event", "requested_at", "erased_at", "scrubbed_at", "bus_seq"),
}
"""It destroys keys, and can read none."""
KEYS_ERASABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "athlete_keys": ("athlete", "wrapped", "erased_at"),
    "erasures": ("erased_at", "scrubbed_at", "bus_seq"),
}


def grant_eraser(connection: Connection, role: str) -> bool:
    """Give the eraser's role what erasing an athlete takes, column by column, and nothing else. False when there is no such role."""
    if not connection.execute(text("SELECT :role <> current_user FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar():
        return False
    eraser = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"GRANT USAGE ON SCHEMA public, keys TO {eraser}"))
    for table in metadata.sorted_tables:
        # Takes away what was given column by column too.
        connection.execute(text(f"REVOKE ALL ON {table.name} FROM {eraser}"))
        _give(connection, eraser, table.name, SEEN.get(table.name, ()), ERASABLE.get(table.name, ()))
        if table.name in REMOVABLE:
            connection.execute(text(f"GRANT DELETE ON {table.name} TO {eraser}"))
    for table in key_metadata.sorted_tables:
        connection.execute(text(f"REVOKE ALL ON keys.{table.name} FROM {eraser}"))
        _give(connection, eraser, f"keys.{table.name}", KEYS_SEEN.get(table.name, ()), KEYS_ERASABLE.get(table.name, ()))
    # A list that was kept elsewhere, after a restore.
    connection.execute(text(f"GRANT INSERT ON keys.erasures TO {eraser}"))
    connection.execute(text(f"GRANT SELECT ON alembic_version TO {eraser}"))
    return True


def _give(connection: Connection, role: str, table: str, seen: tuple[str, ...], changed: tuple[str, ...]) -> None:
    for right, columns in (("SELECT", seen), ("UPDATE", changed)):
        if columns:
            named = ", ".join(map(connection.dialect.identifier_preparer.quote, columns))
            connection.execute(text(f"GRANT {right} ({named}) ON {table} TO {role}"))

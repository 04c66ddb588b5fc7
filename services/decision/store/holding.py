"""What keeps old bytes in the database's files: whoever may still need dead rows, and whoever needs old segments of the log."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from services.decision.store.connection import Connection

# Whoever has a snapshot or a transaction from before $1: of this database, or of none, as a standby that asks to keep rows for its queries.
_SESSIONS: Final = """
SELECT a.pid, a.usename, a.application_name, a.xact_start, r.pid IS NOT NULL AS standby
FROM pg_stat_activity AS a LEFT JOIN pg_stat_replication AS r ON r.pid = a.pid
WHERE a.pid <> pg_backend_pid() AND (a.datid IS NULL OR a.datname = current_database())
    AND greatest(age(a.backend_xid), age(a.backend_xmin)) > age($1::text::xid)
ORDER BY a.xact_start NULLS LAST, a.pid
"""
_PREPARED: Final = """
SELECT gid, owner, prepared FROM pg_prepared_xacts
WHERE database = current_database() AND age(transaction) > age($1::text::xid) ORDER BY prepared
"""
# The moment since when a slot is not in use is told by servers from 17 on.
_SLOTS: Final = """
SELECT slot_name, slot_type, active_pid, restart_lsn::text AS restart_lsn, (to_jsonb(s) ->> 'inactive_since')::timestamptz AS inactive_since
FROM pg_replication_slots AS s
WHERE wal_status IS DISTINCT FROM 'lost'
    AND (greatest(age(xmin), age(catalog_xmin)) > age($1::text::xid) OR restart_lsn < $2::text::pg_lsn) ORDER BY slot_name
"""
_SEGMENTS: Final = """
SELECT count(*) FROM pg_ls_waldir()
WHERE name ~ '^[0-9A-F]{24}' AND substr(name, 9, 16) <= substr(pg_walfile_name($1::text::pg_lsn - 1), 9, 16)
"""


class Edge(NamedTuple):
    """A moment of the database: every transaction before `xid` has ended, every byte of the log so far lies before `lsn`."""

    xid: str
    lsn: str
    at: datetime


async def edge(connection: Connection) -> Edge:
    """Now. What was committed before this was asked comes before it."""
    row = await connection.fetchrow(
        "SELECT pg_current_xact_id()::xid::text, pg_current_wal_insert_lsn()::text, date_trunc('second', clock_timestamp())"
    )
    assert row is not None, "it is one row"
    return Edge(*row)


async def holders(connection: Connection, before: Edge) -> list[str]:
    """Whoever holds rows that were dead, or log that was written, before then: one sentence each, with what to do."""
    found = [_session(row) for row in await connection.fetch(_SESSIONS, before.xid)]
    found += [
        f"prepared transaction '{row['gid']}' of {row['owner']} is open since {_moment(row['prepared'])}: "
        f"COMMIT PREPARED or ROLLBACK PREPARED '{row['gid']}'"
        for row in await connection.fetch(_PREPARED, before.xid)
    ]
    return found + [_slot(row) for row in await connection.fetch(_SLOTS, before.xid, before.lsn)]


def _session(row: Any) -> str:
    since = f"since {_moment(row['xact_start'])}" if row["xact_start"] else "since a moment that this role may not see"
    if row["standby"]:
        return (
            f"standby '{row['application_name']}' (process {row['pid']}) has rows kept for its queries: "
            "end those, or set hot_standby_feedback = off there"
        )
    return (
        f"process {row['pid']} ({row['usename'] or 'of the server'}, '{row['application_name']}') has a transaction open {since}: "
        f"let it end, or SELECT pg_terminate_backend({row['pid']})"
    )


def _slot(row: Any) -> str:
    used = f"in use by process {row['active_pid']}" if row["active_pid"] else "not in use"
    if row["inactive_since"] is not None:
        used += f" since {_moment(row['inactive_since'])}"
    return (
        f"replication slot '{row['slot_name']}' ({row['slot_type']}, {used}) holds rows or the log from {row['restart_lsn']} on: "
        f"let its reader catch up, or SELECT pg_drop_replication_slot('{row['slot_name']}')"
    )


async def segments(connection: Connection, before: Edge) -> int:
    """How many files of the log are left that hold bytes from before then."""
    return int(await connection.fetchval(_SEGMENTS, before.lsn))


async def archiving(connection: Connection) -> str | None:
    """None where segments of the log are not archived; else how that stands, in words."""
    row = await connection.fetchrow(
        "SELECT current_setting('archive_mode') AS mode, last_archived_wal, last_failed_wal, last_failed_time,"
        " coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing FROM pg_stat_archiver"
    )
    assert row is not None, "it is one row"
    if row["mode"] == "off":
        return None
    if row["failing"]:
        return f"segment {row['last_failed_wal']} could not be archived at {_moment(row['last_failed_time'])}: mend archive_command"
    return f"segments are archived up to {row['last_archived_wal'] or 'none yet'}"


async def using(connection: Connection, table: str) -> list[int]:
    """Processes that have a lock on the table."""
    rows = await connection.fetch(
        "SELECT DISTINCT pid FROM pg_locks WHERE relation = $1::text::regclass AND granted AND pid <> pg_backend_pid() ORDER BY pid", table
    )
    return [row["pid"] for row in rows]


async def standbys(connection: Connection) -> int:
    """How many other servers receive the log."""
    return int(await connection.fetchval("SELECT count(*) FROM pg_stat_replication"))


def _moment(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")

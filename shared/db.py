"""PostgreSQL: the engine, the bare connection for bulk appends, migrations, and the durability contract checked at start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, cast

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, Connection, Text, bindparam, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError as NoConnectionLent
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared import tenancy
from shared.keyed import connection_class
from shared.settings import Settings
from shared.tables import APPEND_ONLY

SERVICE_ROLE: Final = "milepost_service"
ERASER_ROLE: Final = "milepost_eraser"
POOL_SIZE: Final = 10
OLDEST_SERVER: Final = 150_000
_SETTINGS: Final = ("server_version_num", "fsync", "full_page_writes", "synchronous_commit")
_SHOWN: Final = "SELECT " + ", ".join(f"current_setting('{name}') AS {name}" for name in _SETTINGS)
CONNECT_LIMIT_S: Final = 5
STATEMENT_LIMIT_S: Final = 60
ABANDONED_AFTER_S: Final = 60.0
"""Longer than any transaction of ours pauses between two statements: it waits for no receiver and no bus longer than some seconds."""

# Serialises migrations started at the same time by several processes; the number is arbitrary and ours.
_MIGRATION_LOCK: Final = 0x6D696C65

_CHANGEABLE: Final = text(
    "SELECT t FROM unnest(:tables) t WHERE has_table_privilege(t, 'DELETE') OR has_table_privilege(t, 'TRUNCATE')"
    " OR has_any_column_privilege(t, 'UPDATE') ORDER BY t LIMIT 1"
).bindparams(bindparam("tables", type_=ARRAY(Text)))
# The eraser's role replaces columns and removes rows; who may add to history or empty it is another.
_MORE_THAN_ERASABLE: Final = text(
    "SELECT t FROM unnest(:tables) t WHERE has_any_column_privilege(t, 'INSERT') OR has_table_privilege(t, 'UPDATE')"
    " OR has_table_privilege(t, 'TRUNCATE') ORDER BY t LIMIT 1"
).bindparams(bindparam("tables", type_=ARRAY(Text)))


FAULTS: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What a statement raises when the database cannot do it now, through SQLAlchemy or below it; the last but two where it comes between the
server's last word and the end of the connection."""
# How SQLSTATE begins: a connection that failed, a transaction given up, a conflict, nothing left (connections, room), stopping or starting.
_PASSING: Final = ("08", "25P03", "40", "53", "57")
NEWEST_ERASURES: Final = 100
"""Of how many erasures is asked while a service runs. Data that is put back from before lacks the newest first, so asking again for all
that were ever made would find nothing more; it is done when a service starts.
"""
# An erasure stands in history before it is carried out; data without it was restored from before. Each is looked up by itself, so that
# the cost is that of the erasures asked of and never of all events.
OLDER: Final = (
    "SELECT count(*) FROM (SELECT e.tenant, e.pseudonym FROM keys.erasures AS e WHERE e.erased_at IS NOT NULL{limit}) AS e"
    " LEFT JOIN LATERAL (SELECT true AS asked FROM events AS v WHERE v.tenant = e.tenant AND v.source = 'urn:milepost:erasures'"
    " AND v.id = 'erasure-' || e.pseudonym LIMIT 1) AS v ON true WHERE v.asked IS NULL"
)
# And it counts those that were carried out: data from between a request and its erasure knows of fewer.
_FEWER: Final = (
    "SELECT coalesce(sum(n.erasures - h.erasures), 0)::bigint FROM partition_heads AS h JOIN (SELECT partition, count(*) AS erasures"
    " FROM keys.erasures WHERE erased_at IS NOT NULL GROUP BY partition) AS n USING (partition) WHERE n.erasures > h.erasures"
)
OLDER_THAN_ANY: Final = f"SELECT greatest(({OLDER.format(limit='')}), ({_FEWER}))"
OLDER_THAN_NEWEST: Final = OLDER.format(limit=f" ORDER BY e.requested_at DESC LIMIT {NEWEST_ERASURES}")


class DatabaseRefused(Exception):
    """A database the service must not run on, or cannot reach; one clear sentence says why and what to do."""


class DatabaseUnreachable(DatabaseRefused):
    """The database does not answer; this says nothing of how it is set. `may_pass`: whether it may yet, as one that starts or recovers."""

    def __init__(self, text: str, may_pass: bool = True) -> None:
        super().__init__(text)
        self.may_pass = may_pass


@contextmanager
def reached() -> Iterator[None]:
    """Raises `DatabaseUnreachable` for what a statement inside raises where the database cannot do it now."""
    try:
        yield
    except FAULTS as fault:
        raise DatabaseUnreachable(f"PostgreSQL cannot be used: {_why(fault)}", _may_pass(fault)) from fault


def engine(settings: Settings, pool_size: int = POOL_SIZE, abandoned_after_s: float | None = None) -> AsyncEngine:
    """An engine as the service role, with at most `pool_size` connections. Statements end after 60 s; faults do not quote values.

    The server ends a transaction in which nothing was asked for `abandoned_after_s` seconds (None: 60): a process that was stopped in the
    middle of one would else hold its locks, and so what it owned, for as long as it is stopped.
    """
    after_s = ABANDONED_AFTER_S if abandoned_after_s is None else abandoned_after_s
    abandoned = {"idle_in_transaction_session_timeout": f"{after_s * 1000:.0f}"}
    return _engine(settings.database_url, pool_size, abandoned, settings.secret_key)


def _engine(url: str, pool_size: int, server_settings: Mapping[str, str] = MappingProxyType({}), secret: str = "") -> AsyncEngine:
    keyed = {"connection_class": connection_class(bytes.fromhex(secret))} if secret else {}
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_LIMIT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_LIMIT_S,
            "command_timeout": STATEMENT_LIMIT_S,
            "server_settings": {"application_name": "milepost", "timezone": "UTC", **server_settings},
            **keyed,
        },
    )


async def raw(conn: AsyncConnection) -> asyncpg.Connection:
    """The asyncpg connection under `conn`, inside the same transaction, for `INSERT … SELECT unnest(…)`."""
    driver = cast(asyncpg.Connection, (await conn.get_raw_connection()).driver_connection)
    if not driver.is_in_transaction():
        # SQLAlchemy begins with the first statement that goes through it; without one, each bare statement would commit by itself.
        await conn.execute(text("SELECT 1"))
    return driver


async def migrate(settings: Settings) -> None:
    """Bring the schema to the newest revision as the owner role, and grant the service role what it may do. Raises `DatabaseRefused`.

    Safe to call from several processes at once and on a schema that is up to date.
    """
    owner = _engine(settings.owner_database_url or settings.database_url, 1)
    service_role = _role(settings.database_url) or SERVICE_ROLE
    eraser_role = _role(settings.eraser_database_url) or ERASER_ROLE
    try:
        async with owner.begin() as conn:
            await conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            await conn.run_sync(_upgrade, service_role, eraser_role)
    except (SQLAlchemyError, OSError, TimeoutError) as fault:
        raise DatabaseRefused(f"the schema cannot be brought up to date: {_why(fault)}") from fault
    finally:
        await owner.dispose()


def _role(url: str) -> str | None:
    return make_url(url).username if url else None


def _upgrade(conn: Connection, service_role: str, eraser_role: str) -> None:
    config = _config()
    config.attributes["connection"] = conn
    config.attributes["service_role"] = service_role
    config.attributes["eraser_role"] = eraser_role
    command.upgrade(config, "head")


def _config() -> Config:
    # By package, not by file: the same in a checkout and in an installed distribution.
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    return config


def newest_revision() -> str:
    """The revision that the schema has after `migrate`."""
    return cast(str, ScriptDirectory.from_config(_config()).get_current_head())


async def verify(database: AsyncEngine, again: bool = False) -> None:
    """Refuse, with `DatabaseRefused`, a database that could lose what it confirmed or whose schema is not ours.

    `again`: it was verified when the service started, and of the erasures only the newest are looked for.
    """
    with reached():
        async with database.connect() as conn:
            await _verify(conn, OLDER_THAN_NEWEST if again else OLDER_THAN_ANY)
            await _verify_role(conn, _CHANGEABLE, "MILEPOST_DATABASE_URL may change history")
            _refuse(await tenancy.fault((await conn.get_raw_connection()).driver_connection))


async def verify_eraser(database: AsyncEngine, is_current: bool = True, again: bool = False) -> None:
    """The same for the eraser's role, which may change what tells of an athlete; refused is one that may do more.

    `is_current`: whether to refuse data that is older than an erasure too; `again`: as `verify`.
    """
    older = OLDER_THAN_NEWEST if again else OLDER_THAN_ANY
    with reached():
        async with database.connect() as conn:
            await _verify(conn, older if is_current else None)
            await _verify_role(conn, _MORE_THAN_ERASABLE, "MILEPOST_ERASER_DATABASE_URL may do more than erase")
            _refuse(await tenancy.hidden((await conn.get_raw_connection()).driver_connection))


async def broken_setting(driver: "asyncpg.Connection[asyncpg.Record]") -> DatabaseRefused | None:
    """Which setting of the server, as this connection has it, breaks the durability contract; None when all keep it."""
    found = dict(await driver.fetchrow(_SHOWN) or {})
    version = int(found["server_version_num"])
    if version < OLDEST_SERVER:
        return DatabaseRefused(f"PostgreSQL {version // 10_000} is too old; 15 or newer is expected: upgrade the server")
    for name in ("fsync", "full_page_writes"):
        if found[name] != "on":
            return DatabaseRefused(
                f"PostgreSQL runs with {name} off and may lose what it confirmed; set {name} = on and restart the server"
            )
    if (confirmed := found["synchronous_commit"]) not in ("on", "remote_apply"):
        return DatabaseRefused(
            f"PostgreSQL runs with synchronous_commit = {confirmed} and may lose what it confirmed; set synchronous_commit = on"
        )
    return None


async def _verify(conn: AsyncConnection, older_than: str | None) -> None:
    if (fault := await broken_setting(cast(Any, (await conn.get_raw_connection()).driver_connection))) is not None:
        raise fault
    known = (await conn.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))).scalar_one()
    revision = (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none() if known else None
    if revision != newest_revision():
        raise DatabaseRefused(
            f"the schema is at revision {revision or 'none'}, expected {newest_revision()}: run the migrations as the owner role"
        )
    older = 0 if older_than is None else (await conn.execute(text(older_than))).scalar_one()
    if older:
        raise DatabaseRefused(
            f"the data is older than {older} of the erasures that are kept with the keys, as after restoring a backup: "
            "run `milepost erasures reapply`, then start again"
        )


async def _verify_role(conn: AsyncConnection, beyond: Any, what: str) -> None:
    table = (await conn.execute(beyond, {"tables": list(APPEND_ONLY)})).scalar_one_or_none()
    if table is not None:
        raise DatabaseRefused(f"the role in {what} (table {table}); use a role that does not own the schema, then migrate")


def _refuse(said: str | None) -> None:
    if said is not None:
        raise DatabaseRefused(said)


def _why(fault: BaseException) -> str:
    """The fault in a few words, without the values of a statement."""
    if isinstance(fault, DBAPIError) and fault.orig is not None:
        fault = fault.orig
    said = str(fault).partition("\n")[0]
    # SQLAlchemy 2.0 begins with the driver's class.
    return said.partition("'>: ")[2] or said or type(fault).__name__


def _may_pass(fault: BaseException | None) -> bool:
    """Whether the same may be answered later: not where the server refused who asks, or what is asked."""
    while fault is not None:
        if state := getattr(fault, "sqlstate", None):
            return str(state).startswith(_PASSING)
        if isinstance(fault, OSError | TimeoutError | NoConnectionLent | asyncpg.InterfaceError | asyncpg.InternalClientError):
            # An address that cannot be read is of asyncpg's interface faults too.
            return not isinstance(fault, ValueError)
        fault = fault.__cause__
    return False
